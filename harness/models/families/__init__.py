"""Architecture families, one file each. Importing this package registers them."""

from harness.models.families import cnn, mlp

__all__ = ["cnn", "mlp"]
