"""`Tensor`: a NumPy array that remembers how it was computed.

The class holds what makes a tensor a tensor: its memory, its gradient, conversions and printing.
What is computed *from* tensors is in `mlpeak.functions`, one file a topic; the class takes those
functions as methods. How a tensor is made from data is in `mlpeak._from_data`.
"""

from __future__ import annotations

import copy
import weakref
from builtins import bool as _bool  # in the class these names are methods
from builtins import float as _float
from builtins import int as _int
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from mlpeak import _format, autograd, dtypes
from mlpeak._core import note_change
from mlpeak._device import CPU
from mlpeak._device import device as _device
from mlpeak._types import Array
from mlpeak.autograd import Variable, apply
from mlpeak.dtypes import check_dtype
from mlpeak.functions import (
    arithmetic,
    conversion,
    elementary,
    filling,
    indexing,
    products,
    reductions,
    shapes,
)

__all__ = ["Tensor", "apply"]


class Tensor(Variable):
    """An n-dimensional array with torch's methods and automatic differentiation.

    Parameters
    ----------
    data : array_like or Tensor
        A NumPy array or a tensor is used as it is, without a copy; anything else becomes an array
        of the default dtype, as in torch. `mlpeak.tensor` copies and infers the dtype.
    requires_grad : bool
        Record operations on the tensor, so that `backward` fills its `grad`.

    Examples
    --------
    >>> import mlpeak
    >>> x = mlpeak.tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4.])
    """

    # NumPy's operators give way to the reflected ones here
    __array_priority__ = 1000

    def __init__(self, data: Any = (), requires_grad: _bool = False) -> None:
        if isinstance(data, Variable):
            array = data._array
        elif isinstance(data, np.ndarray):
            array = conversion.ordinary(data)
        else:
            array = np.asarray(data, dtypes.get_default_dtype())
        check_dtype(array.dtype, type(self).__name__)
        _check_can_require_grad(type(self).__name__, array, requires_grad)
        self._set(array, requires_grad)
        if isinstance(data, Variable):
            self._version = data._version

    def _make(self, array: Array) -> Tensor:
        new = Tensor.__new__(Tensor)
        new._set(array)
        return new

    # gradients

    @property
    def requires_grad(self) -> _bool:
        """Whether operations on the tensor are recorded for backward."""
        return self._leaf_grad or self.grad_fn is not None

    @requires_grad.setter
    def requires_grad(self, value: _bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: _bool = True) -> Tensor:
        """Start or stop recording operations on this leaf, and return it."""
        if self.grad_fn is not None:
            if requires_grad:
                return self
            raise RuntimeError(
                "you can only change requires_grad flags of leaf variables. If you want to use a "
                "computed variable in a subgraph that doesn't require differentiation use "
                "var_no_grad = var.detach()."
            )
        _check_can_require_grad("requires_grad_", self._array, requires_grad)
        self._leaf_grad = requires_grad
        note_change()
        return self

    @property
    def is_leaf(self) -> _bool:
        """Whether the tensor was made by the user, not by a recorded operation."""
        return self.grad_fn is None

    @property
    def grad(self) -> Tensor | None:
        """The sum of the gradients that `backward` brought to this leaf, or None."""
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if not isinstance(value, Tensor):
                raise TypeError(f"grad is {type(value).__name__}; expected a Tensor or None")
            if value.shape != self.shape or value.dtype != self.dtype:
                raise RuntimeError(
                    f"assigned grad has shape {value.shape} and dtype {value.dtype}; expected "
                    f"{self.shape} and {self.dtype}"
                )
        self._grad = value

    def backward(self, gradient: Tensor | None = None, retain_graph: _bool = False) -> None:
        """Add the derivative of this tensor to ``.grad`` of every leaf it was computed from.

        Parameters
        ----------
        gradient : Tensor, optional
            The derivative of the final result by this tensor, of its shape; 1 for a single number.
        retain_graph : bool
            Keep what the forward pass saved, so that backward can run again.

        Raises
        ------
        RuntimeError
            If the tensor requires no gradient; if it is not a single number and `gradient` is
            missing; if the graph was freed by an earlier call; if a saved tensor was changed.
        """
        if not self.requires_grad:
            raise RuntimeError(
                "element 0 of tensors does not require grad and does not have a grad_fn"
            )
        if gradient is None:
            if self._array.size != 1:
                raise RuntimeError("grad can be implicitly created only for scalar outputs")
            seed: Array = np.ones_like(self._array)
        else:
            if not isinstance(gradient, Tensor):
                raise TypeError(
                    f"backward: gradient is {type(gradient).__name__}; expected a Tensor or None"
                )
            if gradient.shape != self.shape:
                raise RuntimeError(
                    f"Mismatch in shape: grad_output has a shape of {gradient.shape} and output "
                    f"has a shape of {self.shape}."
                )
            seed = gradient._array.astype(self.dtype, copy=False)
        autograd.run_backward(self, seed, retain_graph)

    def retain_grad(self) -> None:
        """Fill ``.grad`` of this tensor too in backward, though it is no leaf."""
        node = self.grad_fn
        if node is None:
            if not self._leaf_grad:
                raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
        elif all(reference() is not self for reference in node.retained):
            node.retained += (weakref.ref(self),)

    def detach(self) -> Tensor:
        """Return a tensor that shares the memory but is no part of the graph."""
        new = self._make(self._array)
        new._version = self._version
        return new

    def detach_(self) -> Tensor:
        """Take the tensor out of the graph, and return it."""
        if self._view is not None:
            raise RuntimeError("Can't detach views in-place. Use detach() instead.")
        self._node, self._leaf_grad = None, False
        return self

    @property
    def data(self) -> Tensor:
        """The values alone: shares the memory, and changes to it go unnoticed by backward."""
        note_change()
        return self._make(self._array)

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise TypeError(f"data is {type(value).__name__}; expected a Tensor")
        self._array = value._array
        note_change()

    def bump_version(self) -> None:
        """Tell the tape that the memory was changed from outside, as an optimizer does."""
        self._version.value += 1
        note_change()

    # memory

    @property
    def shape(self) -> tuple[_int, ...]:
        """The length of each dimension."""
        return self._array.shape

    def size(self, dim: _int | None = None) -> Any:
        """Return `shape`, or the length of one dimension."""
        if dim is None:
            return self._array.shape
        if not -self._array.ndim <= dim < self._array.ndim:
            raise IndexError(f"size: dim is {dim} for a tensor of {self._array.ndim} dimensions")
        return self._array.shape[dim]

    @property
    def ndim(self) -> _int:
        """The number of dimensions."""
        return self._array.ndim

    def dim(self) -> _int:
        """Return the number of dimensions."""
        return self._array.ndim

    def numel(self) -> _int:
        """Return the number of elements."""
        return self._array.size

    nelement = numel

    @property
    def dtype(self) -> np.dtype[Any]:
        """The NumPy dtype of the elements."""
        return self._array.dtype

    @property
    def device(self) -> _device:
        """Where the memory is: always the CPU."""
        return CPU

    @property
    def nbytes(self) -> _int:
        """The number of bytes of all elements."""
        return self._array.nbytes

    def element_size(self) -> _int:
        """Return the number of bytes of one element."""
        return self._array.itemsize

    def is_floating_point(self) -> _bool:
        """Return whether the dtype is float32 or float64."""
        return self._array.dtype.kind == "f"

    def data_ptr(self) -> _int:
        """Return the address of the first element."""
        return self._array.ctypes.data

    def stride(self, dim: _int | None = None) -> Any:
        """Return how many elements apart neighbours are along each dimension, or along one."""
        strides = tuple(s // self._array.itemsize for s in self._array.strides)
        return strides if dim is None else strides[dim]

    def is_contiguous(self) -> _bool:
        """Return whether the elements lie in memory in row-major order without gaps."""
        return self._array.flags.c_contiguous

    # conversions

    def numpy(self, *, force: _bool = False) -> Array:
        """Return the values as a NumPy array on the same memory.

        Parameters
        ----------
        force : bool
            Detach first if the tensor requires a gradient, instead of raising.

        Raises
        ------
        RuntimeError
            If the tensor requires a gradient.
        """
        if not force and self.requires_grad:
            raise RuntimeError(
                "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() "
                "instead."
            )
        array: Array = self._array.view()
        return array

    def __array__(self, dtype: DTypeLike | None = None, copy: _bool | None = None) -> Array:
        array = self.numpy()
        if dtype is not None and array.dtype != dtype:
            if copy is False:
                raise ValueError(f"a tensor of {array.dtype} cannot become {dtype} without a copy")
            return array.astype(dtype)
        return array.copy() if copy else array

    def item(self) -> Any:
        """Return the single element as a Python number."""
        if self._array.size != 1:
            raise RuntimeError(
                f"a Tensor with {self._array.size} elements cannot be converted to Scalar"
            )
        return self._array.item()

    def tolist(self) -> Any:
        """Return the elements as nested lists of Python numbers."""
        return self._array.tolist()

    # Python's protocols

    def __len__(self) -> _int:
        if not self._array.ndim:
            raise TypeError("len() of a 0-d tensor")
        return len(self._array)

    def __iter__(self) -> Iterator[Tensor]:
        if not self._array.ndim:
            raise TypeError("iteration over a 0-d tensor")
        return (self[i] for i in range(len(self._array)))

    def __contains__(self, value: object) -> _bool:
        return _bool(arithmetic.eq(self, value)._array.any())

    def __bool__(self) -> _bool:
        if self._array.size != 1:
            raise RuntimeError(
                f"Boolean value of Tensor with {self._array.size} values is ambiguous"
            )
        return _bool(self._array.item())

    def __float__(self) -> _float:
        return _float(self.item())

    def __int__(self) -> _int:
        return _int(self.item())

    def __index__(self) -> _int:
        if self._array.size != 1 or self._array.dtype.kind == "f":
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return _int(self.item())

    def __hash__(self) -> _int:
        return id(self)

    def __repr__(self) -> str:
        return _format.representation(self)

    def __format__(self, spec: str) -> str:
        return format(self.item() if self._array.ndim == 0 else str(self), spec)

    def __deepcopy__(self, memo: dict[_int, Any]) -> Tensor:
        if not self.is_leaf:
            raise RuntimeError(
                "Only Tensors created explicitly by the user (graph leaves) support the deepcopy "
                "protocol at the moment."
            )
        if id(self) in memo:
            return memo[id(self)]  # type: ignore[no-any-return]
        new = type(self).__new__(type(self))
        new._set(self._array.copy(), self._leaf_grad)
        new.__dict__.update(copy.deepcopy(self.__dict__, memo))
        if self._grad is not None:
            new._grad = self._grad.__deepcopy__(memo)
        memo[id(self)] = new
        return new

    def __reduce__(self) -> Any:
        if not self.is_leaf:
            raise RuntimeError("a tensor that was computed cannot be pickled; detach() it first")
        return _rebuild, (type(self), self._array, self._leaf_grad, self.__dict__)

    # what is computed from tensors

    to = conversion.to
    type = conversion.type_
    float = conversion.float_
    double = conversion.double
    int = conversion.int_
    long = conversion.long
    bool = conversion.bool_
    type_as = conversion.type_as
    cpu = conversion.cpu
    contiguous = conversion.contiguous

    @property
    def T(self) -> Tensor:
        """A view with all dims in reversed order."""
        return shapes.reverse_dims(self)

    @property
    def mT(self) -> Tensor:
        """A view with the last two dims swapped."""
        return shapes.matrix_transpose(self)

    add = arithmetic.add
    sub = subtract = arithmetic.sub
    mul = multiply = arithmetic.mul
    div = divide = true_divide = arithmetic.div
    floor_divide = arithmetic.floor_divide
    remainder = arithmetic.remainder
    maximum = arithmetic.maximum
    minimum = arithmetic.minimum
    neg = negative = arithmetic.neg
    abs = arithmetic.abs
    sign = arithmetic.sign
    floor = arithmetic.floor
    ceil = arithmetic.ceil
    round = arithmetic.round
    trunc = arithmetic.trunc
    square = arithmetic.square
    sqrt = arithmetic.sqrt
    rsqrt = arithmetic.rsqrt
    reciprocal = arithmetic.reciprocal
    clamp = clip = arithmetic.clamp
    eq = arithmetic.eq
    ne = arithmetic.ne
    lt = arithmetic.lt
    le = arithmetic.le
    gt = arithmetic.gt
    ge = arithmetic.ge
    logical_and = arithmetic.logical_and
    logical_or = arithmetic.logical_or
    logical_xor = arithmetic.logical_xor
    logical_not = arithmetic.logical_not
    isnan = arithmetic.isnan
    isinf = arithmetic.isinf
    isfinite = arithmetic.isfinite
    isclose = arithmetic.isclose
    allclose = arithmetic.allclose
    equal = arithmetic.equal
    clone = arithmetic.clone
    add_ = __iadd__ = arithmetic.add_
    sub_ = __isub__ = arithmetic.sub_
    mul_ = __imul__ = arithmetic.mul_
    div_ = __itruediv__ = arithmetic.div_
    floor_divide_ = __ifloordiv__ = arithmetic.floor_divide_
    remainder_ = __imod__ = arithmetic.remainder_
    neg_ = arithmetic.neg_
    clamp_ = arithmetic.clamp_
    copy_ = arithmetic.copy_
    fill_ = arithmetic.fill_
    zero_ = arithmetic.zero_

    __add__ = __radd__ = arithmetic.add
    __sub__ = arithmetic.sub
    __rsub__ = arithmetic.rsub
    __mul__ = __rmul__ = arithmetic.mul
    __truediv__ = arithmetic.div
    __rtruediv__ = arithmetic.rdiv
    __floordiv__ = arithmetic.floor_divide
    __rfloordiv__ = arithmetic.rfloor_divide
    __mod__ = arithmetic.remainder
    __rmod__ = arithmetic.rremainder
    __neg__ = arithmetic.neg
    __abs__ = arithmetic.abs
    __eq__ = arithmetic.equals
    __ne__ = arithmetic.differs
    __lt__ = arithmetic.lt
    __le__ = arithmetic.le
    __gt__ = arithmetic.gt
    __ge__ = arithmetic.ge
    __and__ = __rand__ = arithmetic.bitwise_and
    __or__ = __ror__ = arithmetic.bitwise_or
    __xor__ = __rxor__ = arithmetic.bitwise_xor
    __invert__ = arithmetic.bitwise_not

    uniform_ = filling.uniform_
    normal_ = filling.normal_

    exp = elementary.exp
    expm1 = elementary.expm1
    log = elementary.log
    log1p = elementary.log1p
    erf = elementary.erf
    pow = __pow__ = elementary.pow
    tanh = elementary.tanh
    sigmoid = elementary.sigmoid
    relu = elementary.relu
    softmax = elementary.softmax
    log_softmax = elementary.log_softmax
    exp_ = elementary.exp_
    sqrt_ = elementary.sqrt_
    relu_ = elementary.relu_
    sigmoid_ = elementary.sigmoid_
    tanh_ = elementary.tanh_
    pow_ = __ipow__ = elementary.pow_
    __rpow__ = elementary.rpow

    matmul = __matmul__ = products.matmul
    mm = products.mm
    mv = products.mv
    dot = products.dot
    bmm = products.bmm
    outer = products.outer
    __rmatmul__ = products.rmatmul

    sum = reductions.sum
    mean = reductions.mean
    var = reductions.var
    std = reductions.std
    prod = reductions.prod
    cumsum = reductions.cumsum
    max = reductions.max
    min = reductions.min
    amax = reductions.amax
    amin = reductions.amin
    argmax = reductions.argmax
    argmin = reductions.argmin
    any = reductions.any
    all = reductions.all
    count_nonzero = reductions.count_nonzero
    logsumexp = reductions.logsumexp
    norm = reductions.norm
    argsort = reductions.argsort
    sort = reductions.sort
    topk = reductions.topk

    reshape = shapes.reshape
    view = shapes.view
    view_as = shapes.view_as
    reshape_as = shapes.reshape_as
    flatten = shapes.flatten
    unflatten = shapes.unflatten
    squeeze = shapes.squeeze
    unsqueeze = shapes.unsqueeze
    permute = shapes.permute
    transpose = shapes.transpose
    t = shapes.t
    movedim = shapes.movedim
    expand = shapes.expand
    expand_as = shapes.expand_as
    broadcast_to = shapes.broadcast_to
    repeat = shapes.repeat
    flip = shapes.flip
    tril = shapes.tril
    triu = shapes.triu
    narrow = shapes.narrow
    split = shapes.split
    chunk = shapes.chunk
    unbind = shapes.unbind

    gather = indexing.gather
    take_along_dim = indexing.take_along_dim
    index_select = indexing.index_select
    masked_select = indexing.masked_select
    masked_fill = indexing.masked_fill
    masked_fill_ = indexing.masked_fill_
    scatter = indexing.scatter
    scatter_ = indexing.scatter_
    scatter_add = indexing.scatter_add
    scatter_add_ = indexing.scatter_add_
    nonzero = indexing.nonzero
    __getitem__ = indexing.getitem
    __setitem__ = indexing.setitem


def _check_can_require_grad(function: str, array: Array, requires_grad: bool) -> None:
    if not isinstance(requires_grad, bool):
        raise TypeError(
            f"{function}(): argument 'requires_grad' must be bool, not "
            f"{type(requires_grad).__name__}"
        )
    if requires_grad and array.dtype.kind != "f":
        raise RuntimeError("only Tensors of floating point dtype can require gradients")


def _rebuild(
    cls: type[Tensor], array: Array, requires_grad: bool, attributes: dict[str, Any]
) -> Tensor:
    new = cls.__new__(cls)
    new._set(array, requires_grad)
    new.__dict__.update(attributes)
    return new
