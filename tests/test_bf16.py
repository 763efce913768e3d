"""Products in bfloat16: the definition, the same bits on every tier, and training with them."""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mlpeak
from mlpeak import _core, data, kernels, nn, optim, reference

Array = np.ndarray[Any, Any]
#: Straddle a register, a tile, a pair of k and a block of 320 or 512 pairs.
SIZES = [(1, 1, 1), (2, 65, 3), (7, 17, 640), (13, 64, 641), (65, 130, 33), (6, 600, 1283)]


def matrices(seed: int, *shapes: tuple[int, ...]) -> list[Array]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape, dtype=np.float32) for shape in shapes]


def rounded(x: Array) -> Array:
    """The nearest bfloat16 by arithmetic alone, of normal numbers: 8 bits of significand."""
    significand, exponent = np.frexp(x.astype(np.float64))
    return np.ldexp(np.rint(significand * 256) / 256, exponent).astype(np.float32)


def by_pairs(a: Array, b: Array) -> Array:
    """The definition, element by element: a double holds the product of two bfloat16 exactly."""
    a, b = rounded(a), rounded(b)
    c = np.zeros((a.shape[0], b.shape[1]), np.float32)
    for k in range(0, a.shape[1], 2):
        for p in (k + 1, k):
            if p < a.shape[1]:
                c = (np.outer(a[:, p].astype(np.float64), b[p]) + c).astype(np.float32)
    return c


def test_product_adds_the_odd_then_the_even_of_each_pair(tier: str) -> None:
    for m, n, k in SIZES:
        a, b = matrices(k, (m, k), (k, n))
        got = kernels.matmul(a, b, precision="bf16")
        np.testing.assert_array_equal(got, by_pairs(a, b), err_msg=f"{m} x {n} x {k}")


def test_factors_are_rounded_to_even_and_subnormals_to_zero(tier: str) -> None:
    upper = np.arange(2**16, dtype=np.uint32) << 16
    x = np.concatenate([upper | low for low in (0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF)])
    x = x[(x & 0x7FFFFFFF) < 0x7F7F8000].view(np.float32)  # what does not round to infinity
    normal = np.abs(x) >= np.finfo(np.float32).tiny
    one = np.ones((1, 1), np.float32)
    want = np.where(normal, rounded(np.where(normal, x, 1)), 0)
    columns = {
        "a": kernels.matmul(x[:, None], one, precision="bf16")[:, 0],
        "b": kernels.matmul(one, x[None, :], precision="bf16")[0],
        "reference": reference.matmul(x[:, None], one, precision="bf16")[:, 0],
        # in pairs along a row and across rows, in the odd place
        "along": kernels.matmul(
            np.stack([np.zeros_like(x), x], 1), np.ones((2, 1), np.float32), precision="bf16"
        )[:, 0],
        "across": kernels.matmul(
            np.stack([np.zeros_like(x), x]), np.ones((2, 1), np.float32), True, precision="bf16"
        )[:, 0],
    }
    for name, got in columns.items():
        np.testing.assert_array_equal(got, want, err_msg=name)


def test_what_is_not_finite_stays_so(tier: str) -> None:
    x = np.array([[np.inf], [-np.inf], [np.nan], [3.4e38]], np.float32)
    got = kernels.matmul(x, np.ones((1, 1), np.float32), precision="bf16")[:, 0]
    np.testing.assert_array_equal(got, [np.inf, -np.inf, np.nan, np.inf])


CALLS: dict[str, Callable[[Array, Array, Array, Array], Any]] = {
    "matmul": lambda g, x, w, b: kernels.matmul(x, w, transpose_b=True, precision="bf16"),
    "linear": lambda g, x, w, b: kernels.linear(x, w, b, "gelu", precision="bf16"),
    "packed": lambda g, x, w, b: kernels.linear(
        x, kernels.pack(w, "bf16"), b, "relu", precision="bf16"
    ),
    "input": lambda g, x, w, b: kernels.linear_backward_input(g, w, precision="bf16"),
    "weight": lambda g, x, w, b: kernels.linear_backward_weight(g, x, precision="bf16"),
    "backward": lambda g, x, w, b: kernels.linear_backward(g, x, w, g, "tanh", precision="bf16"),
}


