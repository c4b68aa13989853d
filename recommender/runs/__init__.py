"""Runs: their jobs, folders, event logs, trackers (MLflow) and devices.

MLflow is called in `mlflow_run` (a run's entry), `mlflow_model` (its model) and `mlflow_store` (its store, and a
client of it), and nowhere else; `mlflow_sync` pushes a run's event log to it, from a thread of `tracking` while the run
goes on and by ``transferzoo runs sync`` later.
"""
