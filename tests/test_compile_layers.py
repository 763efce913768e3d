"""Compiled steps of every supported layer and operation leave the bits of the eager step."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import mlpeak
from capture_cases import (
    ACTIVATIONS,
    CLASS,
    LOSSES,
    MODELS,
    USER_LOSSES,
    X8,
    Y3,
    Categories,
    Gate,
    TwoHeads,
    data_for,
    mlp,
)
from compiled_steps import check_steps
from mlpeak import nn
from mlpeak.compiler import Spec
from mlpeak.nn import functional as F

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["fp32", "fp64"])


def sgd(parameters: Any) -> Any:
    return mlpeak.optim.SGD(parameters, lr=0.05, momentum=0.9)


#: Losses that compute in the other dtype.
MIXED = {
    np.float32: {"powers", "a copy", "float64 inside"},
    np.float64: {"accuracy as a factor", "sorted", "float64 inside", "stacked rows"},
}


@pytest.mark.parametrize("name", USER_LOSSES)
@DTYPES
def test_losses_from_tensor_operations(name: str, dtype: Any) -> None:
    if name in MIXED[dtype]:
        with pytest.raises((mlpeak.CompileError, RuntimeError), match="float"):
            check_steps(lambda: mlp(nn.Tanh()), USER_LOSSES[name], [X8], [Y3], dtype=dtype)
        return
    check_steps(lambda: mlp(nn.Tanh()), USER_LOSSES[name], [X8], [Y3], dtype=dtype)


BATCH_NORM = ((20, 8), (2, 2), (64, 64))


@pytest.mark.parametrize("name", [n for n in MODELS if n != "float64"])
@DTYPES
def test_models(name: str, dtype: Any) -> None:
    sizes = BATCH_NORM if "batch norm" in name else ((19, 8), (2, 1), (64, 64))
    for optimizer in (sgd, lambda p: mlpeak.optim.Adam(p, lr=0.01)):
        check_steps(
            MODELS[name], nn.CrossEntropyLoss, [X8], [CLASS], optimizer, dtype=dtype, sizes=sizes
        )


@DTYPES
def test_embedding_beside_numbers(dtype: Any) -> None:
    check_steps(Categories, nn.CrossEntropyLoss, [X8, CLASS], [CLASS], dtype=dtype)


@DTYPES
def test_several_outputs_and_losses(dtype: Any) -> None:
    def loss(out: Any, a: Any, b: Any) -> Any:
        return F.cross_entropy(out[0], a) + 0.5 * F.mse_loss(out[1], b)

    check_steps(TwoHeads, loss, [X8], [CLASS, Spec((2,))], dtype=dtype)


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=repr)
@DTYPES
def test_activations(activation: nn.Module, dtype: Any) -> None:
    check_steps(lambda: mlp(activation), nn.CrossEntropyLoss, [X8], [CLASS], dtype=dtype)


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", LOSSES)
def test_losses(name: str, reduction: str, weighted: bool) -> None:
    kind, options, target = LOSSES[name]
    own = kind(**options, reduction=reduction)

    def make() -> nn.Module:
        return mlp(nn.Sigmoid()) if name != "bce" else nn.Sequential(nn.Linear(8, 3), nn.Sigmoid())

    def loss(*args: Any, **kwargs: Any) -> Any:
        value = own(*args, **kwargs)
        return value if reduction != "none" else (value * value).sum()

    check_steps(make, loss, [X8], [target], sample_weight=weighted)


@DTYPES
def test_inputs_of_several_dims(dtype: Any) -> None:
    check_steps(
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(12, 3)), nn.MSELoss, [Spec((4, 3))], [Y3],
        dtype=dtype,
    )  # fmt: skip
    for norm in (nn.LayerNorm, nn.RMSNorm):
        check_steps(
            lambda: nn.Sequential(nn.Linear(3, 5), norm(5), nn.ReLU(), nn.Linear(5, 2)),  # noqa: B023
            nn.MSELoss, [Spec((4, 3))], [Spec((4, 2))], dtype=dtype,
        )  # fmt: skip


def test_bytes_as_input() -> None:
    check_steps(
        lambda: nn.Sequential(Gate(lambda x: x.float() / 255), nn.Linear(8, 3)),
        nn.CrossEntropyLoss, [Spec((8,), np.dtype(np.uint8))], [CLASS],
    )  # fmt: skip


@DTYPES
def test_penalties_on_weights(dtype: Any) -> None:
    class Penalised(nn.Module):
        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.model = model

        def forward(self, x: Any) -> Any:
            size = sum(p.square().sum() for p in self.model.parameters())
            return self.model(x), size + self.model[0].weight.detach().abs().mean()

    check_steps(
        lambda: Penalised(mlp(nn.ReLU())), lambda out, y: F.mse_loss(out[0], y) + 1e-3 * out[1],
        [X8], [Y3], dtype=dtype,
    )  # fmt: skip


@DTYPES
def test_noise_from_the_default_generator(dtype: Any) -> None:
    noise = Gate(lambda x: x + 0.1 * mlpeak.randn_like(x) * mlpeak.rand(x.shape, dtype=x.dtype))
    check_steps(lambda: nn.Sequential(nn.Linear(8, 3), noise), nn.MSELoss, [X8], [Y3], dtype=dtype)


class Scaled(nn.Module):
    """A loss with a parameter and a buffer of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(mlpeak.tensor(2.0))
        self.register_buffer("shift", mlpeak.tensor([0.5, 1.0, 2.0]))

    def forward(self, out: Any, y: Any) -> Any:
        return ((out - y + self.shift) * self.scale).square().mean()


