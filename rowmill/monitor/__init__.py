"""Health of the installation."""
