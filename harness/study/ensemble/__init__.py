"""The trials of a finished run averaged beside its final model, and scored once: ``harness ensemble``."""
