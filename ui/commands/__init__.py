"""One module for each kind of command; `ui.program` names them, and loads one when its command is called."""
