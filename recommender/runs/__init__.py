"""How a run is kept: job, folder, event log, tracking, MLflow, devices."""
