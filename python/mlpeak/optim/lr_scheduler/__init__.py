"""Schedules of the learning rate.

Each ``step()`` is one unit of the schedule, an epoch or an update as the caller chooses. The rates
follow from the present ones by PyTorch's chained formulas.
"""

from mlpeak.optim.lr_scheduler.base import LRScheduler
from mlpeak.optim.lr_scheduler.chained import (
    CosineAnnealingLR,
    ExponentialLR,
    LambdaLR,
    MultiStepLR,
    StepLR,
)
from mlpeak.optim.lr_scheduler.one_cycle import OneCycleLR
from mlpeak.optim.lr_scheduler.plateau import ReduceLROnPlateau

__all__ = [
    "CosineAnnealingLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "MultiStepLR",
    "OneCycleLR",
    "ReduceLROnPlateau",
    "StepLR",
]
