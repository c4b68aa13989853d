"""Values that come from the slow and certain computation."""
