"""Statistics of scores: figures with intervals, when to stop asking, agreement between judges, calibration."""

from .agreement import Agreement, agreement, cohen_kappa, spearman
from .bootstrap import (
    DRAWS,
    LEVEL,
    Draws,
    Interval,
    Pairing,
    auroc,
    auroc_draws,
    balanced_accuracy,
    balanced_accuracy_draws,
    median_interval,
    midranks,
    multiplicities,
    paired,
    pearson,
    pearson_draws,
    percentile_interval,
    plain,
    ratio_draws,
)
from .calibration import Bin, Calibration, calibration
from .rates import auroc_interval, mean_of_rates, wilson
from .stopping import batches, narrow

__all__ = [
    "DRAWS",
    "LEVEL",
    "Agreement",
    "Bin",
    "Calibration",
    "Draws",
    "Interval",
    "Pairing",
    "agreement",
    "auroc",
    "auroc_draws",
    "auroc_interval",
    "balanced_accuracy",
    "balanced_accuracy_draws",
    "batches",
    "calibration",
    "cohen_kappa",
    "mean_of_rates",
    "median_interval",
    "midranks",
    "multiplicities",
    "narrow",
    "paired",
    "pearson",
    "pearson_draws",
    "percentile_interval",
    "plain",
    "ratio_draws",
    "spearman",
    "wilson",
]