@DTYPES
def test_a_loss_with_parameters_of_its_own(dtype: Any) -> None:
    check_steps(lambda: mlp(nn.ReLU()), Scaled, [X8], [Y3], dtype=dtype)


class Shared(nn.Module):
    """One layer twice, activations of parameters, and a bare parameter that scales."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.last = nn.Linear(8, 8), nn.Linear(8, 3)
        self.scale = nn.Parameter(mlpeak.tensor([0.5, 1.5, 1.0]))
        self.mix = nn.Parameter(mlpeak.rand(8))

    def forward(self, x: Any) -> Any:
        h = self.layer(self.layer(x).relu()) * self.mix.softmax(0) + self.mix.tanh()
        return self.last(h) * self.scale.exp()


@DTYPES
def test_tied_weights_and_bare_parameters(dtype: Any) -> None:
    for optimizer in (sgd, lambda p: mlpeak.optim.AdamW(p, lr=0.01)):
        check_steps(Shared, nn.MSELoss, [X8], [Y3], optimizer, dtype=dtype)


TEAMS: dict[str, tuple[Any, Any, Any]] = {
    **{name: (MODELS[name], nn.CrossEntropyLoss, CLASS) for name in (
        "batch norm", "layer norm", "rms norm", "residual", "columns", "tied", "dropout",
    )},
    "shared": (Shared, nn.MSELoss, Y3),
    **{f"loss: {name}": (lambda: mlp(nn.Tanh()), USER_LOSSES[name], Y3) for name in (
        "square and abs", "logsumexp", "clamp and where", "largest", "transposes", "assigned",
        "first row", "flip, tile, triangles", "prod and cumsum",
    )},
}  # fmt: skip


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("name", TEAMS)
def test_a_team_leaves_the_bits_of_one_thread(name: str, threads: int) -> None:
    make, loss, target = TEAMS[name]
    mlpeak.set_num_threads(threads)
    steps = check_steps(make, loss, [X8], [target], sizes=((5000, 1999), (2060, 2060)))
    assert steps.program.threads_for(1999) == threads


@pytest.mark.parametrize("threads", [2, 3])
def test_a_batch_norm_of_the_inputs_waits_for_all_samples(threads: int) -> None:
    def norm_first() -> nn.Module:
        return nn.Sequential(nn.BatchNorm1d(256), nn.Linear(256, 3))

    mlpeak.set_num_threads(threads)
    check_steps(norm_first, nn.CrossEntropyLoss, [Spec((256,))], [CLASS], sizes=((6000, 1999),) * 2)


@pytest.mark.parametrize("name", TEAMS)
def test_every_tier(name: str, tier: str) -> None:
    make, loss, target = TEAMS[name]
    check_steps(make, loss, [X8], [target], sizes=((150, 70),))


class Tabular(nn.Module):
    """Columns of indices of one input, each with its table, and two columns for one table."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.both = nn.Embedding(3, 2), nn.Embedding(5, 3), nn.Embedding(4, 2)
        self.body = nn.Sequential(nn.Linear(8 + 2 + 3 + 4, 6), nn.ReLU(), nn.Linear(6, 3))

    def forward(self, numbers: Any, codes: Any) -> Any:
        parts = [self.a(codes[:, 0]), self.b(codes[:, 1]), self.both(codes[:, 2:4]).flatten(1)]
        return self.body(mlpeak.cat([numbers, *parts], 1))


