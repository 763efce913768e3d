"""A module's state: saved and loaded, copied, pickled, converted."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

from mlpeak import dtypes, nn
from mlpeak._from_data import tensor
from nn_cases import Net, arrays


def test_state_round_trip() -> None:
    a, b = Net(), Net()
    state = a.state_dict()
    assert isinstance(state, OrderedDict)
    assert "scratch" not in state
    assert "body.1.num_batches_tracked" in state
    assert not any(value.requires_grad for value in state.values())
    assert a.state_dict(keep_vars=True)["scale"] is a.scale
    assert np.may_share_memory(state["scale"].numpy(), a.scale.detach().numpy())
    result = b.load_state_dict(state)
    assert repr(result) == "<All keys matched successfully>"
    for name, value in arrays(b).items():
        np.testing.assert_array_equal(value, state[name].numpy())
    into: dict[str, Any] = {}
    assert a.state_dict(destination=into) is into


def test_loading_reports_keys_and_shapes_and_writes_nothing() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    before = arrays(net)
    state: dict[str, Any] = dict(before)
    state["0.weight"] = np.zeros((4, 2), np.float32)
    state["1.weight"] = np.zeros((1, 3), np.float32)
    state["extra"] = state.pop("1.bias")
    message = (
        "Error(s) in loading state_dict for Sequential:\n"
        '\tMissing key(s) in state_dict: "1.bias". \n'
        '\tUnexpected key(s) in state_dict: "extra". \n'
        "\tsize mismatch for 0.weight: copying a param with shape (4, 2) from checkpoint, "
        "the shape in current model is (3, 2)."
    )
    with pytest.raises(RuntimeError) as error:
        net.load_state_dict(state)
    assert str(error.value) == message
    for name, value in arrays(net).items():
        np.testing.assert_array_equal(value, before[name])
    state["0.weight"] = before["0.weight"]
    result = net.load_state_dict(state, strict=False)
    assert result.missing_keys == ["1.bias"]
    assert result.unexpected_keys == ["extra"]
    assert result == (["1.bias"], ["extra"])
    assert not net[1].weight.detach().numpy().any()
    with pytest.raises(RuntimeError, match="or array from checkpoint object but received"):
        net.load_state_dict({**before, "1.bias": 1.0})
    with pytest.raises(TypeError, match="Expected state_dict to be dict-like, got list"):
        net.load_state_dict([])  # type: ignore[arg-type]


def test_loading_messages_are_torchs() -> None:
    torch = pytest.importorskip("torch")
    messages = []
    for library, zeros in ((nn, lambda *s: tensor(np.zeros(s))), (torch.nn, torch.zeros)):
        net = library.Sequential(library.Linear(2, 3))
        with pytest.raises(RuntimeError) as error:
            net.load_state_dict({"0.weight": zeros(4, 2), "b": zeros(1), "c": zeros(1)})
        messages.append(str(error.value))
    assert messages[0] == messages[1].replace("torch.Size([", "(").replace("])", ")")


def test_loading_casts_or_assigns() -> None:
    net = nn.Linear(2, 1)
    weight = net.weight
    net.load_state_dict({"weight": np.array([[1.0, 2.0]]), "bias": np.array([3.0])})
    assert net.weight is weight
    assert net.weight.dtype == np.float32
    assert net.weight.tolist() == [[1.0, 2.0]]
    net.load_state_dict({"weight": np.ones((1, 2)), "bias": np.ones(1)}, assign=True)
    assert net.weight is not weight
    assert net.weight.dtype == np.float64
    assert isinstance(net.weight, nn.Parameter)


def test_loading_between_forward_and_backward_is_noticed() -> None:
    net = nn.Linear(2, 1)
    x = tensor([[1.0, 2.0]], requires_grad=True)
    loss = net(x).sum()
    net.load_state_dict(net.state_dict())
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_are_equal_and_independent(duplicate: Any) -> None:
    net = Net().eval()
    twin = duplicate(net)
    assert not twin.training
    assert repr(twin) == repr(net)
    assert type(twin.scale) is nn.Parameter
    for name, value in arrays(net).items():
        np.testing.assert_array_equal(arrays(twin)[name], value)
    x = tensor(np.ones((3, 4), np.float32))
    np.testing.assert_array_equal(twin(x).detach().numpy(), net(x).detach().numpy())
    nn.init.zeros_(twin.scale)
    assert net.scale.item() == 2.0
    # what was shared stays shared
    layer = nn.Linear(2, 2)
    assert duplicate(nn.Sequential(layer, layer))[0] is not layer
    pair = duplicate(nn.Sequential(layer, layer))
    assert pair[0].weight is pair[1].weight


def test_conversion_keeps_identity_and_integers() -> None:
    net = Net()
    net(tensor(np.ones((3, 4), np.float32))).sum().backward()
    weight = net.body[0].weight
    assert net.double() is net
    assert net.body[0].weight is weight
    assert weight.dtype == np.float64
    assert weight.grad is not None
    assert weight.grad.dtype == np.float64
    assert net.seen.dtype == np.float64
    assert net.body[1].num_batches_tracked.dtype == np.int64
    assert net.float().scale.dtype == np.float32
    assert net.to(dtypes.float64).scale.dtype == np.float64
    assert net.to("cpu", dtypes.float32).scale.dtype == np.float32
    assert net.to(tensor(np.ones(1))).scale.dtype == np.float64
    assert net.to(device="cpu").cpu().scale.dtype == np.float64
    with pytest.raises(ValueError, match="device is 'cuda'; mlpeak runs on 'cpu' only"):
        net.to("cuda")
    with pytest.raises(TypeError, match="only accepts floating point dtypes"):
        net.to(dtypes.int64)
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        net.to(colour=1)
    assert nn.Linear(1, 1, dtype=dtypes.float64).weight.dtype == np.float64
    with pytest.raises(ValueError, match="device is 'cuda:0'"):
        nn.Linear(1, 1, device="cuda:0")
