"""Adam and AdamW."""

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

__all__ = ["Adam", "AdamW"]


class Adam(Optimizer):
    """A step of the gradient's running mean over the root of its running mean square.

    Parameters
    ----------
    params : iterable
        Tensors, or groups as dicts.
    lr : float
        Learning rate.
    betas : (float, float)
        Share of the running means of g and g^2 that is kept.
    eps : float
        Added to the root.
    weight_decay : float
        Added to the gradient times the parameter.
    amsgrad : bool
        Whether to divide by the root of the largest mean square so far.
    maximize : bool
        Whether to climb.
    decoupled_weight_decay : bool
        Whether to shrink the parameter by ``lr * weight_decay`` instead, which is `AdamW`.
    foreach, capturable, differentiable, fused : optional
        Taken for PyTorch's sake; the update is one native call a parameter.

    References
    ----------
    D. P. Kingma, J. Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1.
    S. J. Reddi, S. Kale, S. Kumar, "On the convergence of Adam and beyond", ICLR 2018 (amsgrad).
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        check_not_negative({"learning rate": lr, "epsilon value": eps})
        for index in range(2):
            if not 0.0 <= betas[index] < 1.0:
                raise ValueError(f"Invalid beta parameter at index {index}: {betas[index]}")
        check_not_negative({"weight_decay value": weight_decay})
        check_implementation(capturable, differentiable)
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "amsgrad": amsgrad,
                "maximize": maximize,
                "foreach": foreach,
                "capturable": capturable,
                "differentiable": differentiable,
                "fused": fused,
                "decoupled_weight_decay": decoupled_weight_decay,
            },
        )

    def start_state(self, param: Tensor, group: dict[str, Any]) -> None:
        """Make the step count and the running means, unless they are there."""
        state = self.state[param]
        if not state:
            state["step"] = 0
            state["exp_avg"] = buffer(param)
            state["exp_avg_sq"] = buffer(param)
            if group["amsgrad"]:
                state["max_exp_avg_sq"] = buffer(param)

    def _update(self, param: Tensor, array: Array, grad: Array, group: dict[str, Any]) -> None:
        self.start_state(param, group)
        state = self.state[param]
        state["step"] += 1
        kernels.adam(
            array,
            grad,
            state["exp_avg"]._array,
            state["exp_avg_sq"]._array,
            state["max_exp_avg_sq"]._array if group["amsgrad"] else None,
            step=state["step"],
            lr=float(group["lr"]),
            betas=group["betas"],
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            decoupled=group["decoupled_weight_decay"],
            maximize=group["maximize"],
        )


class AdamW(Adam):
    """`Adam` whose weight decay shrinks the parameter and stays out of the running means.

    Parameters are those of `Adam`.

    References
    ----------
    I. Loshchilov, F. Hutter, "Decoupled weight decay regularization", ICLR 2019, algorithm 2.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )
