"""scikit-learn's models as families: scikit-learn fits them, and a module of torch computes what they say.

So they are saved, averaged, calibrated, exported and timed as networks are, and nothing of them is ever unpickled.
"""

from harness.models.families.classical import boosting, forest, linear, minirocket, neighbours, svm

__all__ = ["boosting", "forest", "linear", "minirocket", "neighbours", "svm"]
