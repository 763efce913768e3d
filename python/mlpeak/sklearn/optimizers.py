"""What the stochastic solvers remember between two updates, under scikit-learn's names.

The arrays are those of `Network.parameters`: (out, in) for a weight. ``ms``, ``vs`` and
``velocities`` show them as ``coefs_`` and ``intercepts_`` are shaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlpeak import kernels
from mlpeak._memory import aligned_full
from mlpeak._types import Array
from mlpeak.sklearn.network import trainable

__all__ = ["AdamOptimizer", "Optimizer", "SGDOptimizer", "take_optimizer"]


class Optimizer:
    """State of a solver.

    Parameters
    ----------
    parameters : sequence of ndarray
    learning_rate_init : float

    Attributes
    ----------
    learning_rate : float
        That of the last update, or of the next where it changes by epochs.
    states : list of list of ndarray
        Of each parameter, in the order in which the native update takes them.
    """

    #: the native update, and how many arrays it keeps for a parameter
    rule = ""
    state_count = 0
    #: attributes that are parameters of the estimator
    options: tuple[str, ...] = ()

    def __init__(self, parameters: Sequence[Array], learning_rate_init: float) -> None:
        self.learning_rate_init = learning_rate_init
        self.learning_rate = float(learning_rate_init)
        count = range(self.state_count)
        self.states = [[aligned_full(p.shape, 0.0, p.dtype) for _ in count] for p in parameters]

    def _shown(self, number: int) -> list[Array]:
        return [state[number].T for state in self.states]

    def hold(self, parameters: Sequence[Array]) -> bool:
        """Let the states stand as native code writes them; return whether they fit parameters."""
        shapes = [[state.shape for state in states] for states in self.states]
        if shapes != [[p.shape] * self.state_count for p in parameters]:
            return False
        self.states = [
            [trainable(state, p.dtype) for state in states]
            for states, p in zip(self.states, parameters, strict=True)
        ]
        return True

    def follow(self, other: Optimizer) -> None:
        """Take the options of another one of this class; states and what was counted stay."""
        if self.learning_rate_init != other.learning_rate_init:
            self.learning_rate = other.learning_rate
        for name in ("learning_rate_init", *self.options):
            setattr(self, name, getattr(other, name))

    def group(self) -> dict[str, Any]:
        """Return the numbers of the next update, as a program reads them; see `update`."""
        raise NotImplementedError

    #: how many updates were made, where their numbers depend on it
    t = 0

    def count(self, updates: int) -> None:
        """Note that updates were made."""

    def update(
        self, params: Sequence[Array], grads: Sequence[Array], decays: Sequence[float]
    ) -> None:
        """Make one update; a decay is the L2 penalty's factor, added to the gradient."""
        raise NotImplementedError

    def iteration_ends(self, time_step: int) -> None:
        """Change the learning rate after an epoch; `time_step` counts samples from 0."""

    def trigger_stopping(self, msg: str, verbose: Any) -> bool:
        """Return whether to stop, now that there is no improvement."""
        if verbose:
            print(msg + " Stopping.")
        return True


class SGDOptimizer(Optimizer):
    """Descent with momentum: ``v = momentum v - lr g``, ``p += v``.

    With Nesterov's momentum it is ``p += momentum v - lr g`` with the new v.
    """

    rule = "sgd"
    state_count = 1
    options = ("lr_schedule", "momentum", "nesterov", "power_t")

    def __init__(
        self,
        parameters: Sequence[Array],
        learning_rate_init: float,
        lr_schedule: str,
        momentum: float,
        nesterov: bool,
        power_t: float,
    ) -> None:
        super().__init__(parameters, learning_rate_init)
        self.lr_schedule = lr_schedule
        self.momentum = momentum
        self.nesterov = nesterov
        self.power_t = power_t

    def follow(self, other: Optimizer) -> None:
        """Take the options of another one; another schedule begins with its first rate."""
        assert isinstance(other, SGDOptimizer)
        if self.lr_schedule != other.lr_schedule:
            self.learning_rate = other.learning_rate
        super().follow(other)

    @property
    def velocities(self) -> list[Array]:
        """The velocities; states hold them with the sign of the gradient."""
        return [-array for array in self._shown(0)]

    def group(self) -> dict[str, Any]:
        """Return the numbers of the next update."""
        return {
            "lr": self.learning_rate,
            "momentum": self.momentum,
            "dampening": 0.0,
            "weight_decay": 0.0,
            "nesterov": bool(self.nesterov) and self.momentum != 0,
            "maximize": False,
            "velocity": True,
        }

    def update(
        self, params: Sequence[Array], grads: Sequence[Array], decays: Sequence[float]
    ) -> None:
        """Make one update."""
        lr = self.learning_rate
        for param, grad, decay, (buffer,) in zip(params, grads, decays, self.states, strict=True):
            # the rate goes into the buffer: it may change while the velocity stays
            grad *= lr
            if self.momentum == 0:
                np.add(grad, lr * decay * param, out=buffer)
                param -= buffer
                continue
            kernels.sgd(
                param,
                grad,
                buffer,
                lr=1.0,
                momentum=self.momentum,
                nesterov=bool(self.nesterov),
                weight_decay=lr * decay,
            )

    def iteration_ends(self, time_step: int) -> None:
        """Lower the learning rate if it scales inversely."""
        if self.lr_schedule == "invscaling":
            self.learning_rate = float(self.learning_rate_init) / (time_step + 1) ** self.power_t

    def trigger_stopping(self, msg: str, verbose: Any) -> bool:
        """Return whether to stop; an adaptive rate is lowered first."""
        if self.lr_schedule != "adaptive":
            return super().trigger_stopping(msg, verbose)
        if self.learning_rate <= 1e-6:
            if verbose:
                print(msg + " Learning rate too small. Stopping.")
            return True
        self.learning_rate /= 5.0
        if verbose:
            print(msg + f" Setting learning rate to {self.learning_rate:f}")
        return False


