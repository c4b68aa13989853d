"""How a net learns: the recipe that carries out a plan, its loop, its rows, and what it is held against."""
