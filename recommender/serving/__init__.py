"""What a finished run is good for: predict, export, promote."""
