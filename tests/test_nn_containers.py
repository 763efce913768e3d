"""Containers of modules are lists and dictionaries, and print as such."""

from __future__ import annotations

from collections import OrderedDict

import pytest

from mlpeak import nn


def test_sequential_is_a_list_of_modules() -> None:
    net = nn.Sequential(OrderedDict(first=nn.Linear(2, 3), act=nn.ReLU(), last=nn.Linear(3, 1)))
    assert net[0] is net.first
    assert net[-1] is net.last
    assert [n for n, _ in net[1:].named_children()] == ["act", "last"]
    assert len(net) == 3
    net = nn.Sequential(nn.ReLU()).append(nn.Tanh()).extend([nn.Sigmoid()])
    net.insert(1, nn.GELU())
    net[0] = nn.SiLU()
    assert [type(m).__name__ for m in net] == ["SiLU", "GELU", "Tanh", "Sigmoid"]
    del net[1:3]
    assert list(net._modules) == ["0", "1"]
    assert isinstance(net.pop(0), nn.SiLU)
    assert isinstance(net[0], nn.Sigmoid)
    assert len(net + nn.Sequential(nn.ReLU())) == 2
    with pytest.raises(IndexError, match="index 5 is out of range"):
        net[5]
    with pytest.raises(TypeError, match="int is not a Module subclass"):
        nn.Sequential(3)


def test_module_list_and_dict() -> None:
    items = nn.ModuleList([nn.ReLU()])
    items += [nn.Tanh()]
    items.insert(0, nn.GELU())
    assert [type(m).__name__ for m in items] == ["GELU", "ReLU", "Tanh"]
    assert isinstance(items[1:], nn.ModuleList)
    assert len(items + nn.ModuleList([nn.SiLU()])) == 4
    with pytest.raises(NotImplementedError):
        items(1)
    names = nn.ModuleDict({"a": nn.ReLU()})
    names["b"] = nn.Linear(1, 1)
    names.update([("c", nn.Tanh())])
    assert list(names) == ["a", "b", "c"]
    assert "b" in names
    assert isinstance(names.pop("c"), nn.Tanh)
    assert [n for n, _ in names.named_parameters()] == ["b.weight", "b.bias"]
    assert len(names) == len(list(names.items())) == len(list(names.values())) == 2
    names.clear()
    assert list(names.keys()) == []


def test_repr_nests_and_folds() -> None:
    net = nn.Sequential(
        nn.Linear(2, 3), nn.ModuleList([nn.ReLU(), nn.ReLU(), nn.LeakyReLU(0.1, inplace=True)])
    )
    assert repr(net) == (
        "Sequential(\n"
        "  (0): Linear(in_features=2, out_features=3, bias=True)\n"
        "  (1): ModuleList(\n"
        "    (0-1): 2 x ReLU()\n"
        "    (2): LeakyReLU(negative_slope=0.1, inplace=True)\n"
        "  )\n"
        ")"
    )
