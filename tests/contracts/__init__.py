"""One suite for each promise; a plug-in subclasses it and names itself."""
