"""What is done to documents before a step trains on them, one a file."""