@pytest.mark.parametrize("scale", [1.0, 1e-19], ids=["normal", "results near 2^-126"])
@pytest.mark.parametrize("name", CALLS)
def test_bits_do_not_depend_on_tier_or_threads(name: str, scale: float) -> None:
    for batch, n_in, n_out in [(131, 257, 67), (1030, 40, 10), (64, 1300, 600)]:
        args = matrices(batch, (batch, n_out), (batch, n_in), (n_out, n_in), (n_out,))
        args = [(a * scale).astype(np.float32) for a in args]
        hashes = {}
        for tier_name in _core.tiers():
            _core.select_tier(tier_name)
            for threads in (1, 2, 3, 4, 8):
                mlpeak.set_num_threads(threads)
                result = CALLS[name](*args)
                parts = result if isinstance(result, tuple) else (result,)
                hashes[tier_name, threads] = hashlib.sha256(b"".join(map(bytes, parts))).hexdigest()
        assert len(set(hashes.values())) == 1, hashes


def test_products_match_the_reference(tier: str) -> None:
    for batch, n_out, n_in in SIZES:
        g, x, w, b = matrices(n_in, (batch, n_out), (batch, n_in), (n_out, n_in), (n_out,))
        pairs = [
            (kernels.linear, reference.linear, (x, w, b), n_in, np.abs(x) @ np.abs(w.T)),
            (
                kernels.linear_backward_input,
                reference.linear_backward_input,
                (g, w),
                n_out,
                np.abs(g) @ np.abs(w),
            ),
            (
                kernels.linear_backward_weight,
                reference.linear_backward_weight,
                (g, x),
                batch,
                np.abs(g.T) @ np.abs(x),
            ),
        ]
        for kernel, plain, args, k, magnitude in pairs:
            got, want = kernel(*args, precision="bf16"), plain(*args, precision="bf16")
            # k chained additions in float32 and the bias; rounding a factor may add 2^-8 of it
            bound = (k + 2) * np.finfo(np.float32).eps * (magnitude * 1.01 + np.abs(want) + 10)
            assert np.all(np.abs(got - want) <= bound), (kernel.__name__, batch, n_out, n_in)


def test_packed_weight_gives_the_same_bits_and_keeps_its_precision(backend: str) -> None:
    x, w, b = matrices(5, (40, 641), (70, 641), (70,))
    packed = kernels.pack(w, "bf16")
    np.testing.assert_array_equal(
        kernels.linear(x, packed, b, "relu", precision="bf16"),
        kernels.linear(x, w, b, "relu", precision="bf16"),
    )
    with pytest.raises(ValueError, match="precision is not that of w, packed with 'bf16'"):
        kernels.linear(x, packed, b)
    with pytest.raises(ValueError, match="precision is not that of w, packed with None"):
        kernels.linear(x, kernels.pack(w), b, precision="bf16")


def test_wrong_precision_is_named(backend: str) -> None:
    (x,) = matrices(0, (2, 2))
    with pytest.raises(ValueError, match=r"matmul: precision is 'fp8'; expected 'bf16' or None"):
        kernels.matmul(x, x, precision="fp8")
    with pytest.raises(TypeError, match=r"pack: precision is int; expected 'bf16' or None"):
        kernels.pack(x, 16)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"precision is 'bf16' for float64 arrays"):
        kernels.linear_backward_input(x.astype(float), x.astype(float), precision="bf16")


# ---- compiled steps -----------------------------------------------------------------------------


def compiled(sizes: tuple[int, ...], optimizer: Any, **options: Any) -> tuple[nn.Sequential, Any]:
    mlpeak.manual_seed(1)
    layers: list[nn.Module] = []
    for into, out in itertools.pairwise(sizes):
        layers += [nn.Linear(into, out), nn.ReLU()]
    model = nn.Sequential(*layers[:-1])
    chosen = optimizer(model.parameters())
    return model, mlpeak.compile(model, nn.MSELoss(), chosen, precision="bf16", **options)


