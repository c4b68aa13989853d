"""Carries out any plan and knows no strategy by name: the job, the freezing, the loop, the tracker_run, the executors."""
