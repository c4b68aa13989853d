"""One module for each kind of command; `ui.cli` names them, and loads one when its command is called."""
