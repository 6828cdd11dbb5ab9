"""Trials of a finished run averaged: selected by what they predicted of the validation samples, and scored once."""
