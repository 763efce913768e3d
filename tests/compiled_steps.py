"""Training compiled and eagerly, side by side: the helper of the tests of compiled steps."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import mlpeak
from mlpeak import _random, nn
from mlpeak.compiler import Spec, capture_training
from mlpeak.compiler.lower import Lowering, Update
from mlpeak.compiler.updates import options_of, rule_of, state_tensors
from mlpeak.optim.optimizer import Optimizer, buffer

Array = np.ndarray[Any, Any]


def data_for(spec: Spec, samples: int, rng: np.random.Generator, classes: int = 3) -> Array:
    shape = (samples, *spec.shape)
    if spec.dtype.kind == "f":
        return rng.uniform(0.05, 0.95, shape).astype(spec.dtype)
    return rng.integers(0, classes, shape).astype(spec.dtype)


class Steps:
    """Steps of a program over data, and the state of its optimizer kept as the eager one does."""

    def __init__(
        self,
        model: nn.Module,
        loss: Any,
        optimizer: Optimizer,
        inputs: Sequence[Spec],
        targets: Sequence[Spec],
        sample_weight: bool = False,
        keep_gradients: bool = False,
    ) -> None:
        self.optimizer = optimizer
        self.graph = capture_training(model, loss, inputs, targets, sample_weight)
        wanted = {id(t) for t, _ in self.graph.gradients}
        self.groups: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
        updates = []
        for slot, group in enumerate(optimizer.param_groups):
            self.groups.append((group, []))
            for param in group["params"]:
                if id(param) in wanted:
                    if group.get("momentum", 0) != 0:
                        optimizer.state[param].setdefault("momentum_buffer", buffer(param))
                    tensors = state_tensors(optimizer, param, group)
                    self.groups[slot][1].append(optimizer.state[param])
                    updates.append(
                        Update(param, slot, [None if t is None else t._array for t in tensors])
                    )
        dtype = next(p for p in model.parameters())._array.dtype
        self.lowering = Lowering(self.graph, dtype, updates, keep_gradients)
        self.lowering.run()
        self.program = self.lowering.build()
        self.program.pack_weights()

    def run(self, arrays: Sequence[Array], batch_size: int) -> list[float]:
        """Run over all samples in batches; the last may be smaller."""
        graph, program = self.graph, self.program
        values = [*graph.inputs, *graph.targets]
        values += [graph.sample_weight] if graph.sample_weight is not None else []
        for value, array in zip(values, arrays, strict=True):
            if value.id in self.lowering.sources:
                home, integer = self.lowering.sources[value.id]
                program.set_source(home.number, integer, array, 1.0, "x", home.columns)
        for slot, (group, states) in enumerate(self.groups):
            if states:
                options = options_of(self.optimizer, group, states[0])
                program.set_group(slot, rule_of(self.optimizer), options)
        samples = len(arrays[0])
        losses = np.empty(-(-samples // batch_size))
        seed, step = _random.default_generator.get_state()
        done = program.run(
            samples, batch_size, None, seed, step, _random.DROPOUT, graph.random_draws, losses,
            False, False,
        )  # fmt: skip
        assert done == len(losses)
        _random.default_generator.set_state((seed, step + done * graph.random_draws))
        for tensor, increment in graph.counters:
            tensor._array[...] += increment * done
        for group, states in self.groups:
            for state in states:
                if "step" in state:
                    state["step"] += done
                if group.get("momentum", 0) != 0:
                    state["started"] = True
        return losses.tolist()


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
    keep_gradients: bool = False,
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
    steps = Steps(compiled, loss, optimizers[0], inputs, targets, sample_weight, keep_gradients)
    rng = np.random.default_rng(1)
    for samples, batch_size in sizes:
        arrays = [data_for(s, samples, rng, classes) for s in (*inputs, *targets)]
        if sample_weight:
            arrays.append(rng.uniform(0.5, 2, samples).astype(dtype))
        before = mlpeak.get_rng_state()
        got = steps.run(arrays, batch_size)
        after = mlpeak.get_rng_state()
        mlpeak.set_rng_state(before)
        expected = eager_steps(
            eager, eager_loss, optimizers[1], arrays, len(inputs), batch_size, sample_weight
        )
        assert after == mlpeak.get_rng_state()
        assert [x.hex() for x in got] == [x.hex() for x in expected], (samples, batch_size)
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
