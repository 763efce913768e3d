"""`Optimizer`: parameter groups, state and its saving; what all optimizers share."""

from __future__ import annotations

import copy
import warnings
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from mlpeak._core import note_change
from mlpeak._from_data import from_numpy
from mlpeak._memory import aligned_copy, aligned_full
from mlpeak._tensor import Tensor
from mlpeak._types import Array
from mlpeak.grad_mode import enable_grad
from mlpeak.nn._state import as_array, zero_grad

__all__ = ["Optimizer"]

Params = Iterable[Any]


class Follower(Protocol):
    """What changes an optimizer's state behind its back, and can bring it up to date."""

    def flush(self) -> None:
        """Write what is still to be counted into the state."""


class Optimizer:
    """Base of all optimizers.

    A subclass hands its options to ``super().__init__`` and defines `_update`, the change of one
    parameter; or it defines `step` as a whole.

    Parameters
    ----------
    params : iterable of Tensor, of (str, Tensor) or of dict
        What to optimize; a dict is a group, with ``"params"`` and options of its own.
    defaults : dict
        The options of groups that do not set them.

    Attributes
    ----------
    param_groups : list of dict
        Each holds ``"params"`` and the options.
    """

    def __init__(self, params: Params, defaults: dict[str, Any]) -> None:
        if isinstance(params, Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or "
                f"dicts, but got {type(params).__name__}"
            )
        self.defaults = defaults
        self._state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        self._followers: weakref.WeakSet[Follower] = weakref.WeakSet()
        self.param_groups: list[dict[str, Any]] = []
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    @property
    def state(self) -> defaultdict[Tensor, dict[str, Any]]:
        """For each parameter, what the optimizer remembers."""
        for follower in self._followers:
            follower.flush()
        note_change()
        return self._state

    @state.setter
    def state(self, value: defaultdict[Tensor, dict[str, Any]]) -> None:
        self._state = value
        note_change()

    def follow(self, follower: Follower) -> None:
        """Let a compiled step, which counts its updates itself, be asked for them by `state`."""
        self._followers.add(follower)

    def __getstate__(self) -> dict[str, Any]:
        state = {**self.__dict__, "_state": self.state}
        del state["_followers"]  # compiled steps belong to this optimizer, not to its copies
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._followers = weakref.WeakSet()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with options of their own, as when a frozen layer is released.

        Raises
        ------
        TypeError
            If the group is no dict, its parameters are in a set, or one is no tensor.
        ValueError
            If a parameter is no leaf or is in two groups, or a required option is missing.
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        given = param_group["params"]
        if isinstance(given, (set, frozenset)):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but the "
                "ordering of tensors in sets will change between runs. Please use a list instead."
            )
        entries = [given] if isinstance(given, Tensor) else list(given)
        group = {**param_group, "params": entries}
        if entries and all(isinstance(entry, tuple) for entry in entries):
            group["param_names"] = [name for name, _ in entries]
            group["params"] = [param for _, param in entries]
        for param in group["params"]:
            if not isinstance(param, Tensor):
                raise TypeError(
                    "optimizer can only optimize Tensors, but one of the params is "
                    f"{type(param).__name__}"
                )
            if not param.is_leaf:
                raise ValueError("can't optimize a non-leaf Tensor")
        for name, value in self.defaults.items():
            group.setdefault(name, value)
        ids = {id(param) for param in group["params"]}
        if len(ids) != len(group["params"]):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters; each is updated "
                "as often as it is listed",
                stacklevel=3,
            )
        if any(id(param) in ids for other in self.param_groups for param in other["params"]):
            raise ValueError("some parameters appear in more than one parameter group")
        self.param_groups.append(group)
        note_change()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient.

        Parameters
        ----------
        closure : callable, optional
            Computes the loss and its gradients anew; called before the update.

        Returns
        -------
        object
            What `closure` returned; None without one.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is not None:
                    self._step_one(param, param.grad._array, group)
        self._step_called = True
        return loss

    #: Whether `step` ran; a scheduler warns if it is stepped before the optimizer.
    _step_called = False

    def _step_one(self, param: Tensor, grad: Array, group: dict[str, Any]) -> None:
        array = param._array
        if array.flags.c_contiguous:
            self._update(param, array, grad, group)
        else:  # as a transposed parameter is; kernels write contiguous memory only
            work = array.copy(order="C")
            self._update(param, work, grad, group)
            array[...] = work
        param.bump_version()

    def _update(self, param: Tensor, array: Array, grad: Array, group: dict[str, Any]) -> None:
        """Change `array`, the values of `param`, by its gradient and ``self.state[param]``."""
        raise NotImplementedError(f"{type(self).__name__} defines neither step nor _update")

    def start_state(self, param: Tensor, group: dict[str, Any]) -> None:
        """Make what ``self.state[param]`` holds before the first update, unless it is there."""

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of all parameters, or fill them with zeros."""
        for group in self.param_groups:
            for param in group["params"]:
                zero_grad(param, set_to_none)

    # state

    def state_dict(self) -> dict[str, Any]:
        """Return the state in PyTorch's layout.

        Returns
        -------
        dict
            ``"state"``: for each parameter, by its number, what the optimizer remembers;
            ``"param_groups"``: the options, with the parameters' numbers. The tensors are shared.
        """
        numbers: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            for param in group["params"]:
                numbers.setdefault(id(param), len(numbers))
            packed = {name: value for name, value in group.items() if name != "params"}
            packed["params"] = [numbers[id(param)] for param in group["params"]]
            groups.append(packed)
        state = {numbers.get(id(param), param): value for param, value in self.state.items()}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over the state that `state_dict` returned, of mlpeak or of PyTorch.

        Parameters
        ----------
        state_dict : mapping
            Its arrays are copied and converted to the dtypes of the parameters.

        Raises
        ------
        ValueError
            If the groups differ in number or size, or an array's shape does not fit. Nothing is
            changed then.
        """
        groups = self.param_groups
        saved = state_dict["param_groups"]
        if len(groups) != len(saved):
            raise ValueError("loaded state dict has a different number of parameter groups")
        if any(len(a["params"]) != len(b["params"]) for a, b in zip(groups, saved, strict=True)):
            raise ValueError(
                "loaded state dict contains a parameter group that doesn't match the size of "
                "optimizer's group"
            )
        params = {
            number: param
            for group, old in zip(groups, saved, strict=True)
            for param, number in zip(group["params"], old["params"], strict=True)
        }
        state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        for number, values in state_dict["state"].items():
            param = params[number]
            state[param] = {name: _restored(name, v, param) for name, v in values.items()}
        self.state = state
        for group, old in zip(groups, saved, strict=True):
            kept = {name: copy.deepcopy(v) for name, v in old.items() if name != "params"}
            for name in set(group) - set(kept) - {"params"} - set(self.defaults):
                del group[name]
            group.update(kept)

    def __repr__(self) -> str:
        groups = []
        for number, group in enumerate(self.param_groups):
            lines = [f"    {name}: {group[name]}\n" for name in sorted(group) if name != "params"]
            groups.append(f"Parameter Group {number}\n{''.join(lines)}")
        return f"{type(self).__name__} (\n" + "\n".join(groups) + ")"


def _restored(name: str, value: Any, param: Tensor) -> Any:
    if name == "step":
        return int(value)
    array = as_array(value)
    if array is None:
        return copy.deepcopy(value)
    if array.shape != param.shape:
        raise ValueError(
            f"load_state_dict: {name} has shape {array.shape}; expected {param.shape}, the "
            "parameter's"
        )
    return from_numpy(aligned_copy(array, param.dtype))


def buffer(param: Tensor, value: float = 0.0) -> Tensor:
    """Return a tensor of state like `param`, filled with `value`."""
    return from_numpy(aligned_full(param.shape, value, param.dtype))


def check_not_negative(options: dict[str, float]) -> None:
    """Raise PyTorch's ValueError for the first of the named options that is negative or NaN."""
    for name, value in options.items():
        if not value >= 0.0:
            raise ValueError(f"Invalid {name}: {value}")


def check_implementation(capturable: bool, differentiable: bool) -> None:
    """Refuse what the fused CPU update cannot do."""
    if capturable or differentiable:
        name = "capturable" if capturable else "differentiable"
        raise ValueError(f"{name} is True; mlpeak's optimizers update in place: expected False")
