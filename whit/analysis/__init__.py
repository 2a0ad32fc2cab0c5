"""What training did beside the task."""
