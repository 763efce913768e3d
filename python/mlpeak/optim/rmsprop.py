"""RMSprop."""

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

__all__ = ["RMSprop"]


class RMSprop(Optimizer):
    """A step of the gradient over the root of its running mean square.

    Parameters
    ----------
    params : iterable
        Tensors, or groups as dicts.
    lr : float
        Learning rate.
    alpha : float
        Share of the running mean of g^2 that is kept.
    eps : float
        Added to the root.
    weight_decay : float
        Added to the gradient times the parameter.
    momentum : float
        Share of the last step that is kept.
    centered : bool
        Whether to divide by the root of the running variance instead.
    maximize : bool
        Whether to climb.
    capturable, foreach, differentiable : optional
        Taken for PyTorch's sake; the update is one native call a parameter.

    References
    ----------
    T. Tieleman, G. Hinton, "Lecture 6.5 - rmsprop", Neural networks for machine learning, 2012.
    A. Graves, "Generating sequences with recurrent neural networks", arXiv:1308.0850, equations
    38-45 (centered).
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        check_not_negative(
            {
                "learning rate": lr,
                "epsilon value": eps,
                "momentum value": momentum,
                "weight_decay value": weight_decay,
                "alpha value": alpha,
            }
        )
        check_implementation(capturable, differentiable)
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "alpha": alpha,
                "eps": eps,
                "centered": centered,
                "weight_decay": weight_decay,
                "capturable": capturable,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
            },
        )

    def start_state(self, param: Tensor, group: dict[str, Any]) -> None:
        """Make the step count and the running means, unless they are there."""
        state = self.state[param]
        if not state:
            state["step"] = 0
            state["square_avg"] = buffer(param)
            if group["momentum"] > 0:
                state["momentum_buffer"] = buffer(param)
            if group["centered"]:
                state["grad_avg"] = buffer(param)

    def _update(self, param: Tensor, array: Array, grad: Array, group: dict[str, Any]) -> None:
        self.start_state(param, group)
        state = self.state[param]
        state["step"] += 1
        kernels.rmsprop(
            array,
            grad,
            state["square_avg"]._array,
            state["momentum_buffer"]._array if group["momentum"] > 0 else None,
            state["grad_avg"]._array if group["centered"] else None,
            lr=float(group["lr"]),
            alpha=group["alpha"],
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            momentum=group["momentum"],
            maximize=group["maximize"],
        )
