"""The tape: how an operation on tensors is recorded, and how gradients flow back.

`apply` runs an `Op` and, where an input requires a gradient, leaves a `Node` that points at the
nodes of its inputs. Nodes are numbered in the order of their making, so a node's consumers always
have larger numbers than it: `run_backward` takes the largest number first and needs no recursion
and no counting, and gradients are always added in the same order.

Ownership goes one way only (tensor -> node -> nodes of its inputs -> leaves), so everything is
freed by reference counts alone.
"""

from __future__ import annotations

import heapq
import itertools
import weakref
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from mlpeak._core import note_change
from mlpeak._types import Array
from mlpeak.grad_mode import mode
from mlpeak.ops.registry import Context, Op

if TYPE_CHECKING:
    from mlpeak._tensor import Tensor


class Version:
    """How often a piece of memory was changed in place; all views of it share one."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0


class View:
    """How a tensor came out of another one's memory.

    ``steps`` are the view operations that lead from `base`, which is no view, to the tensor;
    ``version`` is the memory's version for which the tensor's node is right.
    """

    __slots__ = ("base", "recorded", "steps", "version")

    def __init__(
        self,
        base: Variable,
        steps: tuple[tuple[Op, dict[str, Any]], ...],
        recorded: bool,
    ) -> None:
        self.base = base
        self.steps = steps
        self.recorded = recorded
        self.version = base._version.value


_sequence = itertools.count()


class Node:
    """One recorded operation.

    ``edges`` has an entry for each input: the node that made it, the leaf tensor itself, or None
    if its gradient is not wanted. ``guards`` are the versions of the saved arrays that a caller
    can reach.
    """

    __slots__ = ("__weakref__", "_released", "ctx", "edges", "guards", "op", "retained", "sequence")

    def __init__(
        self,
        op: Op,
        ctx: Context,
        edges: tuple[Node | Variable | None, ...],
        guards: tuple[tuple[Version, int, tuple[int, ...]], ...],
    ) -> None:
        self.op = op
        self.ctx = ctx
        self.edges = edges
        self.guards = guards
        self.sequence = next(_sequence)
        self.retained: tuple[weakref.ref[Variable], ...] = ()
        self._released = False

    @property
    def name(self) -> str:
        """The name that torch's printing would give, as in ``MulBackward0``."""
        return "".join(w.capitalize() for w in self.op.name.split("_")) + "Backward0"

    @property
    def next_functions(self) -> tuple[tuple[Node | Variable | None, int], ...]:
        """The nodes or leaves of the inputs, in torch's form."""
        return tuple((edge, 0) for edge in self.edges)

    def __repr__(self) -> str:
        return f"<{self.name}>"

    def backward(self, grad: Array, retain: bool) -> tuple[Array | None, ...]:
        """Return the gradients of the inputs, and free what was saved unless `retain`."""
        if self._released:
            raise RuntimeError(
                "Trying to backward through the graph a second time (or directly access saved "
                "tensors after they have already been freed). Saved intermediate values of the "
                "graph are freed when you call .backward(). Specify retain_graph=True if you need "
                f"to backward through the graph a second time. (at {self.name})"
            )
        for version, expected, shape in self.guards:
            if version.value != expected:
                raise RuntimeError(
                    "one of the variables needed for gradient computation has been modified by an "
                    f"inplace operation: the tensor of shape {shape} that {self.name} needs is at "
                    f"version {version.value}; expected version {expected} instead. Hint: clone() "
                    "it before the in-place operation, or use the out-of-place one."
                )
        grads = self.op.backward(self.ctx, grad)
        if len(grads) != len(self.edges):
            raise RuntimeError(
                f"{self.op.name}: backward returned {len(grads)} gradients; "
                f"expected {len(self.edges)}, one for each input"
            )
        if not retain and self.ctx.saved:
            self.ctx.saved = ()
            self.guards = ()
            self._released = True
        return grads


class Variable:
    """A value and its place on the tape: what `Tensor` is before it has methods.

    It is here, apart from `Tensor`, so that the functions that become `Tensor`'s methods can be
    written on top of `apply`.
    """

    __slots__ = ("__weakref__", "_array", "_grad", "_leaf_grad", "_node", "_version", "_view")

    _array: Array
    _grad: Tensor | None
    _leaf_grad: bool  # the requires_grad of a leaf
    _node: Node | None
    _version: Version
    _view: View | None

    def _set(self, array: Array, requires_grad: bool = False) -> None:
        """Become a leaf that holds `array`."""
        self._array = array
        self._grad = None
        self._leaf_grad = requires_grad
        self._node = None
        self._version = Version()
        self._view = None

    def _make(self, array: Array) -> Tensor:
        """Return a new leaf of the tensor type; overridden by `Tensor`."""
        raise NotImplementedError

    @property
    def requires_grad(self) -> bool:
        """Whether operations on the tensor are recorded for backward."""
        return self._leaf_grad or self.grad_fn is not None

    @property
    def grad_fn(self) -> Node | None:
        """The recorded operation that made the tensor; None for a leaf."""
        view = self._view
        if view is not None and view.version != self._version.value:
            _replay_view(self, view)
        return self._node


