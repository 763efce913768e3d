"""Optimizers and schedules of the learning rate, with PyTorch's names and behaviour."""

from mlpeak.optim import lr_scheduler
from mlpeak.optim.adagrad import Adagrad
from mlpeak.optim.adam import Adam, AdamW
from mlpeak.optim.optimizer import Optimizer
from mlpeak.optim.rmsprop import RMSprop
from mlpeak.optim.sgd import SGD

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "Optimizer", "RMSprop", "lr_scheduler"]
