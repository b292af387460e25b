"""Submit, run, steer and sweep jobs; their progress and results."""