def _edge(x: Variable) -> Node | Variable | None:
    return x.grad_fn or (x if x._leaf_grad else None)


def _replay_view(x: Variable, view: View) -> None:
    """Give `x` the node it has as a view of its base as the base is now."""
    view.version = x._version.value
    if view.base.requires_grad and view.recorded:
        node: Any = view.base
        was, mode.enabled = mode.enabled, True
        try:
            for op, params in view.steps:
                node = apply(op, node, **params)
        finally:
            mode.enabled = was
        _keep_retained(x, x._node, node._node)
        x._node = node._node


def _keep_retained(x: Variable, old: Node | Variable | None, new: Node | None) -> None:
    """Let a tensor whose gradient is retained get that of its `new` node, no longer the old's."""
    if isinstance(old, Node) and old.retained and new is not None:
        new.retained += tuple(r for r in old.retained if r() is x)
        old.retained = tuple(r for r in old.retained if r() is not x)


def apply(op: Op, *inputs: Variable | None, **params: Any) -> Tensor:
    """Run `op` on tensors and record it where an input requires a gradient.

    This is the only way a tensor is computed. An input may be None where the operation has an
    optional one; it then reaches `forward` as None.

    Parameters
    ----------
    op : Op
        A registered operation.
    *inputs : Tensor or None
        Its inputs; the first is a tensor.
    **params
        What is not differentiated: exponents, axes, shapes.

    Returns
    -------
    Tensor
        A new tensor, or a view of the first input if ``op.is_view``.
    """
    first = inputs[0]
    assert first is not None
    edges: tuple[Node | Variable | None, ...] = ()
    own_params = params.copy()  # forward may add to them
    if mode.enabled and op.differentiable:
        edges = tuple([None if x is None else _edge(x) for x in inputs])
        ctx = Context(tuple([e is not None for e in edges]), own_params)
    else:
        ctx = Context((False,) * len(inputs), own_params)
    arrays = [None if x is None else x._array for x in inputs]
    with np.errstate(all="ignore"):  # 1/0 is inf without a word, as in torch
        array = op.forward(ctx, *arrays, **params)
    if not isinstance(array, np.ndarray):  # NumPy makes scalars of 0-d results
        array = np.asarray(array)
    if not op.is_view and any(array is a for a in arrays):
        array = array.copy()
    output = first._make(array)
    if op.is_view and np.may_share_memory(array, first._array):
        output._version = first._version
        if first._view is None:
            output._view = View(first, ((op, params),), mode.enabled)
        else:
            recorded = first._view.recorded and mode.enabled
            output._view = View(first._view.base, (*first._view.steps, (op, params)), recorded)
    if True in ctx.needs and array.dtype.kind == "f":
        output._node = Node(op, ctx, edges, _guards(ctx, inputs, output))
    return output


def _guards(
    ctx: Context, inputs: tuple[Variable | None, ...], output: Variable
) -> tuple[tuple[Version, int, tuple[int, ...]], ...]:
    """Find the tensors whose memory was saved; they must not change until backward."""
    found = []
    for array in ctx.saved:
        if array is None:
            continue
        for x in (*inputs, output):
            if x is not None and (
                x._array is array
                or (array.base is not None and np.may_share_memory(x._array, array))
            ):
                found.append((x._version, x._version.value, array.shape))
                break
    return tuple(found)


class _Replace(Op):
    """The base after one of its views was assigned: ``base[view] = value``."""

    name = "copy_slices"

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...]:
        # laid out as the base is, so that the same steps lead to the same elements
        through = np.empty_like(ctx.params["like"])
        through[...] = grad
        part = through
        for op, params in ctx.params["steps"]:
            part = op.forward(Context((False,), params.copy()), part, **params)
        value = part.copy()
        if not np.may_share_memory(part, through):
            raise RuntimeError("the view that was changed in place cannot be found in its base")
        part[...] = 0
        return through, value


_REPLACE = _Replace()

V = TypeVar("V", bound=Variable)


