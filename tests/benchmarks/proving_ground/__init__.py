"""The proving ground: is the advice worth having? Three tables a modality are committed; the rules are each module's.

::

    python -m tests.benchmarks.proving_ground.design              # append cells for checkpoints that are new
    python -m tests.benchmarks.proving_ground.run --minutes 60    # carry out missing cells, then all figures
    python -m tests.benchmarks.proving_ground.run --figures       # a new score, distance or ranker: no cells, seconds
    python -m tests.benchmarks.proving_ground.run --anew logme    # a score whose code has changed, from kept features
    python -m tests.benchmarks.proving_ground.report              # what the tables say, images first, then texts

``design.csv`` says what is to be run, ``outcomes.csv`` what came of it, ``scores.csv`` what was known beforehand. All
three only grow, and the last line of a figure holds: ``WeightsMissing`` where it could not be computed anew. Several
runners may work side by side. Data and real checkpoints are read from ``../shared``; ``--modality text`` runs texts,
for which real checkpoints lie in ``--teachers``.
"""
