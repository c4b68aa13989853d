"""Use of a finished run: predict, export, promote."""
