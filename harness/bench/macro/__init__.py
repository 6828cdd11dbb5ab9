"""Training steps, inference and largest batch of the reference models. Importing this package registers its groups."""

from harness.bench.macro import group

__all__ = ["group"]
