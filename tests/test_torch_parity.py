"""Modules, losses and functions against PyTorch: values, gradients, states, texts, signatures."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mlpeak import nn, optim
from mlpeak._tensor import Tensor, from_numpy
from mlpeak.nn import functional as F

torch = pytest.importorskip("torch")

BATCH = 17


def both(array: np.ndarray, requires_grad: bool = False) -> tuple[Tensor, Any]:
    """The same values as a tensor of mlpeak and of torch, on memory of their own."""
    ours, theirs = from_numpy(array.copy()), torch.from_numpy(array.copy())
    if requires_grad:
        ours.requires_grad_()
        theirs.requires_grad_()
    return ours, theirs


def assert_close(actual: Any, expected: Any, what: str) -> None:
    """Equal within the rounding of sums of at most 64 terms.

    The sums here have up to 33 terms and their terms an error of a few ulp, so a result differs by
    less than 64 epsilon of the largest magnitude on either side.
    """
    a = actual.detach().numpy()
    e = expected.detach().numpy()
    assert a.shape == e.shape, what
    assert a.dtype == e.dtype, what
    scale = float(np.max(np.abs(e), initial=0)) if np.isfinite(e).all() else 1.0
    tolerance = 64 * np.finfo(a.dtype).eps
    np.testing.assert_allclose(a, e, rtol=tolerance, atol=tolerance * scale, err_msg=what)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


# each is made with mlpeak.nn and with torch.nn; the shape is the input's
LAYERS: dict[str, tuple[Callable[[Any], Any], tuple[int, ...]]] = {
    "Linear": (lambda m: m.Linear(5, 3), (BATCH, 5)),
    "Linear-no-bias": (lambda m: m.Linear(5, 33, bias=False), (BATCH, 5)),
    "Linear-3d": (lambda m: m.Linear(5, 3), (4, 6, 5)),
    "Linear-1d": (lambda m: m.Linear(5, 3), (5,)),
    "Identity": (lambda m: m.Identity(54, unused=1), (BATCH, 5)),
    "Flatten": (lambda m: m.Flatten(), (4, 3, 2)),
    "Flatten-dims": (lambda m: m.Flatten(0, 1), (4, 3, 2)),
    "Unflatten": (lambda m: m.Unflatten(1, (2, -1)), (4, 6)),
    "ReLU": (lambda m: m.ReLU(), (BATCH, 5)),
    "LeakyReLU": (lambda m: m.LeakyReLU(0.2), (BATCH, 5)),
    "ELU": (lambda m: m.ELU(alpha=1.3), (BATCH, 5)),
    "SELU": (lambda m: m.SELU(), (BATCH, 5)),
    "GELU": (lambda m: m.GELU(), (BATCH, 5)),
    "GELU-tanh": (lambda m: m.GELU(approximate="tanh"), (BATCH, 5)),
    "SiLU": (lambda m: m.SiLU(), (BATCH, 5)),
    "Mish": (lambda m: m.Mish(), (BATCH, 5)),
    "Sigmoid": (lambda m: m.Sigmoid(), (BATCH, 5)),
    "LogSigmoid": (lambda m: m.LogSigmoid(), (BATCH, 5)),
    "Tanh": (lambda m: m.Tanh(), (BATCH, 5)),
    "Softplus": (lambda m: m.Softplus(beta=2.0, threshold=3.0), (BATCH, 5)),
    "Softmax": (lambda m: m.Softmax(dim=1), (BATCH, 5)),
    "Softmax-dim-0": (lambda m: m.Softmax(dim=0), (BATCH, 5)),
    "LogSoftmax": (lambda m: m.LogSoftmax(dim=-1), (BATCH, 5)),
    "LogSoftmax-middle": (lambda m: m.LogSoftmax(dim=1), (2, 3, 4)),
    "Dropout-0": (lambda m: m.Dropout(p=0.0), (BATCH, 5)),
    "BatchNorm1d": (lambda m: m.BatchNorm1d(5), (BATCH, 5)),
    "BatchNorm1d-cumulative": (lambda m: m.BatchNorm1d(5, 1e-3, momentum=None), (BATCH, 5)),
    "BatchNorm1d-plain": (lambda m: m.BatchNorm1d(5, affine=False), (BATCH, 5)),
    "BatchNorm1d-untracked": (
        lambda m: m.BatchNorm1d(5, track_running_stats=False),
        (BATCH, 5),
    ),
    "BatchNorm1d-no-bias": (lambda m: m.BatchNorm1d(5, bias=False), (BATCH, 5)),
    "LayerNorm": (lambda m: m.LayerNorm(5), (BATCH, 5)),
    "LayerNorm-2d": (lambda m: m.LayerNorm((3, 5), eps=1e-3), (BATCH, 3, 5)),
    "LayerNorm-plain": (lambda m: m.LayerNorm([5], elementwise_affine=False), (BATCH, 5)),
    "LayerNorm-no-bias": (lambda m: m.LayerNorm(5, bias=False), (BATCH, 5)),
    "RMSNorm": (lambda m: m.RMSNorm(5), (BATCH, 5)),
    "RMSNorm-2d": (lambda m: m.RMSNorm((3, 5), eps=1e-3), (BATCH, 3, 5)),
    "RMSNorm-plain": (lambda m: m.RMSNorm(5, elementwise_affine=False), (BATCH, 5)),
    "MLP": (
        lambda m: m.Sequential(
            m.Linear(5, 8, bias=False),
            m.BatchNorm1d(8),
            m.Tanh(),
            m.Sequential(m.Linear(8, 2), m.GELU()),
        ),
        (BATCH, 5),
    ),
}


def layer_pair(make: Callable[[Any], Any], dtype: Any, rng: np.random.Generator) -> Any:
    """A layer of both libraries with the same random parameters."""
    ours, theirs = make(nn), make(torch.nn)
    theirs.double() if dtype == np.float64 else theirs.float()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter += torch.from_numpy(rng.normal(size=parameter.shape)).to(parameter.dtype)
    ours.double() if dtype == np.float64 else ours.float()
    ours.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})
    return ours, theirs


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", LAYERS)
def test_layer_has_torchs_values_and_gradients(
    name: str, dtype: Any, rng: np.random.Generator
) -> None:
    make, shape = LAYERS[name]
    ours, theirs = layer_pair(make, dtype, rng)
    for training in (True, True, False):
        ours.train(training)
        theirs.train(training)
        ours.zero_grad()
        theirs.zero_grad()
        x, tx = both(rng.normal(size=shape).astype(dtype), requires_grad=True)
        y, ty = ours(x), theirs(tx)
        assert_close(y, ty, "output")
        g, tg = both(rng.normal(size=ty.shape).astype(dtype))
        y.backward(g)
        ty.backward(tg)
        assert_close(x.grad, tx.grad, "gradient of the input")
        expected = dict(theirs.named_parameters())
        for key, parameter in ours.named_parameters():
            assert_close(parameter.grad, expected[key].grad, f"gradient of {key}")
        for key, buffer in theirs.named_buffers():
            mine = dict(ours.named_buffers())[key]
            if buffer.is_floating_point():
                assert_close(mine, buffer, key)
            else:
                assert mine.item() == buffer.item()


@pytest.mark.parametrize("padding_idx", [None, 2, -1])
def test_embedding_has_torchs_values_and_gradients(
    padding_idx: int | None, rng: np.random.Generator
) -> None:
    ours, theirs = layer_pair(lambda m: m.Embedding(6, 3, padding_idx=padding_idx), np.float64, rng)
    x, tx = both(rng.integers(0, 6, size=(4, 5)))
    y, ty = ours(x), theirs(tx)
    assert_close(y, ty, "output")
    g, tg = both(rng.normal(size=ty.shape))
    y.backward(g)
    ty.backward(tg)
    assert_close(ours.weight.grad, theirs.weight.grad, "gradient")
    assert repr(ours) == repr(theirs)


@pytest.mark.parametrize("name", LAYERS)
def test_layer_prints_and_saves_as_torchs_does(name: str) -> None:
    ours, theirs = LAYERS[name][0](nn), LAYERS[name][0](torch.nn)
    assert repr(ours) == repr(theirs)
    mine, expected = ours.state_dict(), theirs.state_dict()
    assert list(mine) == list(expected)
    for key, value in expected.items():
        assert mine[key].shape == tuple(value.shape)
        assert str(mine[key].dtype) == str(value.dtype).removeprefix("torch.")
    # and back: torch takes ours
    theirs.load_state_dict({k: torch.from_numpy(v.numpy().copy()) for k, v in mine.items()})


def test_containers_print_as_torchs_do() -> None:
    def make(m: Any) -> Any:
        net = m.Sequential(m.Linear(2, 3), m.ReLU(inplace=True))
        net.add_module("tail", m.ModuleList([m.Linear(3, 3), m.Linear(3, 3), m.Dropout(0.2)]))
        net.heads = m.ModuleDict({"a": m.Identity(), "b": m.Softmax(dim=None)})
        net.empty = m.ModuleList()
        net.losses = m.ModuleList([m.MSELoss(), m.CrossEntropyLoss(), m.GaussianNLLLoss()])
        return net

    assert repr(make(nn)) == repr(make(torch.nn))


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


# name of the class, options (arrays become tensors), kind of input and target
LOSSES: dict[str, tuple[str, dict[str, Any], str]] = {
    "mse": ("MSELoss", {}, "real"),
    "l1": ("L1Loss", {}, "real"),
    "smooth_l1": ("SmoothL1Loss", {"beta": 0.7}, "real"),
    "smooth_l1-0": ("SmoothL1Loss", {"beta": 0.0}, "real"),
    "huber": ("HuberLoss", {"delta": 0.7}, "real"),
    "cross_entropy": ("CrossEntropyLoss", {}, "classes"),
    "cross_entropy-weight": (
        "CrossEntropyLoss",
        {"weight": np.array([0.5, 2.0, 1.0, 0.0, 3.0])},
        "classes",
    ),
    "cross_entropy-ignore": ("CrossEntropyLoss", {"ignore_index": 1}, "classes"),
    "cross_entropy-smooth": (
        "CrossEntropyLoss",
        {
            "weight": np.array([0.5, 2.0, 1.0, 0.1, 3.0]),
            "ignore_index": 2,
            "label_smoothing": 0.1,
        },
        "classes",
    ),
    "cross_entropy-soft": ("CrossEntropyLoss", {}, "distributions"),
    "cross_entropy-soft-weight": (
        "CrossEntropyLoss",
        {"weight": np.array([0.5, 2.0, 1.0, 0.1, 3.0]), "label_smoothing": 0.2},
        "distributions",
    ),
    "nll": ("NLLLoss", {}, "log-classes"),
    "nll-weight": (
        "NLLLoss",
        {"weight": np.array([0.5, 2.0, 1.0, 0.1, 3.0]), "ignore_index": 4},
        "log-classes",
    ),
    "bce": ("BCELoss", {}, "probabilities"),
    "bce-weight": ("BCELoss", {"weight": np.array([0.5, 2.0, 1.0, 0.1, 3.0])}, "probabilities"),
    "bce_logits": ("BCEWithLogitsLoss", {}, "logits"),
    "bce_logits-pos": (
        "BCEWithLogitsLoss",
        {"pos_weight": np.array([0.5, 2.0, 1.0, 0.1, 3.0])},
        "logits",
    ),
    "bce_logits-both": (
        "BCEWithLogitsLoss",
        {
            "weight": np.linspace(0.1, 2.0, BATCH)[:, None],
            "pos_weight": np.array([0.5, 2.0, 1.0, 0.1, 3.0]),
        },
        "logits",
    ),
    "gaussian": ("GaussianNLLLoss", {}, "gaussian"),
    "gaussian-full": ("GaussianNLLLoss", {"full": True, "eps": 0.3}, "gaussian"),
    "gaussian-column": ("GaussianNLLLoss", {"full": True}, "gaussian-column"),
    "gaussian-vector": ("GaussianNLLLoss", {}, "gaussian-vector"),
    "poisson": ("PoissonNLLLoss", {}, "counts"),
    "poisson-full": ("PoissonNLLLoss", {"full": True}, "counts"),
    "poisson-rate": ("PoissonNLLLoss", {"log_input": False, "eps": 1e-4}, "positive-counts"),
}


def loss_arrays(kind: str, dtype: Any, rng: np.random.Generator) -> list[np.ndarray]:
    """Input, target and whatever else the loss is called with."""
    x = rng.normal(size=(BATCH, 5))
    if kind == "real":
        arrays = [x, x + rng.normal(size=x.shape)]
    elif kind == "classes":
        arrays = [x, rng.integers(0, 5, BATCH)]
    elif kind == "log-classes":
        arrays = [np.log(softmax(x)), rng.integers(0, 5, BATCH)]
    elif kind == "distributions":
        arrays = [x, softmax(rng.normal(size=x.shape))]
    elif kind == "probabilities":
        arrays = [1 / (1 + np.exp(-x)), rng.uniform(size=x.shape)]
    elif kind == "logits":
        arrays = [3 * x, rng.uniform(size=x.shape)]
    elif kind.startswith("gaussian"):
        shape = {"gaussian": x.shape, "gaussian-column": (BATCH, 1), "gaussian-vector": (BATCH,)}
        arrays = [x, rng.normal(size=x.shape), rng.uniform(0.1, 2, size=shape[kind])]
    else:
        rate = np.exp(x) if kind == "positive-counts" else x
        arrays = [rate, rng.poisson(3.0, size=x.shape).astype(float)]
    return [a.astype(dtype) if a.dtype.kind == "f" else a for a in arrays]


def loss_pair(name: str, reduction: str, dtype: Any) -> tuple[Any, Any]:
    cls, options, _ = LOSSES[name]
    cast = {k: v.astype(dtype) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    ours = {k: from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in cast.items()}
    theirs = {k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in cast.items()}
    return (
        getattr(nn, cls)(**ours, reduction=reduction),
        getattr(torch.nn, cls)(**theirs, reduction=reduction),
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("name", LOSSES)
def test_loss_has_torchs_values_and_gradients(
    name: str, reduction: str, dtype: Any, rng: np.random.Generator
) -> None:
    ours, theirs = loss_pair(name, reduction, dtype)
    kind = LOSSES[name][2]
    arrays = loss_arrays(kind, dtype, rng)
    with_grad = [True, name in ("mse", "l1", "huber") or kind == "gaussian", True]
    pairs = [both(a, requires_grad=wanted) for a, wanted in zip(arrays, with_grad, strict=False)]
    loss, expected = ours(*[p[0] for p in pairs]), theirs(*[p[1] for p in pairs])
    assert_close(loss, expected, "loss")
    g, tg = both(np.asarray(rng.uniform(0.5, 2.0, size=tuple(expected.shape)), dtype))
    loss.backward(g)
    expected.backward(tg)
    for i, (mine, other) in enumerate(pairs):
        if other.requires_grad:
            assert_close(mine.grad, other.grad, f"gradient of argument {i}")
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())


@pytest.mark.parametrize("name", LOSSES)
def test_sample_weight_is_a_weighted_mean(name: str, rng: np.random.Generator) -> None:
    weights = rng.uniform(0.1, 2.0, BATCH)
    arrays = loss_arrays(LOSSES[name][2], np.float64, rng)
    tensors = [from_numpy(a) for a in arrays]
    each = loss_pair(name, "none", np.float64)[1](*[torch.from_numpy(a) for a in arrays]).numpy()
    spread = weights.reshape((BATCH,) + (1,) * (each.ndim - 1))
    divisor = weights.sum() * (each.size // BATCH)
    _, options, kind = LOSSES[name]
    if kind in ("classes", "log-classes"):
        class_weight = options.get("weight", np.ones(5))[arrays[1]]
        counted = arrays[1] != options.get("ignore_index", -100)
        divisor = (weights * class_weight * counted).sum()
    expected = {
        "none": each * spread,
        "sum": (each * spread).sum(),
        "mean": (each * spread).sum() / divisor,
    }
    for reduction, value in expected.items():
        loss = loss_pair(name, reduction, np.float64)[0](
            *tensors, sample_weight=from_numpy(weights)
        )
        np.testing.assert_allclose(loss.numpy(), value, rtol=1e-13, atol=1e-14, err_msg=reduction)


@pytest.mark.parametrize("function", ["mse_loss", "l1_loss", "huber_loss"])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_weight_of_elements(function: str, reduction: str, rng: np.random.Generator) -> None:
    arrays = [rng.normal(size=(4, 3)), rng.normal(size=(4, 3)), rng.uniform(size=(4, 3))]
    (x, tx), (t, tt), (w, tw) = (both(a, requires_grad=i == 0) for i, a in enumerate(arrays))
    loss = getattr(F, function)(x, t, weight=w, reduction=reduction)
    expected = getattr(torch.nn.functional, function)(tx, tt, weight=tw, reduction=reduction)
    assert_close(loss, expected, function)
    loss.sum().backward()
    expected.sum().backward()
    assert_close(x.grad, tx.grad, "gradient")


def test_one_sample_without_a_batch_axis(rng: np.random.Generator) -> None:
    x, tx = both(rng.normal(size=5), requires_grad=True)
    for reduction in ("none", "mean", "sum"):
        loss = F.cross_entropy(x, from_numpy(np.array(3)), reduction=reduction)
        expected = torch.nn.functional.cross_entropy(tx, torch.tensor(3), reduction=reduction)
        assert_close(loss, expected, reduction)
    loss.backward()
    expected.backward()
    assert_close(x.grad, tx.grad, "gradient")


def test_old_reduction_arguments(rng: np.random.Generator) -> None:
    x, tx = both(rng.normal(size=(3, 2)))
    t, tt = both(rng.normal(size=(3, 2)))
    for old in ({"size_average": False}, {"reduce": False}, {"size_average": True}):
        with pytest.warns(UserWarning, match="size_average and reduce args will be deprecated"):
            loss = F.mse_loss(x, t, **old)
        with pytest.warns(UserWarning, match="will be deprecated"):
            expected = torch.nn.functional.mse_loss(tx, tt, **old)
        assert_close(loss, expected, str(old))


def test_one_hot() -> None:
    x, tx = both(np.array([[0, 2], [1, 1]]))
    for classes in (-1, 5):
        expected = torch.nn.functional.one_hot(tx, classes).numpy()
        mine = F.one_hot(x, classes).numpy()
        assert mine.dtype == expected.dtype
        np.testing.assert_array_equal(mine, expected)


def test_softmax_without_dim_warns_as_torch_does(rng: np.random.Generator) -> None:
    for shape in ((4,), (4, 3), (2, 3, 4), ()):
        x, tx = both(np.asarray(rng.normal(size=shape)))
        with pytest.warns(UserWarning, match="Implicit dimension choice for softmax") as record:
            mine = nn.Softmax()(x)
        assert record[0].filename == __file__
        with pytest.warns(UserWarning, match="Implicit dimension choice"):
            expected = torch.nn.Softmax()(tx)
        assert_close(mine, expected, str(shape))


SIGNATURES = [
    *[
        (nn, torch.nn, name)
        for name in nn.__all__
        if inspect.isclass(getattr(nn, name)) and name not in ("Module", "Parameter")
    ],
    *[(F, torch.nn.functional, name) for name in F.__all__],
    *[(nn.init, torch.nn.init, name) for name in nn.init.__all__],
    *[(nn.utils, torch.nn.utils, name) for name in nn.utils.__all__],
    *[(optim, torch.optim, name) for name in optim.__all__ if name != "lr_scheduler"],
    *[(optim.lr_scheduler, torch.optim.lr_scheduler, name) for name in optim.lr_scheduler.__all__],
    *[
        (nn.Module, torch.nn.Module, name)
        for name in vars(nn.Module)
        if not name.startswith("_") and name not in ("to", "state_dict")
    ],
]


@pytest.mark.parametrize(("ours", "theirs", "name"), SIGNATURES)
def test_signature_is_torchs(ours: Any, theirs: Any, name: str) -> None:
    try:
        expected = inspect.signature(getattr(theirs, name)).parameters.values()
    except ValueError:
        pytest.skip("torch's function is builtin and has no signature")
    mine = inspect.signature(getattr(ours, name)).parameters.values()
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    # the extension that torch does not have
    mine = [p for p in mine if p.kind in named and p.name != "sample_weight"]
    expected = [p for p in expected if p.kind in named]
    assert [(p.name, p.kind, p.default) for p in mine] == [
        (p.name, p.kind, p.default) for p in expected
    ]


SCRIPT = """
    import {package} as torch
    from {package} import nn, optim
    import {package}.nn.functional as F

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(4, 16), nn.ReLU(inplace=True), nn.Linear(16, 8))
            self.norm = nn.LayerNorm(8)
            self.head = nn.Linear(8, 3)

        def forward(self, x):
            x = x.flatten(1)
            return self.head(F.gelu(self.norm(self.body(x))))

    torch.manual_seed(0)
    model = Net().double()
    for k, p in enumerate(model.parameters()):
        with torch.no_grad():
            values = numpy.cos(k + numpy.arange(p.numel()))
            p.copy_(torch.from_numpy(values).reshape(p.shape))
    x = torch.from_numpy(numpy.sin(numpy.arange(32.0 * 4)).reshape(32, 2, 2))
    y = torch.from_numpy(numpy.arange(32) % 3)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.05)
    optimizer = optim.AdamW(model.parameters(), lr=1e-2)
    scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10)
    history = []
    for epoch in range(10):
        model.train()
        for i in range(0, 32, 8):
            optimizer.zero_grad()
            logits = model(x[i : i + 8])
            loss = criterion(logits, y[i : i + 8])
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        scheduler.step()
        model.eval()
        with torch.no_grad():
            logits = model(x)
            correct = (logits.argmax(dim=1) == y).float().mean().item()
            history.append((F.cross_entropy(logits, y).item(), correct))
"""


def test_a_torch_script_runs_with_only_its_imports_changed() -> None:
    histories = []
    for package in ("mlpeak", "torch"):
        names: dict[str, Any] = {"numpy": np}
        exec(textwrap.dedent(SCRIPT.format(package=package)), names)
        histories.append(np.array(names["history"]))
    # 40 Adam steps on gradients that agree to some 1e-15 of their size
    np.testing.assert_allclose(histories[0], histories[1], rtol=1e-9)
    assert histories[0][-1, 0] < histories[0][0, 0]