@DTYPES
def test_a_table_for_each_column_of_indices(dtype: Any) -> None:
    codes = Spec((4,), np.dtype(np.int64))
    check_steps(Tabular, nn.CrossEntropyLoss, [X8, codes], [CLASS], dtype=dtype)


def test_indices_out_of_range_are_named() -> None:
    steps = check_steps(Categories, nn.CrossEntropyLoss, [X8, CLASS], [CLASS])
    arrays = [np.zeros((2, 8), np.float32), np.array([0, 3]), np.array([0, 1])]
    with pytest.raises(ValueError, match=r"holds 3 at position 1; expected integers in \[0, 3\)"):
        steps.run(arrays, 2)


@pytest.mark.parametrize("index", [-100, -2, -1, 3])
def test_forward_pass_refuses_indices_out_of_range(index: int) -> None:
    run = mlpeak.compile(nn.Embedding(3, 4))
    run(np.array([0, 1]))  # made, so that what follows takes the short way
    with pytest.raises(ValueError, match=rf"run: x holds {index} at position 1; expected integers"):
        run(np.array([0, index]))


def test_batch_norm_wants_two_samples() -> None:
    steps = check_steps(MODELS["batch norm"], nn.CrossEntropyLoss, [X8], [CLASS], sizes=BATCH_NORM)
    arrays = [np.zeros((5, 8), np.float32), np.zeros(5, np.int64)]
    with pytest.raises(ValueError, match="batch of 1 samples; expected 2 or more for batch norm"):
        steps.run(arrays, 2)


class Normalised(nn.Module):
    """A layer whose weight is computed, and one that is applied to a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(8, 6), nn.Linear(6, 3)
        self.codes = nn.Parameter(mlpeak.rand(3, 6))
        self.register_buffer("mask", mlpeak.tensor([1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0]))

    def forward(self, x: Any) -> Any:
        weight = self.first.weight / self.first.weight.norm(dim=1, keepdim=True)
        h = F.linear(x, weight * self.mask, self.first.bias).relu()
        return self.last(h) + self.last(self.codes).softmax(1).mean(0)


@DTYPES
def test_layers_of_computed_weights_and_of_parameters(dtype: Any) -> None:
    check_steps(Normalised, nn.MSELoss, [X8], [Y3], dtype=dtype)


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("name", [n for n in MODELS if n != "float64"])
def test_forward_passes(name: str, mode: str) -> None:
    model = MODELS[name]()
    getattr(model, mode)()
    run = mlpeak.compile(model)
    for batch in (5, 64):
        x = data_for(X8, batch, np.random.default_rng(batch))
        before, state = copy.deepcopy(model.state_dict()), mlpeak.get_rng_state()
        got, left = run(x), copy.deepcopy(model.state_dict())
        model.load_state_dict(before)
        mlpeak.set_rng_state(state)
        with mlpeak.no_grad():
            expected = model(mlpeak.from_numpy(x))
        assert got.tobytes() == expected._array.tobytes()
        for key, value in model.state_dict().items():
            assert left[key]._array.tobytes() == value._array.tobytes(), key


REFUSED: dict[str, tuple[Any, str]] = {
    "float64": (lambda out, y: (out.double() - y).square().mean().float(), "computes in float64"),
    "samples cut": (lambda out, y: (out[1:] - y[1:]).square().mean(), "a result has a shape"),
    "gram": (lambda out, y: (out @ y.T).sum(), "batch size twice"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_named(name: str) -> None:
    loss, why = REFUSED[name]
    model = mlp(nn.ReLU())
    step = mlpeak.compile(model, loss, mlpeak.optim.Adam(model.parameters()))
    with pytest.raises(mlpeak.CompileError, match=f"(?s)compile: .*{why}.*eagerly"):
        step(np.zeros((6, 8), np.float32), np.zeros((6, 3), np.float32))


class Crossed(nn.Module):
    """Parameters that are each other's gradient, two that share one, and one that is constant."""

    def __init__(self) -> None:
        super().__init__()
        self.u, self.v = nn.Parameter(mlpeak.rand(5)), nn.Parameter(mlpeak.rand(5))
        self.a, self.b = nn.Parameter(mlpeak.rand(3)), nn.Parameter(mlpeak.rand(3))
        self.c = nn.Parameter(mlpeak.rand(4))
        self.layer = nn.Linear(8, 3)

    def forward(self, x: Any) -> Any:
        return self.layer(x) + (self.a + self.b), (self.u * self.v).sum() + self.c.sum()


