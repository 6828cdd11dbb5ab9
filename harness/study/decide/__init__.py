"""What is tried next, and what is given up: samplers, pruners, and the study as they see it."""
