"""Modules, with PyTorch's names, arguments and behaviour."""

from mlpeak.nn import activation as _activation
from mlpeak.nn import containers as _containers
from mlpeak.nn import dropout as _dropout
from mlpeak.nn import flatten as _flatten
from mlpeak.nn import functional, init, parameter, utils
from mlpeak.nn import linear as _linear
from mlpeak.nn import loss as _loss
from mlpeak.nn import normalization as _normalization
from mlpeak.nn import sparse as _sparse
from mlpeak.nn.activation import *
from mlpeak.nn.containers import *
from mlpeak.nn.dropout import *
from mlpeak.nn.flatten import *
from mlpeak.nn.linear import *
from mlpeak.nn.loss import *
from mlpeak.nn.module import Module
from mlpeak.nn.normalization import *
from mlpeak.nn.parameter import Parameter
from mlpeak.nn.sparse import *

__all__ = [
    "Module",
    "Parameter",
    "functional",
    "init",
    "parameter",
    "utils",
    *_activation.__all__,
    *_containers.__all__,
    *_dropout.__all__,
    *_flatten.__all__,
    *_linear.__all__,
    *_loss.__all__,
    *_normalization.__all__,
    *_sparse.__all__,
]
