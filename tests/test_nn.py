"""Modules: registration, walking, state, conversion, containers, and each layer's own rules."""

from __future__ import annotations

import copy
import hashlib
import pickle
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

import mlpeak
from mlpeak import dtypes, nn, optim
from mlpeak._random import manual_seed
from mlpeak._tensor import Tensor, from_numpy, tensor
from mlpeak.nn import functional as F


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 2))


def arrays(module: nn.Module) -> dict[str, np.ndarray]:
    return {name: value.numpy().copy() for name, value in module.state_dict().items()}


class Net(nn.Module):
    """Everything a module can own."""

    def __init__(self) -> None:
        super().__init__()
        self.body = mlp()
        self.scale = nn.Parameter(tensor([2.0]))
        self.register_parameter("absent", None)
        self.register_buffer("seen", tensor([0.0]))
        self.register_buffer("scratch", tensor([1.0]), persistent=False)
        self.plain = "text"

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) * self.scale


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


# state


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


# containers


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


# layers


def test_dropout_drops_scales_and_repeats_its_mask_in_backward() -> None:
    manual_seed(3)
    x = tensor(np.ones(10_000, np.float32), requires_grad=True)
    layer = nn.Dropout(0.25)
    y = layer(x)
    kept = y.detach().numpy() != 0
    np.testing.assert_array_equal(y.detach().numpy()[kept], np.float32(1 / 0.75))
    # standard deviation of the share kept: sqrt(.25 * .75 / 10000) = 0.0043
    assert abs(kept.mean() - 0.75) < 5 * 0.0044
    y.sum().backward()
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy())
    assert (layer(x).detach().numpy() != y.detach().numpy()).any()
    manual_seed(3)
    np.testing.assert_array_equal(layer(x).detach().numpy(), y.detach().numpy())
    assert layer.eval()(x) is x
    assert not nn.Dropout(1.0)(x).detach().numpy().any()
    for p in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="probability has to be between 0 and 1, but got"):
            nn.Dropout(p)
        with pytest.raises(ValueError, match="probability has to be between 0 and 1, but got"):
            F.dropout(x, p)


def test_batch_norm_refuses_what_has_no_variance_or_the_wrong_shape() -> None:
    layer = nn.BatchNorm1d(3)
    with pytest.raises(ValueError, match="Expected more than 1 value per channel when training"):
        layer(tensor(np.ones((1, 3), np.float32)))
    with pytest.raises(ValueError, match=r"expected 2D input \(got 1D input\)"):
        layer(tensor(np.ones(3, np.float32)))
    assert layer.eval()(tensor(np.ones((1, 3), np.float32))).shape == (1, 3)
    layer.train()
    layer(tensor(np.arange(6, dtype=np.float32).reshape(2, 3)))
    assert layer.num_batches_tracked.item() == 1
    layer.reset_running_stats()
    assert layer.num_batches_tracked.item() == 0
    assert layer.running_var.tolist() == [1.0, 1.0, 1.0]


def test_normalized_shape_must_be_the_end_of_the_inputs() -> None:
    for layer in (nn.LayerNorm((3, 2)), nn.RMSNorm((3, 2))):
        with pytest.raises(RuntimeError, match=r"Given normalized_shape=\[3, 2\]"):
            layer(tensor(np.ones((4, 2, 3), np.float32)))
    with pytest.raises(RuntimeError, match="expected weight to be of same shape"):
        F.layer_norm(tensor(np.ones((4, 2))), [2], weight=tensor(np.ones(3)))


def test_embedding_padding_and_refusals() -> None:
    layer = nn.Embedding(5, 2, padding_idx=-2)
    assert layer.padding_idx == 3
    assert layer.weight.tolist()[3] == [0.0, 0.0]
    layer(tensor([3, 1, 1])).sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.tolist() == [[0, 0], [2, 2], [0, 0], [0, 0], [0, 0]]
    with pytest.raises(ValueError, match="Padding_idx must be within num_embeddings"):
        nn.Embedding(5, 2, padding_idx=5)
    with pytest.raises(ValueError, match="max_norm, scale_grad_by_freq and sparse"):
        nn.Embedding(5, 2, sparse=True)
    with pytest.raises(ValueError, match="5"):
        layer(tensor([5]))
    frozen = nn.Embedding.from_pretrained(tensor([[1.0, 2.0]]))
    assert not frozen.weight.requires_grad
    assert frozen(tensor([0])).tolist() == [[1.0, 2.0]]
    with pytest.raises(ValueError, match="2-dimensional"):
        nn.Embedding.from_pretrained(tensor([1.0]))
    with pytest.raises(ValueError, match="Shape of weight does not match"):
        nn.Embedding(3, 2, _weight=tensor([[1.0, 2.0]]))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x, t: F.mse_loss(x, t[:1]), ValueError, "target"),
        (lambda x, t: F.mse_loss(x, t.double()), TypeError, "target"),
        (lambda x, t: F.mse_loss(x, t, reduction="avg"), ValueError, "reduction is 'avg'"),
        (lambda x, t: F.cross_entropy(x, tensor([0, 9])), ValueError, "target holds 9"),
        (lambda x, t: F.cross_entropy(x, tensor([0])), ValueError, "target"),
        (lambda x, t: F.gaussian_nll_loss(x, t, t[0]), ValueError, "var is of incorrect size"),
        (lambda x, t: F.gaussian_nll_loss(x, t, -1.0), ValueError, "var holds -1.0"),
        (lambda x, t: F.gelu(x, approximate="erf"), ValueError, "approximate is 'erf'"),
        (lambda x, t: F.softmax(x, 2), IndexError, r"range of \[-2, 1\], but got 2"),
        (lambda x, t: F.leaky_relu(x, -1.0), ValueError, "negative_slope"),
        (lambda x, t: F.linear(x, t[:, :2]), ValueError, "linear"),
        (lambda x, t: F.one_hot(x), TypeError, "expected integers"),
        (lambda x, t: F.one_hot(tensor([3]), 2), ValueError, "classes from 3 to 3"),
        (lambda x, t: nn.Unflatten(4, (1, 1))(x), IndexError, "but got 4"),
    ],
)
def test_wrong_input_is_refused(call: Any, error: type[Exception], message: str) -> None:
    x = tensor(np.full((2, 3), 0.5, np.float32))
    t = tensor(np.full((2, 3), 0.25, np.float32))
    with pytest.raises(error, match=message):
        call(x, t)


