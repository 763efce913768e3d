"""Containers: modules that hold modules in an order or under names."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any, TypeVar, overload

from mlpeak._core import note_change
from mlpeak.nn.module import Module, _indent

__all__ = ["ModuleDict", "ModuleList", "Sequential"]

Self = TypeVar("Self", bound="_Indexed")


class _Indexed(Module):
    """Children named "0", "1", ..., reached by index and slice."""

    def _key(self, index: int) -> str:
        """Name of the child at `index`, which may count from the end."""
        length = len(self)
        position = operator.index(index)
        if not -length <= position < length:
            raise IndexError(f"index {position} is out of range")
        return list(self._modules)[position % length]

    def _renumber(self, children: list[Module]) -> None:
        self._modules.clear()
        self._modules.update((str(i), child) for i, child in enumerate(children))

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self: Self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return self._slice(list(self._modules.items())[index])
        return self._modules[self._key(index)]

    def _slice(self, items: list[tuple[str, Module | None]]) -> Any:
        raise NotImplementedError

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, self._key(index), module)

    def __delitem__(self, index: int | slice) -> None:
        keys = list(self._modules)[index] if isinstance(index, slice) else [self._key(index)]
        for key in keys:
            delattr(self, key)
        if all(key.isdecimal() for key in self._modules):
            self._renumber(list(self))

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._modules.values())

    def __iadd__(self: Self, other: Iterable[Module]) -> Self:
        return self.extend(other)

    def append(self: Self, module: Module) -> Self:
        """Add `module` at the end."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self: Self, modules: Iterable[Module]) -> Self:
        """Add each of `modules` at the end."""
        for module in list(modules):
            self.append(module)
        return self

    def insert(self: Self, index: int, module: Module) -> Self:
        """Put `module` before the child at `index`."""
        if not isinstance(module, Module):
            raise TypeError(f"{type(module).__name__} is not a Module subclass")
        children = list(self)
        if not -len(children) <= index <= len(children):
            raise IndexError(f"Index out of range: {index}")
        children.insert(index, module)
        self._renumber(children)
        return self

    def pop(self, index: int = -1) -> Any:
        """Remove the child at `index` and return it."""
        child = self[index]
        del self[index]
        return child


class Sequential(_Indexed):
    """Modules applied one after another.

    Parameters
    ----------
    *args : Module
        The modules in order, or one ``OrderedDict`` of modules by name.

    Examples
    --------
    >>> from mlpeak import nn
    >>> nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1))[0]
    Linear(in_features=4, out_features=3, bias=True)
    """

    def __init__(self, *args: Any) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], Mapping):
            for name, module in args[0].items():
                self.add_module(name, module)
        else:
            self.extend(args)

    def _slice(self, items: list[tuple[str, Module | None]]) -> Any:
        return type(self)(dict(items))

    def forward(self, input: Any) -> Any:
        """Return the last module's output, each fed with the one before."""
        for module in self._modules.values():
            input = module(input)  # type: ignore[misc]
        return input

    def __add__(self, other: Sequential) -> Sequential:
        if not isinstance(other, Sequential):
            raise ValueError(
                "add operator supports only objects of Sequential class, "
                f"but {type(other).__name__} is given."
            )
        return Sequential(*self, *other)


class ModuleList(_Indexed):
    """A list of modules, registered as children; it has no ``forward``.

    Parameters
    ----------
    modules : iterable of Module, optional
        The first children.
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.extend(modules)

    def _slice(self, items: list[tuple[str, Module | None]]) -> Any:
        return type(self)(module for _, module in items if module is not None)

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    def _child_lines(self) -> list[str]:
        # a run of modules that look the same is one line: (0-2): 3 x Linear(...)
        lines = []
        for text, run in groupby(enumerate(map(repr, self)), key=lambda item: item[1]):
            first, *rest = [index for index, _ in run]
            label = f"({first}-{rest[-1]}): {len(rest) + 1} x" if rest else f"({first}):"
            lines.append(f"{label} {_indent(text)}")
        return lines


class ModuleDict(Module):
    """Modules by name, registered as children; it has no ``forward``.

    Parameters
    ----------
    modules : mapping of str to Module or iterable of pairs, optional
        The first children.
    """

    def __init__(
        self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None
    ) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Any:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        if key not in self._modules:
            raise KeyError(key)
        delattr(self, key)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: str) -> bool:
        return key in self._modules

    def clear(self) -> None:
        """Remove all children."""
        note_change()
        self._modules.clear()

    def pop(self, key: str) -> Any:
        """Remove the child `key` and return it."""
        child = self[key]
        del self[key]
        return child

    def keys(self) -> Iterable[str]:
        """Return the names."""
        return self._modules.keys()

    def values(self) -> Iterable[Any]:
        """Return the modules."""
        return self._modules.values()

    def items(self) -> Iterable[tuple[str, Any]]:
        """Return pairs of name and module."""
        return self._modules.items()

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add or replace children."""
        for key, module in dict(modules).items():
            self[key] = module
