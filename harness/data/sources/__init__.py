"""Readers: files and built-in data sets in, samples as they were read out."""
