"""An engine of one native program: an epoch is one call, during which the GIL is released."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import issparse

import mlpeak
from mlpeak import _core
from mlpeak._random import DROPOUT, Generator
from mlpeak._types import Array
from mlpeak.compiler.layout import Spread, padded_ld
from mlpeak.ops.activations import ACTIVATIONS
from mlpeak.sklearn.engine import Data
from mlpeak.sklearn.network import Network
from mlpeak.sklearn.objectives import Native, Objective, ceiling
from mlpeak.sklearn.optimizers import Optimizer

__all__ = ["CompiledEngine", "can_compile"]

# elements whose squares are added into one number, as the native kSumChunk
SUM_CHUNK = 4096

NOWHERE = -1


def can_compile(network: Network, data: Data, objective: Objective) -> bool:
    """Return whether `CompiledEngine` can do what `KernelEngine` can."""
    return objective.native is not None and not network.norms and mlpeak.get_backend() == "native"


class CompiledEngine:
    """An engine of one native program; parameters as of `mlpeak.sklearn.engine.KernelEngine`."""

    def __init__(
        self,
        network: Network,
        data: Data,
        objective: Objective,
        alpha: float,
        optimizer: Optimizer | None = None,
        seed: int = 0,
    ) -> None:
        assert objective.native is not None
        self.network, self.data, self.alpha, self.optimizer = network, data, alpha, optimizer
        self._random = Generator(seed)
        self._gradients = [np.empty_like(p) for p in network.parameters()]
        builder = _Builder(network, data, objective.native, alpha > 0, optimizer, self._gradients)
        self._program = builder.program
        given = (_compressed(data.x), data.target, data.sample_weight)
        self._arrays = tuple(array for array in given if array is not None)
        constant = objective.native.constant
        self._constant = None if constant is None else constant(data.target)
        self._step = _core.Step(
            self._program, builder.expected, self._random, builder.draws, DROPOUT, 1
        )
        # dicts that the step reads before each epoch
        self._groups: list[dict[str, Any]] = []
        if optimizer is not None:
            group = optimizer.group()
            self._groups = [{**group, "penalised": True}, {**group, "weight_decay": 0.0}]
            for each in self._groups:
                self._step.add_group(each, optimizer.rule, optimizer.t, False)
        self._batches: tuple[int, Array, Array] | None = None

    def train_epoch(self, order: Array | None, batch_size: int) -> float:
        """Update the network once for each batch."""
        assert self.optimizer is not None
        lr = self.optimizer.group()["lr"]
        for group in self._groups:
            group["lr"] = lr
        losses, sizes = self._run(order, batch_size)
        self.optimizer.count(len(losses))
        return float(losses @ sizes) / len(self.data)

    def loss_and_gradient(self) -> tuple[float, list[Array]]:
        """Return the loss of all samples and the gradient of each parameter."""
        (loss,), _ = self._run(None, len(self.data))
        factor = self.alpha / self.data.total_weight()
        for grad, weight in zip(self._gradients, self.network.weights, strict=False):
            grad += factor * weight
        return float(loss), self._gradients

    def _run(self, order: Array | None, batch_size: int) -> tuple[Array, Array]:
        """Run all batches; return their losses and sizes."""
        samples = len(self.data)
        if self._batches is None or self._batches[0] != batch_size:
            starts = np.arange(0, samples, batch_size)
            self._batches = batch_size, starts, np.diff(starts, append=samples).astype(np.float64)
        _, starts, sizes = self._batches

        def by_batch(values: Array) -> Array:
            ordered = values if order is None else values[order]
            return np.add.reduceat(ordered.astype(np.float64, copy=False), starts)

        weight = self.data.sample_weight
        totals = sizes if weight is None else by_batch(weight)
        if not totals.all():
            raise ZeroDivisionError("Weights sum to zero, can't be normalized")
        losses = np.empty(len(starts))
        scales = [1.0] * len(self._arrays)
        # the parameters may have been changed from outside
        self._program.pack_weights()
        self._step.run(
            self._arrays, scales, samples, batch_size, order, losses, False, True,
            self.alpha / totals,
        )  # fmt: skip
        if self._constant is not None:
            c = self._constant
            losses += by_batch(c if weight is None else c * weight) / totals
        return losses, sizes


def _compressed(x: Any) -> Any:
    """Return a sparse matrix as the program takes it; anything else as it is."""
    if not issparse(x):
        return x
    x.check_format(full_check=True)  # a wrong position would be written to
    return x.data, x.indptr.astype(np.int64), x.indices.astype(np.int64)


class _Builder:
    """Makes the program of a step.

    Stage 0 has the forward pass and, by all samples, what the rest of the step divides by and the
    squares of the weights; a later stage the backward pass and the updates.
    """

    def __init__(
        self,
        network: Network,
        data: Data,
        native: Native,
        penalised: bool,
        optimizer: Optimizer | None,
        gradients: list[Array],
    ) -> None:
        self.network, self.native, self.optimizer = network, native, optimizer
        self.gradients = gradients
        self.program: Any = _core.Program(network.dtype.name)
        self.size = network.dtype.itemsize
        self.expected: list[dict[str, Any]] = []
        self.draws = 0
        weighted = data.sample_weight is not None
        self.back = 1 if weighted else 0
        self.last = max(self.back, 1 if penalised else 0)

        self.params = [self.array(p) for p in network.parameters()]
        self.weights = [
            self.program.weight(value, *w.shape, True, i > 0, network.precision or "fp32")
            for i, (value, w) in enumerate(zip(self.params, network.weights, strict=False))
        ]
        layers = len(network.weights)
        x = self.given(data.x)
        classes = native.loss == "cross_entropy"
        target = self.integers() if classes else self.given(data.target)
        self.sample_weight = self.given(data.sample_weight) if weighted else NOWHERE

        inputs, saved = [x], []
        for i in range(layers - 1):
            kept, x = self.hidden(i, x)
            saved.append(kept)
            inputs.append(x)
        outputs = network.weights[-1].shape[0]
        z = self.program.add_rows(outputs, outputs)
        self.program.linear(
            0, self.weights[-1], x, z, self.params[2 * layers - 1], NOWHERE, "identity", []
        )
        partials = self.squares() if penalised else []
        grad = self.program.add_rows(outputs, outputs)
        column, divisor, scale = (self.class_loss if classes else self.element_loss)(
            z, target, grad, outputs
        )
        total = self.program.add_array(16 // self.size)
        self.program.penalised_loss(
            self.last, column, divisor, scale, partials, self.partial_sizes(partials), total
        )
        self.program.set_loss(total)
        for i in range(layers - 1, -1, -1):
            self.gradient(i, grad, inputs[i], layers)
            if i:
                grad = self.backward(i, grad, saved[i - 1])

    # ---- values ----

    def array(self, array: Array) -> int:
        """Return the value that stands in an array."""
        value: int = self.program.add_array(array.size)
        self.program.set_array(value, array)
        return value

    def number(self, number: float) -> int:
        """Return the value of a constant."""
        return self.array(np.full(16 // self.size, number, self.network.dtype))

    def given(self, array: Any) -> int:
        """Return the rows that are gathered from an array of the data."""
        columns = 1 if array.ndim == 1 else array.shape[1]
        value: int = self.program.add_rows(columns, columns)
        self._expect(value, False, list(array.shape[1:]))
        return value

    def integers(self) -> int:
        """Return the classes that are gathered from the data."""
        value: int = self.program.add_integers(1)
        self._expect(value, True, [])
        return value

    def _expect(self, value: int, integer: bool, shape: list[int]) -> None:
        # the objective made the target: classes are in range
        unchecked = {"uppers": [], "ignores": False, "ignore_index": -1}
        self.expected.append({"value": value, "integer": integer, "shape": shape, **unchecked})

    def units(self, layer: int) -> int:
        """Return new rows of a hidden layer's width."""
        columns = self.network.weights[layer].shape[0]
        rows: int = self.program.add_rows(columns, padded_ld(columns, self.size))
        return rows

    # ---- instructions ----

    def hidden(self, i: int, x: int) -> tuple[int, int]:
        """Add a hidden layer's forward pass; return what its backward keeps, and its output."""
        net = self.network
        name = net.activations[i]
        keeps_input = name != "identity" and ACTIVATIONS[name].keeps == "input"
        y = self.units(i)
        pre = self.units(i) if keeps_input else NOWHERE
        bias = self.params[len(net.weights) + i]
        self.program.linear(0, self.weights[i], x, y, bias, pre, name, self.numbers(name))
        kept = pre if keeps_input else y
        if not self.dropped(i):
            return kept, y
        dropped = self.units(i)
        self.program.dropout(0, net.dropout[i], self.draws, y, dropped)
        self.draws += 1
        return kept, dropped

    def dropped(self, i: int) -> bool:
        """Return whether a hidden layer has dropout."""
        return bool(self.network.dropout) and self.network.dropout[i] > 0

    @staticmethod
    def numbers(name: str) -> list[float]:
        """Return an activation's own numbers."""
        return [] if name == "identity" else list(ACTIVATIONS[name].defaults.values())

    def backward(self, i: int, grad: int, saved: int) -> int:
        """Add the gradient of layer i's input; return that at the linear layer before it."""
        net, stage = self.network, self.back
        name, numbers = net.activations[i - 1], self.numbers(net.activations[i - 1])
        out = self.units(i - 1)
        if not self.dropped(i - 1):
            saved = NOWHERE if name == "identity" else saved
            self.program.linear_backward_input(
                stage, self.weights[i], grad, out, saved, name, numbers
            )
            return out
        self.program.linear_backward_input(
            stage, self.weights[i], grad, out, NOWHERE, "identity", []
        )
        draw = sum(self.dropped(k) for k in range(i - 1))
        self.program.dropout(stage, net.dropout[i - 1], draw, out, out)
        if name != "identity":
            self.program.activation(stage, name, numbers, True, saved, out, out)
        return out

    def gradient(self, i: int, grad: int, x: int, layers: int) -> None:
        """Add the gradients of layer i's parameters, updated at once by an optimizer."""
        for index, group in ((i, 0), (layers + i, 1)):
            if self.optimizer is None:
                destination: tuple[int, int, int, list[int]] = (
                    self.array(self.gradients[index]), NOWHERE, NOWHERE, [],
                )  # fmt: skip
            else:
                states = [self.array(s) for s in self.optimizer.states[index]]
                destination = (NOWHERE, group, self.params[index], states)
            if group:
                self.program.linear_backward_bias(self.last, grad, *destination)
            else:
                self.program.linear_backward_weight(
                    self.last, self.weights[i], grad, x, *destination
                )

    def squares(self) -> list[int]:
        """Add the sums of the weights' squares; return where their parts stand."""
        parts = []
        for value, weight in zip(self.params, self.network.weights, strict=False):
            parts.append(self.program.add_array(max(self.chunks(weight), 16 // self.size)))
            self.program.square_sums(0, value, weight.size, parts[-1])
        return parts

    @staticmethod
    def chunks(weight: Array) -> int:
        """Return in how many parts a weight's squares are added."""
        return -(-weight.size // SUM_CHUNK)

    def partial_sizes(self, partials: list[int]) -> list[int]:
        """Return how many parts there are for each weight."""
        return [self.chunks(w) for w, _ in zip(self.network.weights, partials, strict=False)]

    # ---- the loss: the column of each sample's, its divisor, and the factor of their sum ----

    def class_loss(self, z: int, target: int, grad: int, classes: int) -> tuple[int, int, float]:
        """Add a loss over classes and its gradient."""
        column = self.program.add_rows(1, 1)
        told: dict[str, Any] = {
            "name": self.native.loss,
            "input": z,
            "target": target,
            "probabilities": NOWHERE,
            "class_weight": NOWHERE,
            "sample_weight": self.sample_weight,
            "ignore_index": -1,
            "label_smoothing": self.native.options["label_smoothing"],
            "reduction": "mean",
            "divisor": NOWHERE,
            "upstream": NOWHERE,
            "grad_output": NOWHERE,
            "loss": column,
            "grad": grad,
        }
        if self.sample_weight != NOWHERE:
            told["divisor"] = self.program.add_array(16 // self.size)
            self.program.class_loss_divisor(0, told, told["divisor"])
        self.program.class_loss(self.back, told)
        return self.clipped(column), told["divisor"], 1.0

    def element_loss(self, z: int, target: int, grad: int, outputs: int) -> tuple[int, int, float]:
        """Add a loss of each output and its gradient."""
        native = self.native
        told: dict[str, Any] = {
            "name": native.loss,
            "log_input": True,
            **native.options,
            "input": z,
            "target": target,
            "extra": NOWHERE,
            "extra_array": NOWHERE,
            "extra_size": 0,
            "sample_weight": self.sample_weight,
            "reduction": "mean",
            "divisor": NOWHERE,
            # a mean divides by the outputs, too
            "upstream": self.number(native.factor * outputs),
            "grad_output": NOWHERE,
            "values": NOWHERE,
            "grad": grad,
            "grad_extra": NOWHERE,
        }
        scale = native.factor / (outputs if native.averaged else 1)
        if self.sample_weight != NOWHERE:
            told["divisor"] = self.program.add_array(16 // self.size)
            self.program.elementwise_loss_divisor(0, told, told["divisor"])
            scale *= outputs
        self.program.elementwise_loss(self.back, told)
        values = self.program.add_rows(outputs, outputs)
        self.program.elementwise_loss(self.back, {**told, "values": values, "grad": NOWHERE})
        values = self.clipped(values)
        if outputs == 1:
            return values, told["divisor"], scale
        column = self.program.add_rows(1, 1)
        one = (1, 0)  # lengths: fixed, and for each sample
        self.program.along(
            self.back, True, "sum", one, (outputs, 0), one, [], values, NOWHERE, column
        )
        return column, told["divisor"], scale

    def clipped(self, losses: int) -> int:
        """Limit losses, which are weighted, where the objective's report has a limit."""
        if not self.native.clipped:
            return losses
        limit, spread = self.number(ceiling(self.network.dtype)), Spread.NUMBER
        if self.sample_weight != NOWHERE:
            column = self.program.add_rows(1, 1)
            self.program.arithmetic(
                self.back, "multiply", self.sample_weight, Spread.ROWS, limit, spread, column
            )
            limit, spread = column, Spread.COLUMN
        self.program.arithmetic(self.back, "minimum", losses, Spread.ROWS, limit, spread, losses)
        return losses
