"""Runs: their jobs, folders, event logs, trackers (MLflow) and devices.

MLflow is called here and nowhere else:

- a run is told to it from its event log: `recommender.runs.mlflow_sync.MlflowSync.push`, which the thread of
  `recommender.runs.tracking.mlflow_runs` calls while the run goes on, and `recommender.runs.mlflow_sync.sync_runs`
  later. What it calls: `recommender.runs.mlflow_run.MlflowRun` (experiment, run, metrics, files),
  `recommender.runs.mlflow_model.log_model` and `register_model` (the model);
- its store is made by `recommender.runs.mlflow_store.prepare`, and a client of it by `open_client` there;
- whether a server answers: `recommender.runs.mlflow_sync.trouble_at`; what is wrong with a store, for the doctor:
  `recommender.runs.mlflow_sync.store_damage`;
- what others logged is read once, on request: `recommender.runs.mlflow_history.logged_runs` (``history import``).

`recommender.runs.mlflow_server` knows addresses, patience and the words for failures; it asks a server once more why it
refused (`_retry_after`), and nothing else.
"""
