"""One reader for each kind of place where items lie; each returns plain rows and knows nothing of samples."""
