"""`Module`: what owns parameters, buffers and other modules."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

from mlpeak import dtypes
from mlpeak._core import note_change
from mlpeak._tensor import Tensor
from mlpeak.nn import _state
from mlpeak.nn.parameter import Parameter

__all__ = ["Module"]

Self = TypeVar("Self", bound="Module")
_REGISTRIES = ("_parameters", "_buffers", "_modules")


class Member(NamedTuple):
    """One entry of a state dictionary: its full name and where it lives."""

    name: str
    owner: Module
    key: str
    value: Tensor


class Module:
    """Base of all layers, losses and networks.

    A subclass calls ``super().__init__()``, assigns parameters and modules as attributes, which
    registers them, and defines ``forward``.

    Attributes
    ----------
    training : bool
        Whether the module is in training mode; see `train` and `eval`.

    Examples
    --------
    >>> from mlpeak import nn
    >>> class Net(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.hidden = nn.Linear(4, 3)
    ...
    ...     def forward(self, x):
    ...         return nn.functional.relu(self.hidden(x))
    >>> [name for name, _ in Net().named_parameters()]
    ['hidden.weight', 'hidden.bias']
    """

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]
    _non_persistent_buffers_set: set[str]

    def __init__(self) -> None:
        own = self.__dict__
        own["training"] = True
        own["_parameters"] = {}
        own["_buffers"] = {}
        own["_non_persistent_buffers_set"] = set()
        own["_modules"] = {}

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the module's output; each subclass defines it."""
        raise NotImplementedError(
            f'Module [{type(self).__name__}] is missing the required "forward" function'
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call `forward`."""
        return self.forward(*args, **kwargs)

    # attributes

    def __setattr__(self, name: str, value: Any) -> None:
        note_change()
        own = self.__dict__
        if isinstance(value, (Parameter, Module)):
            kind = "parameters" if isinstance(value, Parameter) else "module"
            if "_modules" not in own:
                raise AttributeError(f"cannot assign {kind} before Module.__init__() call")
            target = "_parameters" if isinstance(value, Parameter) else "_modules"
            own.pop(name, None)
            for registry in _REGISTRIES:
                if registry != target:
                    own[registry].pop(name, None)
            own["_non_persistent_buffers_set"].discard(name)
            if isinstance(value, Parameter):
                self.register_parameter(name, value)
            else:
                own["_modules"][name] = value
            return
        for registry, legal, kind in (
            ("_parameters", "mlpeak.nn.Parameter", "parameter"),
            ("_modules", "mlpeak.nn.Module", "child module"),
            ("_buffers", "mlpeak.Tensor", "buffer"),
        ):
            if name not in own.get(registry, ()):
                continue
            if value is not None and not (registry == "_buffers" and isinstance(value, Tensor)):
                raise TypeError(
                    f"cannot assign '{type(value).__name__}' as {kind} '{name}' "
                    f"({legal} or None expected)"
                )
            own[registry][name] = value
            return
        object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        # reached only when `name` is no ordinary attribute
        own = self.__dict__
        for registry in _REGISTRIES:
            if name in own.get(registry, ()):
                return own[registry][name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __delattr__(self, name: str) -> None:
        note_change()
        for registry in _REGISTRIES:
            if name in self.__dict__[registry]:
                del self.__dict__[registry][name]
                self._non_persistent_buffers_set.discard(name)
                return
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        names = {*super().__dir__(), *self._parameters, *self._buffers, *self._modules}
        return sorted(name for name in names if name.isidentifier())

    def _check_new_name(self, kind: str, name: str) -> None:
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string. Got {type(name).__name__}")
        if "." in name:
            raise KeyError(f'{kind} name can\'t contain ".", got: {name}')
        if name == "":
            raise KeyError(f'{kind} name can\'t be empty string ""')
        own = {"parameter": "_parameters", "buffer": "_buffers", "module": "_modules"}[kind]
        if hasattr(self, name) and name not in self.__dict__[own]:
            raise KeyError(f"attribute '{name}' already exists")

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter, reached as the attribute `name`.

        Raises
        ------
        TypeError
            If `param` is neither a `Parameter` nor None.
        KeyError
            If `name` is empty, contains a dot or is taken.
        """
        if "_parameters" not in self.__dict__:
            raise AttributeError("cannot assign parameter before Module.__init__() call")
        self._check_new_name("parameter", name)
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"cannot assign '{type(param).__name__}' object to parameter '{name}' "
                "(mlpeak.nn.Parameter or None required)"
            )
        note_change()
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is state but no parameter, such as a running mean.

        Parameters
        ----------
        name : str
            Its attribute name.
        tensor : Tensor or None
            None is left out of `state_dict`.
        persistent : bool
            Whether `state_dict` contains it.
        """
        if "_buffers" not in self.__dict__:
            raise AttributeError("cannot assign buffer before Module.__init__() call")
        self._check_new_name("buffer", name)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign '{type(tensor).__name__}' object to buffer '{name}' "
                "(mlpeak.Tensor or None required)"
            )
        note_change()
        self._buffers[name] = tensor
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a child module, reached as the attribute `name`."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{type(module).__name__} is not a Module subclass")
        self._check_new_name("module", name)
        note_change()
        self._modules[name] = module

    def register_module(self, name: str, module: Module | None) -> None:
        """Alias of `add_module`."""
        self.add_module(name, module)

    # walking the tree

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """Iterate over this module and all below it, depth first, with their dotted names."""
        if memo is None:
            memo = set()
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, child in self._modules.items():
            if child is not None:
                yield from child.named_modules(memo, _join(prefix, name), remove_duplicate)

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """Iterate over this module and all below it, depth first."""
        for _, module in self.named_modules(remove_duplicate=remove_duplicate):
            yield module

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Iterate over the direct children with their names; each once."""
        seen: set[Module] = set()
        for name, child in self._modules.items():
            if child is not None and child not in seen:
                seen.add(child)
                yield name, child

    def children(self) -> Iterator[Module]:
        """Iterate over the direct children; each once."""
        for _, child in self.named_children():
            yield child

    def _named_members(
        self, registry: str, prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        modules = (
            self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
            if recurse
            else iter([(prefix, self)])
        )
        for path, module in modules:
            for name, value in module.__dict__[registry].items():
                if value is None or id(value) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(value))
                yield _join(path, name), value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Iterate over the parameters with their dotted names; a shared one comes once."""
        yield from self._named_members("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Iterate over the parameters, as an optimizer wants them."""
        for _, param in self.named_parameters(recurse=recurse):
            yield param

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Iterate over the buffers with their dotted names."""
        yield from self._named_members("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Iterate over the buffers."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def get_submodule(self, target: str) -> Module:
        """Return the module of dotted name `target`; AttributeError if there is none."""
        module: Module = self
        for name in target.split(".") if target else ():
            if not hasattr(module, name):
                raise AttributeError(f"{type(module).__name__} has no attribute `{name}`")
            child = getattr(module, name)
            if not isinstance(child, Module):
                raise AttributeError(f"`{name}` is not an nn.Module")
            module = child
        return module

    def get_parameter(self, target: str) -> Parameter:
        """Return the parameter of dotted name `target`; AttributeError if there is none."""
        path, _, name = target.rpartition(".")
        owner = self.get_submodule(path)
        if not hasattr(owner, name):
            raise AttributeError(f"{type(owner).__name__} has no attribute `{name}`")
        param = getattr(owner, name)
        if not isinstance(param, Parameter):
            raise AttributeError(f"`{name}` is not an nn.Parameter")
        return param

    def get_buffer(self, target: str) -> Tensor:
        """Return the buffer of dotted name `target`; AttributeError if there is none."""
        path, _, name = target.rpartition(".")
        owner = self.get_submodule(path)
        if not hasattr(owner, name):
            raise AttributeError(f"{type(owner).__name__} has no attribute `{name}`")
        buffer = owner._buffers.get(name)
        if buffer is None:
            raise AttributeError(f"`{name}` is not a buffer")
        return buffer

    # changing all of it

    def apply(self: Self, fn: Callable[[Module], Any]) -> Self:
        """Call `fn` on every module below this one, then on this one."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def train(self: Self, mode: bool = True) -> Self:
        """Set training mode: dropout drops, batch normalisation uses the batch's statistics."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for child in self.children():
            child.train(mode)
        return self

    def eval(self: Self) -> Self:
        """Set evaluation mode, ``train(False)``."""
        return self.train(False)

    def requires_grad_(self: Self, requires_grad: bool = True) -> Self:
        """Set `requires_grad` of every parameter; False freezes the module."""
        for param in self.parameters():
            param.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of all parameters, or fill them with zeros."""
        for param in self.parameters():
            _state.zero_grad(param, set_to_none)

    def to(self: Self, *args: Any, **kwargs: Any) -> Self:
        """Convert parameters and floating buffers: ``to(dtype)``, ``to("cpu")``, ``to(tensor)``.

        Parameters keep their identity, so an optimizer made before still updates them.
        """
        dtype = _state.parse_to(*args, **kwargs)
        return self if dtype is None else self._convert(dtype)

    def float(self: Self) -> Self:
        """Convert to float32."""
        return self._convert(dtypes.float32)

    def double(self: Self) -> Self:
        """Convert to float64."""
        return self._convert(dtypes.float64)

    def cpu(self: Self) -> Self:
        """Return the module itself: it is on the CPU."""
        return self

    def _convert(self: Self, dtype: Any) -> Self:
        # a parameter shared by two modules is converted once: it keeps its identity
        for tensor in (*self.parameters(), *self.buffers()):
            _state.convert(tensor, dtype)
        return self

    # state

    def _members(self, prefix: str) -> Iterator[Member]:
        """Everything `state_dict` holds, in its order; shared tensors under each of their names."""
        for key, param in self._parameters.items():
            if param is not None:
                yield Member(prefix + key, self, key, param)
        for key, buffer in self._buffers.items():
            if buffer is not None and key not in self._non_persistent_buffers_set:
                yield Member(prefix + key, self, key, buffer)
        for name, child in self._modules.items():
            if child is not None:
                yield from child._members(prefix + name + ".")

    def state_dict(
        self,
        *,
        destination: dict[str, Any] | None = None,
        prefix: str = "",
        keep_vars: bool = False,
    ) -> dict[str, Any]:
        """Return parameters and persistent buffers by their dotted names.

        Parameters
        ----------
        destination : dict, optional
            Filled and returned in place of a new ``OrderedDict``.
        prefix : str
            Put before each name.
        keep_vars : bool
            Whether the values are the parameters themselves; by default they are detached tensors,
            which share the parameters' memory.

        Returns
        -------
        dict
            Tensors by name; the keys are PyTorch's for the same network.
        """
        result: dict[str, Any] = OrderedDict() if destination is None else destination
        for member in self._members(prefix):
            result[member.name] = member.value if keep_vars else member.value.detach()
        return result

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> _state.IncompatibleKeys:
        """Copy parameters and buffers from `state_dict`.

        Parameters
        ----------
        state_dict : mapping of str to Tensor or array
            Values may be tensors, NumPy arrays or anything that converts to one, such as PyTorch
            tensors; they are converted to the dtype of what they replace.
        strict : bool
            Whether a missing or unexpected key is an error.
        assign : bool
            Put the given tensors in place of the present ones, in place of copying.

        Returns
        -------
        IncompatibleKeys
            The named tuple ``(missing_keys, unexpected_keys)``.

        Raises
        ------
        RuntimeError
            If keys (when `strict`) or shapes differ. Nothing is written then.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(
                f"Expected state_dict to be dict-like, got {type(state_dict).__name__}."
            )
        members = list(self._members(""))
        return _state.load(type(self).__name__, members, state_dict, strict, assign)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    # text

    def extra_repr(self) -> str:
        """Return what `repr` shows between the parentheses; a subclass may define it."""
        return ""

    def _get_name(self) -> str:
        return type(self).__name__

    def _child_lines(self) -> list[str]:
        return [f"({name}): {_indent(repr(child))}" for name, child in self._modules.items()]

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        children = self._child_lines()
        if not children and len(lines) <= 1:
            return f"{self._get_name()}({extra})"
        body = "".join(f"  {line}\n" for line in (*lines, *children))
        return f"{self._get_name()}(\n{body})"


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def _indent(text: str) -> str:
    """Shift all lines but the first, which follows the child's name."""
    return text.replace("\n", "\n  ")