def test_element_weights_need_a_reduction_that_exists() -> None:
    x = tensor([0.5, 0.5])
    with pytest.raises(ValueError, match="reduction is 'avg'; expected one of none, mean, sum"):
        F.binary_cross_entropy(x, x, weight=x, reduction="avg")
    with pytest.raises(ValueError, match="Weights and input must have the same size"):
        F.mse_loss(x, x, weight=tensor([1.0]))


def test_a_target_that_would_need_a_gradient_is_refused() -> None:
    x = tensor([0.5], requires_grad=True)
    with pytest.raises(RuntimeError, match="derivative for 'target' is not implemented"):
        F.binary_cross_entropy(x, x)


# training


def train() -> str:
    """Hash of every parameter and statistic after training, large enough to run on threads."""
    manual_seed(11)
    rng = np.random.default_rng(5)
    x = from_numpy(rng.normal(size=(257, 128)).astype(np.float32))
    y = from_numpy(rng.integers(0, 3, 257))
    model = nn.Sequential(
        nn.Linear(128, 200),
        nn.BatchNorm1d(200),
        nn.GELU(),
        nn.Dropout(0.1),
        nn.Linear(200, 97),
        nn.LayerNorm(97),
        nn.Tanh(),
        nn.Linear(97, 3),
    )
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(12):
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    digest = hashlib.sha256()
    for value in arrays(model).values():
        digest.update(value.tobytes())
    return digest.hexdigest()


def test_training_gives_the_same_bits_every_time(tier: str) -> None:
    expected = train()
    for threads in (1, 2, 4):
        mlpeak.set_num_threads(threads)
        assert train() == expected


def test_training_gives_the_same_bits_on_every_tier() -> None:
    from mlpeak import _core

    before = _core.tier()
    hashes = set()
    for tier in _core.tiers():
        _core.select_tier(tier)
        hashes.add(train())
    _core.select_tier(before)
    assert len(hashes) == 1


# clipping


@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.0, float("inf")])
@pytest.mark.parametrize("max_norm", [0.5, 1e3])
def test_clip_grad_norm_is_torchs(norm_type: float, max_norm: float) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    grads = [rng.normal(size=(7, 5)), rng.normal(size=3)]
    ours = [nn.Parameter(from_numpy(np.zeros_like(g))) for g in grads]
    theirs = [torch.nn.Parameter(torch.zeros(g.shape, dtype=torch.float64)) for g in grads]
    for p, q, g in zip(ours, theirs, grads, strict=True):
        p.grad, q.grad = from_numpy(g.copy()), torch.from_numpy(g.copy())
    norm = nn.utils.clip_grad_norm_(ours, max_norm, norm_type)
    expected = torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type)
    # sums of 38 terms
    np.testing.assert_allclose(norm.item(), expected.item(), rtol=64 * 2.0**-52)
    for p, q in zip(ours, theirs, strict=True):
        assert p.grad is not None
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=64 * 2.0**-52)


def test_clip_grad_norm_of_what_is_not_finite() -> None:
    p = nn.Parameter(tensor([1.0, 2.0]))
    assert nn.utils.clip_grad_norm_([p], 1.0).item() == 0.0
    p.grad = tensor([float("inf"), 1.0])
    with pytest.raises(RuntimeError, match="The total norm of order"):
        nn.utils.clip_grad_norm_(p, 1.0, error_if_nonfinite=True)
    assert p.grad.tolist() == [float("inf"), 1.0]
    assert nn.utils.clip_grad_norm_(p, 1.0).item() == float("inf")
    assert p.grad.tolist()[1] == 0.0
    assert np.isnan(p.grad.tolist()[0])


def test_clip_grad_value() -> None:
    p = nn.Parameter(tensor([1.0, 2.0, 3.0]))
    p.grad = tensor([-5.0, 0.5, 5.0])
    nn.utils.clip_grad_value_([p], 1.0)
    assert p.grad.tolist() == [-1.0, 0.5, 1.0]
