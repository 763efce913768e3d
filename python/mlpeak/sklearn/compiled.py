"""An engine of one native program: an epoch is one call, during which the GIL is released."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import issparse

import mlpeak
from mlpeak import _core, kernels
from mlpeak._random import DROPOUT, Generator
from mlpeak._types import Array
from mlpeak.compiler.layout import Spread, padded_ld
from mlpeak.ops.activations import ACTIVATIONS
from mlpeak.sklearn.engine import NORM_EPS, NORM_MOMENTUM, Data
from mlpeak.sklearn.network import Network
from mlpeak.sklearn.objectives import Native, Objective, ceiling
from mlpeak.sklearn.optimizers import Optimizer

__all__ = ["CompiledEngine", "can_compile"]

# elements whose squares are added into one number, as the native kSumChunk
SUM_CHUNK = 4096

NOWHERE = -1


def can_compile(network: Network, data: Data, objective: Objective) -> bool:
    """Return whether `CompiledEngine` can do what `KernelEngine` can."""
    if objective.native is None or mlpeak.get_backend() != "native":
        return False
    # losses are limited after they are weighted, where a negative weight would turn the limit round
    weight = data.sample_weight
    return not objective.native.clipped or weight is None or bool((weight >= 0).all())


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
        network.check_trainable(optimizer.states if optimizer is not None else [])
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
        return float(kernels.sum(losses * sizes)) / len(self.data)

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
    return np.ascontiguousarray(x.data), x.indptr.astype(np.int64), x.indices.astype(np.int64)


class _Normed(NamedTuple):
    """What a norm's backward pass reads: its input and, of rows or columns, their statistics."""

    z: int
    mean: int
    rstd: int


