"""Statistics of comparisons: how far scores differ, how sure that is, and what may be said of it.

NumPy, and SciPy where it is needed; nothing here knows of models or tasks.
"""

from harness.statistics.design import Design, PairVerdict, Word, holm
from harness.statistics.errors import mean_error, share_error
from harness.statistics.margin import Margin
from harness.statistics.medians import Interval, median_interval, resampled_medians, rounds_interval
from harness.statistics.paired import Paired, compare_paired, equivalence_p, sign_flip
from harness.statistics.prediction import Expected, prediction_interval
from harness.statistics.tasks import Ranks, critical_differences, friedman, interquartile_mean, signed_rank

__all__ = [
    "Design",
    "Expected",
    "Interval",
    "Margin",
    "PairVerdict",
    "Paired",
    "Ranks",
    "Word",
    "compare_paired",
    "critical_differences",
    "equivalence_p",
    "friedman",
    "holm",
    "interquartile_mean",
    "mean_error",
    "median_interval",
    "prediction_interval",
    "resampled_medians",
    "rounds_interval",
    "share_error",
    "sign_flip",
    "signed_rank",
]
