"""Training: the recipe that carries out a plan, its loop, its rows, and the controls of a run."""
