"""One module for each kind of command; `ui.cli` hangs them under their names."""
