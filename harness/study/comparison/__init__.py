"""A comparison of architectures: each searched alone, then the frozen winners under the same seeds."""
