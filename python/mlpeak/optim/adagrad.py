"""Adagrad."""

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

__all__ = ["Adagrad"]


class Adagrad(Optimizer):
    """A step of the gradient over the root of the sum of all its squares.

    Parameters
    ----------
    params : iterable
        Tensors, or groups as dicts.
    lr : float
        Learning rate.
    lr_decay : float
        Step t is taken with ``lr / (1 + (t - 1) lr_decay)``.
    weight_decay : float
        Added to the gradient times the parameter.
    initial_accumulator_value : float
        What the sum starts from.
    eps : float
        Added to the root.
    maximize : bool
        Whether to climb.
    foreach, differentiable, fused : optional
        Taken for PyTorch's sake; the update is one native call a parameter.

    References
    ----------
    J. Duchi, E. Hazan, Y. Singer, "Adaptive subgradient methods for online learning and stochastic
    optimization", JMLR 12 (2011), figure 1.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        check_not_negative(
            {
                "learning rate": lr,
                "lr_decay value": lr_decay,
                "weight_decay value": weight_decay,
                "initial_accumulator_value value": initial_accumulator_value,
                "epsilon value": eps,
            }
        )
        check_implementation(False, differentiable)
        super().__init__(
            params,
            {
                "lr": lr,
                "lr_decay": lr_decay,
                "eps": eps,
                "weight_decay": weight_decay,
                "initial_accumulator_value": initial_accumulator_value,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
                "fused": fused,
            },
        )

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with options of their own; their state starts at once."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        for param in group["params"]:
            self.state[param] = {
                "step": 0,
                "sum": buffer(param, group["initial_accumulator_value"]),
            }

    def _update(self, param: Tensor, array: Array, grad: Array, group: dict[str, Any]) -> None:
        state = self.state[param]
        state["step"] += 1
        kernels.adagrad(
            array,
            grad,
            state["sum"]._array,
            step=state["step"],
            lr=float(group["lr"]),
            lr_decay=group["lr_decay"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=group["maximize"],
        )
