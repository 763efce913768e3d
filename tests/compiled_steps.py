"""Training compiled and eagerly, side by side: what the tests of compiled steps share."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import mlpeak
from capture_cases import data_for
from mlpeak import nn, optim
from mlpeak.compiler import Spec
from mlpeak.optim.optimizer import Optimizer

Array = np.ndarray[Any, Any]

#: 13 to 18 columns need the edges of a register tile on every tier; 530 inputs two blocks of k, and
#: for 33 or 70 samples, not for one, a forward product that reads the weight as it is;
#: 5 inputs the transposed weight gradient.
SIZES = {"edges": (13, 18, 17, 7), "blocks": (530, 300, 5), "few inputs": (5, 70, 3)}


class Steps:
    """Steps of a compiled program over data in batches."""

    def __init__(
        self, model: nn.Module, loss: Any, optimizer: Optimizer, inputs: int, **options: Any
    ) -> None:
        self.step = mlpeak.compile(model, loss, optimizer, **options)
        self.inputs = inputs

    def run(self, arrays: Sequence[Array], batch_size: int, weighted: bool = False) -> list[float]:
        """Run over all samples in batches in one call; the last batch may be smaller."""
        given = tuple(arrays)
        weight = given[-1:] if weighted else ()
        inputs, targets = given[: self.inputs], given[self.inputs : len(given) - len(weight)]
        self.bound = self.step.prepare(inputs, targets, weight)
        samples = len(given[0])
        losses = np.empty(-(-samples // batch_size))
        done = self.bound.step.run(
            given, [1.0] * len(given), samples, batch_size, None, losses, False, False
        )
        assert done == len(losses)
        return losses.tolist()

    @property
    def program(self) -> Any:
        """The native program of the last run."""
        return self.bound.program


def eager_steps(
    model: nn.Module, loss: Any, optimizer: Optimizer, arrays: Sequence[Array], inputs: int,
    batch_size: int, sample_weight: bool,
) -> list[float]:  # fmt: skip
    losses = []
    for first in range(0, len(arrays[0]), batch_size):
        parts = [mlpeak.from_numpy(a[first : first + batch_size].copy()) for a in arrays]
        weight = {"sample_weight": parts.pop()} if sample_weight else {}
        optimizer.zero_grad()
        value = loss(model(*parts[:inputs]), *parts[inputs:], **weight)
        value.backward()
        optimizer.step()
        losses.append(float(value._array))
    return losses


def check_steps(
    make: Callable[[], nn.Module],
    loss: Any,
    inputs: Sequence[Spec],
    targets: Sequence[Spec],
    optimizer: Callable[[Any], Optimizer] = lambda p: mlpeak.optim.Adam(p, lr=0.01),
    dtype: Any = np.float32,
    sizes: Sequence[tuple[int, int]] = ((19, 8), (2, 1), (64, 64)),
    sample_weight: bool = False,
    classes: int = 3,
    **options: Any,
) -> Steps:
    """Train compiled and eagerly on the same data: the bits of all that is left must be the same.

    `sizes` are numbers of samples and of samples in a batch, each one run of several steps.
    """
    mlpeak.manual_seed(7)
    compiled = make()
    loss = loss() if isinstance(loss, type) else loss
    if dtype == np.float64:
        compiled.double()
        inputs, targets = ([as_double(s) for s in specs] for specs in (inputs, targets))
        if isinstance(loss, nn.Module):
            loss.double()
    eager, eager_loss = copy.deepcopy((compiled, loss))
    parameters = [[*m.parameters(), *own(f)] for m, f in ((compiled, loss), (eager, eager_loss))]
    optimizers = [optimizer(p) for p in parameters]
    steps = Steps(compiled, loss, optimizers[0], len(inputs), **options)
    rng = np.random.default_rng(1)
    for samples, batch_size in sizes:
        arrays = [data_for(s, samples, rng, classes) for s in (*inputs, *targets)]
        if sample_weight:
            arrays.append(rng.uniform(0.5, 2, samples).astype(dtype))
        before = mlpeak.get_rng_state()
        got = steps.run(arrays, batch_size, sample_weight)
        after = mlpeak.get_rng_state()
        mlpeak.set_rng_state(before)
        expected = eager_steps(
            eager, eager_loss, optimizers[1], arrays, len(inputs), batch_size, sample_weight
        )
        assert after == mlpeak.get_rng_state()
        assert [x.hex() for x in got] == [x.hex() for x in expected], (samples, batch_size)
        steps.step.flush()
        for name, mine, theirs in all_arrays(compiled, loss, eager, eager_loss, *optimizers):
            assert mine.tobytes() == theirs.tobytes(), (name, samples, batch_size)
    return steps


def own(loss: Any) -> list[Any]:
    return list(loss.parameters()) if isinstance(loss, nn.Module) else []


def as_double(spec: Spec) -> Spec:
    return Spec(spec.shape, np.dtype(np.float64)) if spec.dtype.kind == "f" else spec


def all_arrays(
    mine: nn.Module, my_loss: Any, theirs: nn.Module, their_loss: Any, *optimizers: Optimizer
) -> list[tuple[str, Array, Array]]:
    """Return parameters, buffers and optimizer states in pairs."""
    pairs = []
    for a, b in ((mine, theirs), (my_loss, their_loss)):
        if isinstance(a, nn.Module):
            other = b.state_dict()
            pairs += [(n, t._array, other[n]._array) for n, t in a.state_dict().items()]
    for p, q in zip(*(o.param_groups for o in optimizers), strict=True):
        for a, b in zip(p["params"], q["params"], strict=True):
            if b.grad is None:
                continue
            for name, x in optimizers[0].state[a].items():
                if isinstance(x, mlpeak.Tensor):
                    y = optimizers[1].state[b][name]
                    pairs.append((f"state {name}", x._array, y._array))
    return pairs


def network(sizes: tuple[int, ...], seed: int = 1) -> nn.Sequential:
    mlpeak.manual_seed(seed)
    layers: list[nn.Module] = []
    for into, out in itertools.pairwise(sizes):
        layers += [nn.Linear(into, out), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def samples(sizes: tuple[int, ...], count: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((count, sizes[0]), dtype=np.float32)
    return x, rng.integers(0, sizes[-1], count)


def eager_step(
    model: nn.Module, loss: Any, optimizer: Optimizer, x: Any, y: Any, update: bool = True
) -> float:
    value = loss(model(mlpeak.from_numpy(x)), mlpeak.from_numpy(y))
    value.backward()
    if update:
        optimizer.step()
        optimizer.zero_grad()
    return float(value.item())


def bits(model: nn.Module) -> dict[str, bytes]:
    return {name: p._array.tobytes() for name, p in model.named_parameters()}


def state_bits(optimizer: Optimizer) -> Any:
    state = optimizer.state_dict()["state"]
    return {
        number: {k: v if isinstance(v, int) else v._array.tobytes() for k, v in values.items()}
        for number, values in state.items()
    }


def good_step() -> tuple[Any, nn.Sequential, Any, Any]:
    sizes = (6, 5, 3)
    model = network(sizes)
    step = mlpeak.compile(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()))
    x, y = samples(sizes, 10)
    return step, model, x, y