@pytest.mark.parametrize("sizes", [(13, 18, 17, 7), (700, 130, 65, 5), (1, 1, 1)])
@pytest.mark.parametrize("batch", [1, 37, 700])
def test_step_is_made_of_the_bf16_kernels(tier: str, sizes: tuple[int, ...], batch: int) -> None:
    """Three steps by hand: the third uses weights that an update packed."""
    model, step = compiled(sizes, lambda p: optim.SGD(p, lr=0.1))
    x, y = matrices(7, (batch, sizes[0]), (batch, sizes[-1]))
    parameters = [p.detach().numpy().copy() for p in model.parameters()]
    weights, biases = parameters[::2], parameters[1::2]
    last = len(weights) - 1
    for _ in range(3):
        step(x, y)
        values = [x]
        for i, (w, b) in enumerate(zip(weights, biases, strict=True)):
            activation = "identity" if i == last else "relu"
            values.append(kernels.linear(values[-1], w, b, activation, precision="bf16"))
        grad = kernels.mse_loss_backward(np.ones((), np.float32), values[-1], y)
        for i in range(last, -1, -1):
            before = grad
            if i:
                grad = kernels.linear_backward_input(before, weights[i], precision="bf16")
                grad = kernels.relu_backward(grad, values[i])
            dw = kernels.linear_backward_weight(before, values[i], precision="bf16")
            kernels.sgd(biases[i], kernels.linear_backward_bias(before), lr=0.1)
            kernels.sgd(weights[i], dw, lr=0.1)
    for got, want in zip(model.parameters(), parameters, strict=True):
        np.testing.assert_array_equal(got.detach().numpy(), want)


@pytest.mark.parametrize("options", [{}, {"clip_norm": 0.5}, {"accumulate": 2}], ids=str)
def test_training_has_the_same_bits_everywhere(options: dict[str, Any]) -> None:
    x, y = matrices(8, (150, 70), (150, 3))
    hashes = {}
    for tier_name in _core.tiers():
        _core.select_tier(tier_name)
        for threads in (1, 2, 3):
            mlpeak.set_num_threads(threads)
            model, step = compiled((70, 140, 67, 3), lambda p: optim.Adam(p, lr=1e-3), **options)
            step.fit(x, y, epochs=4, batch_size=50, progress=False)
            parts = [bytes(p.detach().numpy()) for p in model.parameters()]
            hashes[tier_name, threads] = hashlib.sha256(b"".join(parts)).hexdigest()
    assert len(set(hashes.values())) == 1, hashes


def test_forward_alone_computes_in_bf16() -> None:
    mlpeak.manual_seed(0)
    model = nn.Linear(33, 5)
    (x,) = matrices(9, (4, 33))
    w, b = (p.detach().numpy() for p in model.parameters())
    got = mlpeak.compile(model, precision="bf16")(x)
    np.testing.assert_array_equal(got, kernels.linear(x, w, b, precision="bf16"))
    assert not np.array_equal(got, mlpeak.compile(model)(x))


def test_saved_step_goes_on_in_its_precision(tmp_path: Path) -> None:
    x, y = matrices(10, (20, 9), (20, 3))
    _, step = compiled((9, 8, 3), lambda p: optim.Adam(p))
    step(x, y)
    step.save(tmp_path / "step.safetensors")
    again = nn.Sequential(nn.Linear(9, 8), nn.ReLU(), nn.Linear(8, 3))
    loaded = mlpeak.load_step(
        tmp_path / "step.safetensors", again, nn.MSELoss(), optim.Adam(again.parameters())
    )
    assert [loaded(x, y), loaded(x, y)] == [step(x, y), step(x, y)]


def test_compile_refuses_bf16_of_a_float64_model() -> None:
    model = nn.Linear(2, 1).double()
    with pytest.raises(ValueError, match="precision is 'bf16'; expected 'fp32' for a float64"):
        mlpeak.compile(model, nn.MSELoss(), optim.SGD(model.parameters()), precision="bf16")
    with pytest.raises(ValueError, match="precision is 'fp8'; expected one of 'fp32', 'bf16'"):
        mlpeak.compile(nn.Linear(2, 1), precision="fp8")


def test_compile_refuses_a_product_with_a_precision_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It would be computed in the program's precision."""
    monkeypatch.setattr(kernels, "linear", functools.partial(kernels.linear, precision="bf16"))
    run = mlpeak.compile(nn.Linear(2, 1))
    with pytest.raises(mlpeak.CompileError, match=r"linear .*has a precision of its own"):
        run(np.ones((3, 2), np.float32))


def test_loss_on_real_images_is_within_one_percent_of_fp32(mnist_10k: Path) -> None:
    images, labels = data.read_idx_folder(mnist_10k)["t10k"]
    losses = {}
    for precision in ("fp32", "bf16"):
        mlpeak.manual_seed(0)
        model = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))
        optimizer = optim.Adam(model.parameters(), lr=1e-3)
        step = mlpeak.compile(model, nn.CrossEntropyLoss(), optimizer, precision=precision)
        history = step.fit(
            images.reshape(len(images), -1)[:8000],
            labels[:8000],
            epochs=5,
            batch_size=200,
            scale=1 / 255,
            progress=False,
        )
        losses[precision] = history.loss[-1]
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=0.01)