class _Builder:
    """Makes the program of a step.

    Stage 0 has the forward pass and, by all samples, what the rest of the step divides by and the
    squares of the weights; a later stage the backward pass and the updates. A batch norm, which
    needs all samples, ends a stage on the way forward and another on the way back.
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
        self.penalised = penalised
        self.stage = 0  # of what is added

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

        self.normed: list[_Normed] = []  # by hidden layer, if there are norms
        inputs, saved = [x], []
        for i in range(layers - 1):
            kept, x = self.hidden(i, x)
            saved.append(kept)
            inputs.append(x)
        outputs = network.weights[-1].shape[0]
        z = self.program.add_rows(outputs, outputs)
        self.program.linear(
            self.stage, self.weights[-1], x, z, self.params[2 * layers - 1], NOWHERE, "identity", []
        )
        partials = self.squares() if penalised else []
        self.stage = max(self.stage, 1 if weighted else 0)
        grad = self.program.add_rows(outputs, outputs)
        column, divisor, scale = (self.class_loss if classes else self.element_loss)(
            z, target, grad, outputs
        )
        total = self.program.add_array(16 // self.size)
        self.program.penalised_loss(
            self.update_stage(),
            column,
            divisor,
            scale,
            partials,
            self.partial_sizes(partials),
            total,
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
        self.program.set_array(value, array, True)
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
        """Return new rows of a hidden layer's width; a norm takes adjacent ones."""
        columns = self.network.weights[layer].shape[0]
        ld = columns if self.network.norms else padded_ld(columns, self.size)
        rows: int = self.program.add_rows(columns, ld)
        return rows

    def update_stage(self) -> int:
        """Return the stage of what changes parameters: not before their squares are added."""
        return max(self.stage, 1 if self.penalised else 0)

    def destination(self, index: int, group: int) -> tuple[int, int, int, list[int]]:
        """Return where a parameter's gradient goes: its array, or the update."""
        if self.optimizer is None:
            return self.array(self.gradients[index]), NOWHERE, NOWHERE, []
        states = [self.array(s) for s in self.optimizer.states[index]]
        return NOWHERE, group, self.params[index], states

    # ---- instructions ----

    def hidden(self, i: int, x: int) -> tuple[int, int]:
        """Add a hidden layer's forward pass; return what its backward keeps, and its output."""
        net = self.network
        name = net.activations[i]
        keeps_input = name != "identity" and ACTIVATIONS[name].keeps == "input"
        y = self.units(i)
        bias = self.params[len(net.weights) + i]
        if net.norms:
            kept = self.norm(i, x, bias)
            if name == "identity":
                y = kept
            else:
                self.program.activation(
                    self.stage, name, self.numbers(name), False, kept, NOWHERE, y
                )
        else:
            kept = self.units(i) if keeps_input else NOWHERE
            self.program.linear(
                self.stage, self.weights[i], x, y, bias, kept, name, self.numbers(name)
            )
        if not keeps_input:
            kept = y
        if not self.dropped(i):
            return kept, y
        dropped = self.units(i)
        self.program.dropout(self.stage, net.dropout[i], self.draws, y, dropped)
        self.draws += 1
        return kept, dropped

    def norm(self, i: int, x: int, bias: int) -> int:
        """Add a hidden layer's linear part and its norm; return the norm's output."""
        norm, first = self.network.norms[i], 2 * (len(self.network.weights) + i)
        weight, shift = self.params[first : first + 2]
        z, y = self.units(i), self.units(i)
        self.program.linear(self.stage, self.weights[i], x, z, bias, NOWHERE, "identity", [])
        if norm.kind == "layer":
            mean, rstd = self.program.add_rows(1, 1), self.program.add_rows(1, 1)
            self.program.row_norm(
                self.stage, False, NORM_EPS, z, NOWHERE, weight, shift, mean, rstd, y
            )
        else:
            size = len(norm.weight)
            mean, rstd = self.program.add_array(size), self.program.add_array(size)
            assert norm.mean is not None
            assert norm.var is not None
            running = self.array(norm.mean), self.array(norm.var)
            self.program.batch_statistics(
                self.stage, z, NORM_MOMENTUM, NORM_EPS, *running, mean, rstd
            )
            self.stage += 1
            self.program.batch_norm(
                self.stage, False, z, NOWHERE, weight, shift, mean, rstd, NOWHERE, NOWHERE, y
            )
        self.normed.append(_Normed(z, mean, rstd))
        return y

    def norm_backward(self, i: int, grad: int) -> int:
        """Add the gradients of a norm's input, which is returned, and of its parameters."""
        norm, first = self.network.norms[i], 2 * (len(self.network.weights) + i)
        z, mean, rstd = self.normed[i]
        weight, out = self.params[first], self.units(i)
        if norm.kind == "layer":
            self.program.row_norm(self.stage, True, 0.0, z, grad, weight, NOWHERE, mean, rstd, out)
            destinations = self.destination(first, 1), self.destination(first + 1, 1)
            self.program.row_norm_sums(self.update_stage(), z, grad, mean, rstd, *destinations)
            return out
        size = len(norm.weight)
        sums = [
            self.array(self.gradients[index]) if self.optimizer is None
            else self.program.add_array(size)
            for index in (first, first + 1)
        ]  # fmt: skip
        means = self.program.add_array(size), self.program.add_array(size)
        self.program.batch_norm_sums(self.stage, z, grad, mean, rstd, *sums, *means)
        self.stage += 1
        self.program.batch_norm(self.stage, True, z, grad, weight, NOWHERE, mean, rstd, *means, out)
        if self.optimizer is not None:
            for index, total in zip((first, first + 1), sums, strict=True):
                _, *update = self.destination(index, 1)
                self.program.update(self.update_stage(), total, *update, size)
        return out

    def dropped(self, i: int) -> bool:
        """Return whether a hidden layer has dropout."""
        return bool(self.network.dropout) and self.network.dropout[i] > 0

    @staticmethod
    def numbers(name: str) -> list[float]:
        """Return an activation's own numbers."""
        return [] if name == "identity" else list(ACTIVATIONS[name].defaults.values())

    def backward(self, i: int, grad: int, saved: int) -> int:
        """Add the gradient of layer i's input; return that at the linear layer before it."""
        net, stage = self.network, self.stage
        name, numbers = net.activations[i - 1], self.numbers(net.activations[i - 1])
        out = self.units(i - 1)
        if not self.dropped(i - 1) and not net.norms:
            saved = NOWHERE if name == "identity" else saved
            self.program.linear_backward_input(
                stage, self.weights[i], grad, out, saved, name, numbers
            )
            return out
        self.program.linear_backward_input(
            stage, self.weights[i], grad, out, NOWHERE, "identity", []
        )
        if self.dropped(i - 1):
            draw = sum(self.dropped(k) for k in range(i - 1))
            self.program.dropout(stage, net.dropout[i - 1], draw, out, out)
        if name != "identity":
            self.program.activation(stage, name, numbers, True, saved, out, out)
        return self.norm_backward(i - 1, out) if net.norms else out

    def gradient(self, i: int, grad: int, x: int, layers: int) -> None:
        """Add the gradients of layer i's parameters, updated at once by an optimizer."""
        stage = self.update_stage()
        self.program.linear_backward_weight(
            stage, self.weights[i], grad, x, *self.destination(i, 0)
        )
        self.program.linear_backward_bias(stage, grad, *self.destination(layers + i, 1))

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
        self.program.class_loss(self.stage, told)
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
        self.program.elementwise_loss(self.stage, told)
        values = self.program.add_rows(outputs, outputs)
        self.program.elementwise_loss(self.stage, {**told, "values": values, "grad": NOWHERE})
        values = self.clipped(values)
        if outputs == 1:
            return values, told["divisor"], scale
        column = self.program.add_rows(1, 1)
        one = (1, 0)  # lengths: fixed, and for each sample
        self.program.along(
            self.stage, True, "sum", one, (outputs, 0), one, [], values, NOWHERE, column
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
                self.stage, "multiply", self.sample_weight, Spread.ROWS, limit, spread, column
            )
            limit, spread = column, Spread.COLUMN
        self.program.arithmetic(self.stage, "minimum", losses, Spread.ROWS, limit, spread, losses)
        return losses