class AdamOptimizer(Optimizer):
    """Adam, with epsilon beside the root of the uncorrected second moment; AdamW by weight_decay.

    ``p -= lr sqrt(1 - beta_2^t) / (1 - beta_1^t) m / (sqrt(v) + epsilon)``

    References
    ----------
    Kingma, Ba, "Adam: A method for stochastic optimization", 2014, section 2: the efficient form.
    Loshchilov, Hutter, "Decoupled weight decay regularization", 2017.
    """

    rule = "adam"
    state_count = 2
    options = ("beta_1", "beta_2", "epsilon", "weight_decay")

    def __init__(
        self,
        parameters: Sequence[Array],
        learning_rate_init: float,
        beta_1: float,
        beta_2: float,
        epsilon: float,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, learning_rate_init)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.weight_decay = weight_decay
        self.t = 0

    @property
    def ms(self) -> list[Array]:
        """First moments."""
        return self._shown(0)

    @property
    def vs(self) -> list[Array]:
        """Second moments."""
        return self._shown(1)

    def group(self) -> dict[str, Any]:
        """Return the numbers of the next update."""
        return {
            "lr": self.learning_rate_init,
            "betas": (self.beta_1, self.beta_2),
            "eps": self.epsilon,
            "weight_decay": self.weight_decay,
            "decoupled_weight_decay": True,
            "maximize": False,
            "amsgrad": False,
            "uncorrected_eps": True,
        }

    def count(self, updates: int) -> None:
        """Note that updates were made."""
        if updates:
            self.t += updates
            correction = np.sqrt(1 - self.beta_2**self.t) / (1 - self.beta_1**self.t)
            self.learning_rate = float(self.learning_rate_init * correction)

    def update(
        self, params: Sequence[Array], grads: Sequence[Array], decays: Sequence[float]
    ) -> None:
        """Make one update."""
        self.count(1)
        eps = self.epsilon / np.sqrt(1 - self.beta_2**self.t)
        for param, grad, decay, (m, v) in zip(params, grads, decays, self.states, strict=True):
            if decay and self.weight_decay:
                grad += decay * param
            if param.ndim > 1 and self.weight_decay:
                param *= 1 - self.learning_rate_init * self.weight_decay
                decay = 0.0
            kernels.adam(
                param,
                grad,
                m,
                v,
                step=self.t,
                lr=self.learning_rate_init,
                betas=(self.beta_1, self.beta_2),
                eps=eps,
                weight_decay=decay,
            )


def take_optimizer(parameters: Sequence[Array], estimator: Any, incremental: bool) -> Optimizer:
    """Return the state with which an estimator's solver begins: that of before, or a new one.

    Parameters
    ----------
    parameters : sequence of ndarray
        Of the network; a state that does not fit them is not kept.
    estimator : BaseMLP
    incremental : bool
        Whether this is partial_fit, which goes on as scikit-learn's does.
    """
    e = estimator
    kept = incremental or (e.warm_start and e.keep_optimizer_state)
    old: Optimizer | None = getattr(e, "_optimizer", None)
    if not kept or old is None or not old.hold(parameters):
        return _new_optimizer(parameters, e)
    if incremental:
        return old
    now = _new_optimizer((), e)
    if type(now) is not type(old):
        return _new_optimizer(parameters, e)
    old.follow(now)
    return old


def _new_optimizer(parameters: Sequence[Array], estimator: Any) -> Optimizer:
    e = estimator
    if e.solver == "sgd":
        return SGDOptimizer(
            parameters,
            e.learning_rate_init,
            e.learning_rate,
            e.momentum,
            e.nesterovs_momentum,
            e.power_t,
        )
    decay = e.weight_decay if e.solver == "adamw" else 0.0
    return AdamOptimizer(parameters, e.learning_rate_init, e.beta_1, e.beta_2, e.epsilon, decay)
