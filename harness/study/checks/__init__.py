"""Checks of the data before a search: what a reviewer would look at, each with its evidence and what to do about it.

They see samples that may be learnt from, and of the test samples, once these are open, the inputs alone.
What is drawn is drawn from the seed, so that the same data and seed give the same words.
"""