def crossed_loss(out: Any, y: Any) -> Any:
    return F.mse_loss(out[0], y) + out[1]


@DTYPES
def test_gradients_that_are_parameters_or_shared(dtype: Any) -> None:
    check_steps(Crossed, crossed_loss, [X8], [Y3], sgd, dtype=dtype)


def test_shared_gradients_are_clipped_once() -> None:
    model = Crossed()
    eager = copy.deepcopy(model)
    optimizers = [mlpeak.optim.SGD(m.parameters(), lr=0.1) for m in (model, eager)]
    step = mlpeak.compile(model, crossed_loss, optimizers[0], clip_norm=0.5)
    rng = np.random.default_rng(3)
    for _ in range(3):
        x, y = data_for(X8, 9, rng), data_for(Y3, 9, rng)
        step(x, y)
        optimizers[1].zero_grad()
        crossed_loss(eager(mlpeak.from_numpy(x)), mlpeak.from_numpy(y)).backward()
        norm = np.sqrt(sum(float((p.grad._array.astype(np.float64) ** 2).sum())
                           for p in eager.parameters()))  # fmt: skip
        for p in eager.parameters():
            p.grad._array[...] *= min(1.0, 0.5 / norm)
        optimizers[1].step()
    for (name, p), q in zip(model.named_parameters(), eager.parameters(), strict=True):
        # the factor is rounded once more than here, the update a few times: 8 steps of 2^-24
        np.testing.assert_allclose(p._array, q._array, rtol=8 * 2.0**-24, atol=1e-6, err_msg=name)


@DTYPES
def test_gaussian_loss_with_a_predicted_and_a_fixed_variance(dtype: Any) -> None:
    gaussian = nn.GaussianNLLLoss(full=True)

    def predicted(out: Any, y: Any) -> Any:
        return gaussian(out[0][:, :2], y, out[1].exp())

    check_steps(TwoHeads, predicted, [X8], [Spec((2,))], dtype=dtype)
    check_steps(mlp, lambda out, y: gaussian(out, y, 0.3), [X8], [Y3], dtype=dtype)


def test_losses_with_a_weight_for_each_element() -> None:
    factor = mlpeak.tensor([0.5, 1.0, 3.0])
    check_steps(
        mlp, lambda out, y, w: F.mse_loss(out, y, weight=w), [X8], [Y3, Y3]
    )  # fmt: skip
    check_steps(
        mlp, lambda out, y: F.binary_cross_entropy_with_logits(out, y, weight=factor), [X8], [Y3]
    )


def test_a_dictionary_of_outputs_for_the_loss() -> None:
    def loss(out: Any, y: Any) -> Any:
        return F.mse_loss(out["a"], y) + out["b"][1][0].square().sum()

    gate = Gate(lambda x: {"a": x, "b": (x.relu(), [x.tanh()])})
    check_steps(lambda: nn.Sequential(nn.Linear(8, 3), gate), loss, [X8], [Y3])


@pytest.mark.parametrize("frozen", [["0"], ["0", "2"], ["4"]], ids=str)
def test_frozen_layers_stay(frozen: list[str]) -> None:
    def make() -> nn.Module:
        model = mlp(nn.ReLU(), nn.BatchNorm1d(12), nn.LayerNorm(12))
        for name in frozen:
            model.get_submodule(name).requires_grad_(False)
        return model

    check_steps(make, nn.CrossEntropyLoss, [X8], [CLASS], sizes=BATCH_NORM)


@DTYPES
def test_shared_norms_and_activations_between_rows_of_samples(dtype: Any) -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token, self.norm, self.out = nn.Linear(3, 3), nn.LayerNorm(3), nn.Linear(12, 3)

        def forward(self, x: Any) -> Any:
            h = x + self.norm(F.gelu(self.token(self.norm(x)))).softmax(-1)
            return self.out(h.transpose(1, 2).reshape(-1, 12))

    check_steps(Mixed, nn.MSELoss, [Spec((4, 3))], [Y3], dtype=dtype)


@DTYPES
def test_batch_norm_of_rows_of_samples(dtype: Any) -> None:
    class Rows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.out = nn.BatchNorm1d(3), nn.Linear(12, 3)

        def forward(self, x: Any) -> Any:
            return self.out(self.norm(x.reshape(-1, 3)).reshape(-1, 12))

    check_steps(Rows, nn.MSELoss, [Spec((4, 3))], [Y3], dtype=dtype)
