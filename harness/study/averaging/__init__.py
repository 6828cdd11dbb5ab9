"""Trials averaged: selected by what they predicted of the validation samples, and made into one model."""