def apply_inplace(op: Op, target: V, *others: Variable | None, **params: Any) -> V:
    """Run `op` on `target` and `others`, write the result into `target` and return `target`.

    Raises
    ------
    RuntimeError
        If `target` is a leaf that requires a gradient (or a view of one) while recording, if the
        result's shape or kind of dtype does not fit, or if `target` cannot be written.
    """
    view = target._view
    base = target if view is None else view.base
    if mode.enabled:
        if target._leaf_grad:
            raise RuntimeError(
                "a leaf Variable that requires grad is being used in an in-place operation."
            )
        if base._leaf_grad:
            raise RuntimeError(
                "a view of a leaf Variable that requires grad is being used in an in-place "
                "operation."
            )
        if view is not None and not view.recorded and base.requires_grad:
            raise RuntimeError(
                "A view was created in no_grad mode and is being modified inplace with grad mode "
                "enabled."
            )
    if not target._array.flags.writeable:
        raise RuntimeError(
            f"{op.name}_: the tensor of shape {target._array.shape} is read-only (expanded, or "
            "made from a read-only array); clone() it before an in-place operation"
        )
    result = apply(op, target, *others, **params)
    if result._node is not None:
        # what backward needs of the old values is copied before they are gone
        ctx = result._node.ctx
        ctx.saved = tuple(a.copy() if a is target._array else a for a in ctx.saved)
        result._node.guards = _guards(ctx, (target, *others), result)
    if result._array.shape != target._array.shape:
        raise RuntimeError(
            f"output with shape {list(target._array.shape)} doesn't match the broadcast shape "
            f"{list(result._array.shape)}"
        )
    if not np.can_cast(result._array.dtype, target._array.dtype, "same_kind"):
        raise RuntimeError(
            f"result type {result._array.dtype} can't be cast to the desired output type "
            f"{target._array.dtype}"
        )
    target._array[...] = result._array
    note_change()
    if result._node is None:
        target._version.value += 1
        return target
    if view is None:
        target._version.value += 1
        _keep_retained(target, target._node, result._node)
        target._node = result._node
        return target
    # a view: the base is what changed, and all its views follow when they are next used
    edges = (_edge(base), result._node)
    replaced = Context((edges[0] is not None, True), {"steps": view.steps, "like": base._array})
    target._version.value += 1
    base._node = Node(_REPLACE, replaced, edges, ())
    _keep_retained(base, edges[0], base._node)
    return target


class _Sums:
    """The gradients on their way: one array for each node or leaf, added in order of arrival."""

    __slots__ = ("_arrays",)

    def __init__(self) -> None:
        self._arrays: dict[int, tuple[Array, bool]] = {}

    def add(self, key: int, grad: Array, own: bool) -> bool:
        """Add `grad`, an array nobody else holds if `own`; return whether it is the first."""
        have = self._arrays.get(key)
        if have is None:
            self._arrays[key] = grad, own
            return True
        total, writable = have
        if writable:
            total += grad
        else:
            self._arrays[key] = np.asanyarray(total + grad), True
        return False

    def pop(self, key: int) -> tuple[Array, bool]:
        return self._arrays.pop(key)


def run_backward(root: Variable, gradient: Array, retain_graph: bool) -> None:
    """Add to ``.grad`` of each leaf behind `root` its share of `gradient`.

    Leaves are written last: an error on the way leaves every ``.grad`` as it was.
    """
    start = _edge(root)
    assert start is not None
    nodes: dict[int, Node] = {}
    queue: list[int] = []
    leaves: dict[int, Variable] = {}
    node_sums, leaf_sums = _Sums(), _Sums()

    def send(edge: Node | Variable, grad: Array, own: bool) -> None:
        if isinstance(edge, Node):
            if node_sums.add(edge.sequence, grad, own):
                nodes[edge.sequence] = edge
                heapq.heappush(queue, -edge.sequence)
        elif leaf_sums.add(id(edge), grad, own):
            leaves[id(edge)] = edge

    with np.errstate(all="ignore"):
        send(start, gradient, False)
        while queue:
            node = nodes.pop(-heapq.heappop(queue))
            grad, _ = node_sums.pop(node.sequence)
            for reference in node.retained:
                variable = reference()
                if variable is not None:
                    _accumulate(variable, grad, False)
            taken = [id(grad), *map(id, node.ctx.saved)]
            grads = node.backward(grad, retain_graph)
            # asanyarray, because NumPy makes scalars of 0-d results
            parts = [None if part is None else np.asanyarray(part) for part in grads]
            taken += [id(p if p.base is None else p.base) for p in parts if p is not None]
            for edge, part in zip(node.edges, parts, strict=True):
                if edge is not None and part is not None:
                    alone = part.base is None and taken.count(id(part)) == 1
                    send(edge, part, alone and part.flags.owndata)
        for key, leaf in leaves.items():
            _accumulate(leaf, *leaf_sums.pop(key))


def _accumulate(leaf: Variable, grad: Array, own: bool) -> None:
    array = leaf._array
    if grad.shape != array.shape or grad.dtype != array.dtype:
        raise RuntimeError(
            f"backward made a gradient of shape {grad.shape} and dtype {grad.dtype} for a tensor "
            f"of shape {array.shape} and dtype {array.dtype}"
        )
    if leaf._grad is None:
        keep = own and grad.flags.c_contiguous
        leaf._grad = leaf._make(grad if keep else grad.copy())
    else:
        leaf._grad._array += grad
        leaf._grad._version.value += 1
