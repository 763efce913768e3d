"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from typing import Any

from mlpeak import kernels
from mlpeak._tensor import Tensor
from mlpeak._types import Array
from mlpeak.optim.optimizer import (
    Optimizer,
    Params,
    buffer,
    check_implementation,
    check_not_negative,
)

__all__ = ["SGD"]


class SGD(Optimizer):
    """``buf = momentum buf + (1 - dampening) g``, ``p = p - lr buf``.

    Parameters
    ----------
    params : iterable
        Tensors, or groups as dicts.
    lr : float
        Learning rate.
    momentum : float
        Share of the last step's direction that is kept.
    dampening : float
        Share of the gradient that is left out of the direction.
    weight_decay : float
        Added to the gradient times the parameter.
    nesterov : bool
        Whether the step looks ahead: ``p - lr (g + momentum buf)``.
    maximize : bool
        Whether to climb.
    foreach, differentiable, fused : optional
        Taken for PyTorch's sake; the update is one native call a parameter.

    References
    ----------
    I. Sutskever, J. Martens, G. Dahl, G. Hinton, "On the importance of initialization and momentum
    in deep learning", ICML 2013.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_not_negative(
            {
                "learning rate": lr,
                "momentum value": momentum,
                "weight_decay value": weight_decay,
            }
        )
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        check_implementation(False, differentiable)
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "maximize": maximize,
                "foreach": foreach,
                "differentiable": differentiable,
                "fused": fused,
            },
        )

    def start_state(self, param: Tensor, group: dict[str, Any]) -> None:
        """Make the momentum buffer, if there is momentum, unless it is there."""
        if group["momentum"] != 0 and self.state[param].get("momentum_buffer") is None:
            self.state[param]["momentum_buffer"] = buffer(param)

    def _update(self, param: Tensor, array: Array, grad: Array, group: dict[str, Any]) -> None:
        momentum_buffer, first = None, False
        if group["momentum"] != 0:
            first = self.state[param].get("momentum_buffer") is None
            self.start_state(param, group)
            momentum_buffer = self.state[param]["momentum_buffer"]._array
        kernels.sgd(
            array,
            grad,
            momentum_buffer,
            lr=float(group["lr"]),
            momentum=group["momentum"],
            dampening=group["dampening"],
            weight_decay=group["weight_decay"],
            nesterov=group["nesterov"] and group["momentum"] != 0,
            maximize=group["maximize"],
            first=first,
        )
