"""What is compared: one script for each, run in its own environment."""
