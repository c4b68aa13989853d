"""HTTP: the typed requests of `recommender.requests` for a team, over one registry and its queue.

Nothing is decided here. `app` has the routes, `bodies` what may be asked, `gate` who may ask, `samples` what was
uploaded, `events` how a job is followed, `problems` how an error is worded, `server` serves it.
"""
