"""Modules: what registers by assignment, and walking over all that a module owns."""

from __future__ import annotations

import numpy as np
import pytest

from mlpeak import nn
from mlpeak._from_data import tensor
from mlpeak._tensor import Tensor
from nn_cases import Net

# registration


def test_assignment_registers_by_type() -> None:
    net = Net()
    assert [n for n, _ in net.named_parameters()] == [
        "scale",
        "body.0.weight",
        "body.0.bias",
        "body.1.weight",
        "body.1.bias",
        "body.3.weight",
        "body.3.bias",
    ]
    assert [n for n, _ in net.named_buffers()][:2] == ["seen", "scratch"]
    assert [n for n, _ in net.named_children()] == ["body"]
    assert [n for n, _ in net.named_modules()] == [
        "",
        "body",
        "body.0",
        "body.1",
        "body.2",
        "body.3",
    ]
    assert net.plain == "text"
    assert {"scale", "seen", "body", "plain"} <= set(dir(net))


def test_an_attribute_changes_its_kind() -> None:
    net = Net()
    net.plain = nn.Linear(1, 1)
    assert "plain" in dict(net.named_children())
    net.plain = nn.Parameter(tensor([1.0]))
    assert "plain" in dict(net.named_parameters())
    assert "plain" not in dict(net.named_children())
    net.scale = None
    assert "scale" not in dict(net.named_parameters())
    assert net.scale is None
    del net.scale
    assert not hasattr(net, "scale")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("scale", 1.0, "cannot assign 'float' as parameter 'scale'"),
        ("scale", "tensor", "cannot assign 'Tensor' as parameter 'scale'"),
        ("body", 1.0, "cannot assign 'float' as child module 'body'"),
        ("seen", 1.0, "cannot assign 'float' as buffer 'seen'"),
    ],
)
def test_assigning_the_wrong_type_is_refused(name: str, value: object, message: str) -> None:
    net = Net()
    if value == "tensor":
        value = tensor([1.0])
    with pytest.raises(TypeError, match=message):
        setattr(net, name, value)


def test_registering_is_refused_before_init_and_for_bad_names() -> None:
    class Early(nn.Module):
        def __init__(self) -> None:
            self.layer = nn.Linear(1, 1)

    class EarlyParameter(nn.Module):
        def __init__(self) -> None:
            self.w = nn.Parameter(tensor([1.0]))

    with pytest.raises(AttributeError, match=r"cannot assign module before Module.__init__"):
        Early()
    with pytest.raises(AttributeError, match=r"cannot assign parameters before Module.__init__"):
        EarlyParameter()
    net = Net()
    for name, message in (
        ("a.b", "name can.*contain"),
        ("", "name can.*be empty"),
        ("forward", "already exists"),
    ):
        with pytest.raises(KeyError, match=message):
            net.register_buffer(name, None)
        with pytest.raises(KeyError, match=message):
            net.register_parameter(name, None)
        with pytest.raises(KeyError, match=message):
            net.add_module(name, None)
    with pytest.raises(TypeError, match="buffer name should be a string"):
        net.register_buffer(1, None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="object to buffer"):
        net.register_buffer("b", 1.0)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="object to parameter"):
        net.register_parameter("p", tensor([1.0]))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="int is not a Module subclass"):
        net.add_module("m", 1)  # type: ignore[arg-type]


def test_missing_attribute_and_missing_forward() -> None:
    with pytest.raises(AttributeError, match="'Net' object has no attribute 'nothing'"):
        Net().nothing  # noqa: B018
    with pytest.raises(NotImplementedError, match='missing the required "forward" function'):
        nn.Module()(1)


def test_parameter_needs_a_floating_tensor() -> None:
    with pytest.raises(TypeError, match="data is ndarray; expected a Tensor"):
        nn.Parameter(np.ones(2))  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="floating point dtype can require gradients"):
        nn.Parameter(tensor([1, 2]))
    data = tensor([1.0, 2.0])
    parameter = nn.Parameter(data)
    assert isinstance(parameter, Tensor)
    assert parameter.requires_grad
    assert parameter.is_leaf
    assert parameter.detach().numpy().base is not None
    assert np.may_share_memory(parameter.detach().numpy(), data.numpy())
    assert not nn.Parameter(data, requires_grad=False).requires_grad
    assert repr(parameter) == "Parameter containing:\ntensor([1., 2.], requires_grad=True)"
    assert not isinstance(parameter * 2, nn.Parameter)


# walking


def test_shared_modules_and_parameters_come_once() -> None:
    layer = nn.Linear(2, 2)
    net = nn.Sequential(layer, nn.ReLU(), layer)
    assert len(list(net.parameters())) == 2
    assert len(list(net.modules())) == 3
    assert len(list(net.children())) == 2
    assert [n for n, _ in net.named_modules(remove_duplicate=False)] == ["", "0", "1", "2"]
    assert [n for n, _ in net.named_parameters(remove_duplicate=False)] == [
        "0.weight",
        "0.bias",
        "2.weight",
        "2.bias",
    ]
    tied = nn.Linear(2, 2)
    tied.weight = layer.weight
    assert len(list(nn.ModuleList([layer, tied]).parameters())) == 3
    assert list(net.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]


def test_prefix_and_recurse() -> None:
    net = Net()
    assert [n for n, _ in net.named_parameters(prefix="net", recurse=False)] == ["net.scale"]
    assert [n for n, _ in net.named_buffers(recurse=False)] == ["seen", "scratch"]
    assert next(iter(net.state_dict(prefix="net."))) == "net.scale"


def test_members_by_dotted_name() -> None:
    net = Net()
    assert net.get_submodule("body.3") is net.body[3]
    assert net.get_submodule("") is net
    assert net.get_parameter("body.0.weight") is net.body[0].weight
    assert net.get_buffer("body.1.running_mean") is net.body[1].running_mean
    for get, name, message in (
        (net.get_submodule, "body.9", "Sequential has no attribute `9`"),
        (net.get_submodule, "plain", "`plain` is not an nn.Module"),
        (net.get_parameter, "body.0.nothing", "Linear has no attribute `nothing`"),
        (net.get_parameter, "seen", "`seen` is not an nn.Parameter"),
        (net.get_buffer, "scale", "`scale` is not a buffer"),
    ):
        with pytest.raises(AttributeError, match=message):
            get(name)


def test_apply_visits_children_first() -> None:
    visited: list[str] = []
    net = nn.Sequential(nn.Sequential(nn.ReLU()), nn.Tanh())
    assert net.apply(lambda m: visited.append(type(m).__name__)) is net
    assert visited == ["ReLU", "Sequential", "Tanh", "Sequential"]


def test_train_and_eval_reach_every_module() -> None:
    net = Net()
    assert net.eval() is net
    assert not any(m.training for m in net.modules())
    net.train()
    assert all(m.training for m in net.modules())
    with pytest.raises(ValueError, match="training mode is expected to be boolean"):
        net.train(1)  # type: ignore[arg-type]


def test_freezing_and_zero_grad() -> None:
    net = Net()
    net.body[0].requires_grad_(False)
    net(tensor(np.ones((3, 4), np.float32))).sum().backward()
    assert net.body[0].weight.grad is None
    assert net.body[3].weight.grad is not None
    net.zero_grad(set_to_none=False)
    assert net.body[0].weight.grad is None
    assert not net.body[3].weight.grad.numpy().any()
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())
