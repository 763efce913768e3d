"""Lowering: from the calls of a graph to the instructions of a native program.

Each call becomes an instruction in a *stage*. In a stage threads first compute rows, each its own
samples, then meet at a barrier and share what is made from all samples: gradients of weights, sums.
A call's stage is the first in which all it reads is there, so a network without batch statistics
has one stage, and the barrier in it is the only one of a step besides its end.

`Lowering` holds the homes and the emitted instructions; how each call is lowered is in `rules`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlpeak._tensor import Tensor
from mlpeak._types import Array
from mlpeak.compiler.errors import EAGER, CompileError
from mlpeak.compiler.gradients import EmitGradient, Update
from mlpeak.compiler.graph import Call, Graph, Value
from mlpeak.compiler.layout import (
    NOWHERE,
    Home,
    Place,
    Weight,
    columns_of,
    has_batch,
    is_rows,
)
from mlpeak.compiler.maps import map_copy, map_value

__all__ = ["Lowering"]

#: The calls that read rows which are apart.
AWARE = frozenset(
    {"linear", "linear_backward_input", "linear_backward_weight", "linear_backward_bias"}
    | {f"{a}{b}" for a in ("relu", "leaky_relu", "elu", "selu", "gelu", "gelu_tanh", "silu")
       for b in ("", "_backward")}
    | {f"{a}{b}" for a in ("mish", "sigmoid", "log_sigmoid", "tanh", "softplus", "dropout")
       for b in ("", "_backward")}
    | {"np.add", "np.subtract", "np.multiply", "np.concatenate"}
)  # fmt: skip

Emit = Callable[[Any], None]


@dataclass
class Lowering:
    """A graph on its way to a program.

    Parameters
    ----------
    graph : Graph
    dtype : numpy.dtype
        float32 or float64: of all that is computed.
    updates : list of Update
        What becomes of gradients; a parameter without one has its gradient ignored.
    clip_norm : float or None
        The joint norm to which gradients are clipped before their update.
    accumulate : int
        Steps that share an update.
    ema : float or None
        The decay of the parameters' moving averages.
    precision : str
        "bf16" if the factors of linear layers' products are rounded so.
    averages, sums : dict
        From the id of a parameter to the arrays of its moving average and, with `accumulate`, of
        the sum of its gradients.
    ignored : bool
        Whether targets may hold ``ignore_index``, so that a mean's divisor depends on them.
    """

    graph: Graph
    dtype: np.dtype[Any]
    updates: list[Update] = field(default_factory=list)
    clip_norm: float | None = None
    accumulate: int = 1
    ema: float | None = None
    precision: str = "fp32"
    averages: dict[int, Array] = field(default_factory=dict)
    sums: dict[int, Array] = field(default_factory=dict)
    ignored: bool = False

    def __post_init__(self) -> None:
        #: Whether gradients wait in arrays for one update of all parameters.
        self.update_once = self.clip_norm is not None or self.accumulate > 1
        self.first_update_stage: int | None = None
        self.places: dict[int, Place] = {}
        self.arrays: list[tuple[Home, Array]] = []
        self.tensors: dict[int, tuple[Tensor, Home]] = {}
        self.homes: list[Home] = []
        self.weights: dict[int, Weight] = {}
        self.emitted: list[tuple[int, Emit, int, int]] = []
        self.repeat = 1  # rows of a sample that what is emitted takes for rows of its own
        self.once = 0  # 1, 2: row instructions are emitted that run as a whole, on an array or rows
        self.prelude: list[Emit] = []
        self.loss = NOWHERE
        self.results: list[Home] = []  # of a forward pass's outputs
        self.updated: list[Home] = []  # buffers that the step changes
        self.integer_parts: dict[int, tuple[Value, int, int]] = {}  # source, first column, how many
        self.least_batch = 1  # samples that a step takes at least
        self.done: set[int] = set()  # calls that an earlier one has taken in
        self.sources: dict[int, tuple[Home, bool]] = {}  # of inputs: home, whether integers
        self.integers: dict[int, Home] = {}
        #: Of integers from outside: each column is in [0, bound), 0 for no bound, or is the second.
        self.bounds: dict[int, tuple[list[int], int | None]] = {}
        self.read_rows: dict[Home, int] = {}  # last stage whose rows read it
        self.read_whole: dict[Home, int] = {}
        self.constants: dict[int, Array] = {}  # of values known now
        self.tied: list[tuple[Home, Home]] = []  # homes whose rows are equally far apart
        self.pending: list[tuple[Value, int, EmitGradient, int]] = []
        self.tensor_of = {value.id: tensor for tensor, value in self.graph.gradients}
        self.gradient_homes: dict[int, Home] = {}  # by parameter, of those in arrays
        self.state_homes: dict[int, list[Home]] = {}
        self.spare_weights: list[Weight] = []
        self.divisors: dict[Any, Home] = {}
        self.users: dict[int, list[int]] = {}
        self.maker: dict[int, int] = {}
        for number, call in enumerate(self.graph.calls):
            for value in call.inputs:
                if value is not None:
                    self.users.setdefault(value.id, []).append(number)
            for value in call.outputs:
                if value is not None:
                    self.maker[value.id] = number
        self.wanted: dict[int, int] = {}  # value -> how often it is a result of the graph
        for result in (self.graph.loss, *self.graph.outputs, *(v for _, v in self.graph.gradients)):
            if result is not None:
                self.wanted[result.id] = self.wanted.get(result.id, 0) + 1

    # ---- what calls ask ----

    def only_user(self, value: Value, name: str) -> tuple[int, Call] | None:
        """Return the one call that reads `value`, if it is called `name` and nobody else does."""
        users = self.users.get(value.id, [])
        if len(users) != 1 or value.id in self.wanted or users[0] in self.done:
            return None
        call = self.graph.calls[users[0]]
        return (users[0], call) if call.name == name else None

    def error(self, call: Call, why: str) -> CompileError:
        """Return the error that `call` cannot be compiled."""
        where = f" in module {call.module!r}" if call.module else ""
        return CompileError(f"compile: {call.name}{where} {why}. {EAGER}")

    # ---- homes ----

    def new_home(self, rows: bool, columns: int, stage: int, adjacent: bool = True) -> Home:
        """Return a new home, readable from `stage` on."""
        home = Home(rows, columns, adjacent, stage)
        self.homes.append(home)
        return home

    def result(self, value: Value, stage: int, whole: bool = False) -> Home:
        """Give a call's result a home: rows that `stage` makes, or what is ready in the next.

        An array and, if `whole`, rows too are made by an instruction on all samples; in stage -1
        before the steps.
        """
        rows = has_batch(value.shape)
        several = rows and value.shape[0] < -1  # rows a sample, which are adjacent
        users = [self.graph.calls[n].name for n in self.users.get(value.id, [])]
        aware = value.id not in self.wanted and bool(users) and all(u in AWARE for u in users)
        ready = stage if rows and not whole else stage + 1
        home = self.new_home(rows, columns_of(value.shape), ready, whole or several or not aware)
        home.early = stage < 0
        self.places[value.id] = Place(home)
        return home

    def stage_for(self, value: Value, *homes: Home) -> int:
        """Return the first stage in which all homes can be read, -1 if it is before the steps."""
        if not has_batch(value.shape) and all(h.early or h.constant for h in homes):
            return -1
        return self.stage_of(*homes)

    @staticmethod
    def columns(value: Value) -> int:
        """Return the elements a value has for each sample, or in all."""
        return columns_of(value.shape)

    def constant(self, array: Array) -> Home:
        """Return the home of numbers that never change."""
        flat = np.ascontiguousarray(array, self.dtype).reshape(-1)
        home = self.new_home(False, flat.size, 0)
        home.constant = True
        self.arrays.append((home, flat))
        return home

    def place(self, value: Value, call: Call) -> Place:
        """Return where a value stands, giving it a home if it comes from outside."""
        found = self.places.get(value.id)
        if found is not None:
            return found
        if value.kind in ("input", "target", "sample_weight"):
            self.check_source(value, call, False)
            home = self.new_home(True, columns_of(value.shape), 0)
            self.sources[value.id] = home, False
        elif value.scalar is not None:
            home = self.new_home(False, 1, 0)
            home.early = True
            number = value.scalar
            self.prelude.append(
                lambda p: p.batch_number(home.number, number.scale, number.power, number.divisor)
            )
        else:
            assert value.array is not None
            if value.kind != "constant" and value.dtype != self.dtype:
                raise self.error(call, f"reads {value.name}, which is {value.dtype}; expected "
                                 f"{self.dtype}, as the other parameters")  # fmt: skip
            if value.kind == "constant":
                self.constants[value.id] = value.array
                home = self.constant(value.array)
            else:
                assert value.tensor is not None
                if not (value.array.flags.c_contiguous and value.array.flags.aligned):
                    raise self.error(call, f"reads {value.name}, whose elements do not lie in "
                                     "memory in order (a transpose?); give it a copy that does: "
                                     "p.data = p.data.contiguous()")  # fmt: skip
                known = self.home_of(value.tensor)
                home = self.new_home(False, columns_of(value.shape), 0) if known is None else known
                if known is None:
                    self.arrays.append((home, value.array))
                    self.tensors[id(value.tensor)] = value.tensor, home
        self.places[value.id] = Place(home)
        return self.places[value.id]

    def check_source(self, value: Value, call: Call, integer: bool) -> None:
        """Raise if what the caller gives is wanted both as classes and as numbers."""
        if value.id in self.sources and self.sources[value.id][1] != integer:
            what = f"{value.kind} {value.index}"
            raise self.error(call, f"reads {what} as indices and as numbers; give it twice")

    def standard(self, value: Value, call: Call) -> Home:
        """Return the home of a value in which its elements stand in order, copied if need be."""
        place = self.place(value, call).simplified(value.shape)
        if place.strides is None and place.home.rows == has_batch(value.shape):
            return place.home
        map_value(self, call, "copy", value, [(place, value.shape)])
        return self.places[value.id].home

    def rows(self, value: Value, call: Call, adjacent: bool = True) -> Home:
        """Return the home of a value that has a row for each sample, copied out if it is spread."""
        if not is_rows(value.shape):
            raise self.error(
                call, f"reads an array of shape {value.shape} where samples are expected"
            )
        home = self.standard(value, call)
        if adjacent:
            home.adjacent = True
        return home

    def array(self, value: Value, call: Call) -> Home:
        """Return the home of a value without a batch."""
        if has_batch(value.shape):
            raise self.error(call, "reads samples where a parameter or a constant is expected")
        return self.standard(value, call)

    def picks(
        self, value: Value, call: Call, upper: int, ignore_index: int | None = None
    ) -> tuple[Home, int, int]:
        """Return integers from outside below `upper`: a home, its first column and how many."""
        source, first, count = self.integer_parts.get(value.id, (value, 0, columns_of(value.shape)))
        home = self._integers(source, call)
        uppers, ignored = self.bounds.get(source.id, ([0] * home.columns, ignore_index))
        if ignored != ignore_index:
            raise self.error(call, "ignores another class than an earlier loss of the same target")
        for column in range(first, first + count):
            uppers[column] = min(upper, uppers[column] or upper)
        self.bounds[source.id] = uppers, ignore_index
        return home, first, count

    def integer(
        self, value: Value, call: Call, upper: int, ignore_index: int | None = None
    ) -> Home:
        """Return the home of one integer a sample from outside: its class, below `upper`."""
        home, _, _ = self.picks(value, call, upper, ignore_index)
        if home.columns != 1:
            raise self.error(call, f"takes one integer a sample; got {home.columns}")
        return home

    def _integers(self, value: Value, call: Call) -> Home:
        if value.kind not in ("input", "target"):
            raise self.error(call, "needs integers that the caller of a step gives")
        home = self.integers.get(value.id)
        if home is None:
            home = self.integers[value.id] = Home(True, columns_of(value.shape))
            self.check_source(value, call, True)
            self.sources[value.id] = home, True
        return home

    def home_of(self, tensor: Tensor) -> Home | None:
        """Return the home of a parameter that some call has read."""
        found = self.tensors.get(id(tensor))
        return None if found is None else found[1]

    def weight(self, value: Value, call: Call) -> Weight:
        """Return the weight of a linear layer."""
        if value.kind != "parameter" and value.kind != "buffer":
            raise self.error(call, "has a weight that is computed")
        found = self.weights.get(value.id)
        if found is None:
            out, into = value.shape
            found = self.weights[value.id] = Weight(self.array(value, call), out, into)
        return found

    # ---- instructions ----

    def stage_of(self, *homes: Home | None) -> int:
        """Return the first stage in which all of them can be read."""
        return max((h.stage for h in homes if h is not None), default=0)

    def emit_rows(self, stage: int, reads: tuple[Home | None, ...], emit: Emit) -> None:
        """Add an instruction on rows."""
        for home in reads:
            if home is not None:
                self.read_rows[home] = max(self.read_rows.get(home, -1), stage)
        self.emitted.append((stage, emit, self.repeat, self.once))

    def emit_whole(self, stage: int, reads: tuple[Home | None, ...], emit: Emit) -> None:
        """Add an instruction on all samples."""
        for home in reads:
            if home is not None:
                self.read_whole[home] = max(self.read_whole.get(home, -1), stage)
        self.emitted.append((stage, emit, self.repeat, self.once))

    def whole(self, stage: int, reads: tuple[Home | None, ...], name: str, *args: Any) -> None:
        """Add the native instruction `name` on all samples; homes among `args` become numbers."""
        self.emit_whole(stage, reads, lambda p: getattr(p, name)(stage, *(map(_numbered, args))))

    def last_stage(self) -> int:
        """Return the last stage that has an instruction."""
        return max((stage for stage, *_ in self.emitted), default=0)

    def update_stage(self, home: Home, stage: int) -> int:
        """Return the first stage from `stage` on in which a parameter may change."""
        return max(stage, self.read_rows.get(home, 0), self.read_whole.get(home, -1) + 1)

    def run(self) -> None:
        """Lower all calls."""
        from mlpeak.compiler import (  # noqa: F401  (they add their rules)
            rules_arithmetic,
            rules_axes,
            rules_losses,
            rules_norms,
            rules_shapes,
            rules_tables,
        )
        from mlpeak.compiler.rules import REPEATED, RULES, finish

        for number, call in enumerate(self.graph.calls):
            if number in self.done:
                continue
            rule = RULES.get(call.name)
            if rule is None:
                raise self.error(call, "is not among the operations that compile")
            self.check_dtypes(call)
            if call.params.get("precision") is not None:
                raise self.error(call, "has a precision of its own, which is compile's to choose")
            first = call.inputs[0] if call.inputs else None
            if call.name in REPEATED and first is not None and is_rows(first.shape):
                self.repeat = columns_of(first.shape[:-1])
            rule(self, call)
            self.repeat = 1
        end = Call("the result", (), {}, ())
        if self.graph.loss is not None:
            self.loss = self.standard(self.graph.loss, end)
        else:
            for value in self.graph.outputs:
                assert value is not None
                self.result_of(value, end)
        finish(self)
        graph = self.graph
        for value in (*graph.inputs, *graph.targets, graph.sample_weight):
            if value is not None and value.id not in self.sources:  # nothing reads it
                integer = value.dtype.kind != "f"
                home = Home(True, columns_of(value.shape))
                if integer:
                    self.integers[value.id] = home
                else:
                    self.homes.append(home)
                self.sources[value.id] = home, integer

    def result_of(self, value: Value, end: Call) -> None:
        """Give an output of a forward pass a home that no other output has."""
        home = self.standard(value, end)
        if home.early or home.constant:
            home = map_copy(self, end, value)
        elif home in self.results:
            map_value(self, end, "copy", value, [(self.places[value.id], value.shape)])
            home = self.places[value.id].home
        self.results.append(home)

    def source(self, value: Value) -> tuple[Home, bool]:
        """Return where an array of the caller's goes, and whether as integers."""
        return self.sources[value.id]

    def check_dtypes(self, call: Call) -> None:
        """Raise for what is computed in another dtype, and for the square of the batch size."""
        for value in call.outputs:
            if value is None:
                continue
            if value.dtype.kind == "f" and value.dtype != self.dtype:
                raise self.error(call, f"computes in {value.dtype}; expected {self.dtype}, "
                                 "as the parameters")  # fmt: skip
            if sum(n < 0 for n in value.shape) > 1:
                raise self.error(call, f"has a result of shape {value.shape}: the batch size twice")


def _numbered(arg: Any) -> Any:
    """Return what the program calls a home, a weight, or a list of homes; other things as is."""
    if isinstance(arg, (Home, Weight)):
        return arg.number
    return [_numbered(item) for item in arg] if isinstance(arg, list) else arg
