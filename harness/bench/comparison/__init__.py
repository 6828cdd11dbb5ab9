"""Two runs of the benchmark side by side."""
