"""Initial values: each function overwrites a tensor and returns it.

The random ones take the next step of the default generator (`mlpeak.manual_seed`), or of the
keyword `generator`.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlpeak import _random, kernels
from mlpeak._random import Generator
from mlpeak._tensor import Tensor
from mlpeak.nn._state import overwrite

__all__ = [
    "calculate_gain",
    "constant_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]

# Gains that keep the variance of a layer's output (LeCun 1998; Glorot 2010; He 2015; for selu,
# Klambauer 2017, the gain 3/4 of PyTorch).
_GAINS = {
    "linear": 1.0,
    "sigmoid": 1.0,
    "tanh": 5.0 / 3.0,
    "relu": math.sqrt(2.0),
    "selu": 3.0 / 4.0,
}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """Return the factor on a weight's standard deviation that suits the activation behind it.

    Parameters
    ----------
    nonlinearity : {"linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu"}
        The activation.
    param : float, optional
        The negative slope of leaky_relu, 0.01 by default.

    Raises
    ------
    ValueError
        If `nonlinearity` is another one, or `param` is no number.
    """
    if nonlinearity == "leaky_relu":
        if param is None:
            param = 0.01
        elif isinstance(param, bool) or not isinstance(param, (int, float)):
            raise ValueError(f"negative_slope {param} not a valid number")
        return math.sqrt(2.0 / (1 + param**2))
    if nonlinearity not in _GAINS:
        raise ValueError(
            f"Unsupported nonlinearity {nonlinearity}; expected one of "
            f"{', '.join(_GAINS)}, leaky_relu"
        )
    return _GAINS[nonlinearity]


def _draw(kernel: Any, tensor: Tensor, a: float, b: float, generator: Generator | None) -> Tensor:
    seed, step = (generator or _random.default_generator).next()
    drawn = kernel(
        tuple(tensor.shape), a, b, seed=seed, stream=_random.INIT, step=step, dtype=tensor.dtype
    )
    return overwrite(tensor, drawn)


def uniform_(
    tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Draw from the uniform distribution on [a, b)."""
    return _draw(kernels.random_uniform, tensor, a, b, generator)


def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Draw from the normal distribution."""
    return _draw(kernels.random_normal, tensor, mean, std, generator)


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Draw from the normal distribution cut to [a, b].

    The distribution function is inverted by bisection in float64.

    Raises
    ------
    ValueError
        If ``a > b`` or ``std <= 0``.
    """
    if not a <= b or not std > 0:
        raise ValueError(
            f"trunc_normal_: a, b, std are {a}, {b}, {std}; expected a <= b and std > 0"
        )
    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn(
            "mean is more than 2 std from [a, b] in nn.init.trunc_normal_. "
            "The distribution of values may be incorrect.",
            stacklevel=2,
        )
    seed, step = (generator or _random.default_generator).next()
    u = kernels.random_uniform(
        (tensor.numel(),), seed=seed, stream=_random.INIT, step=step, dtype=np.float64
    )
    scale = std * math.sqrt(2.0)
    low, high = np.full(u.shape, (a - mean) / scale), np.full(u.shape, (b - mean) / scale)
    at_low, at_high = kernels.erf(low), kernels.erf(high)
    wanted = at_low + u * (at_high - at_low)
    for _ in range(53):  # one bit of a float64 each
        middle = 0.5 * (low + high)
        below = kernels.erf(middle) < wanted
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    values = np.clip(mean + scale * (0.5 * (low + high)), a, b)
    return overwrite(tensor, values.reshape(tensor.shape))


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill with `val`."""
    return overwrite(tensor, val)


def ones_(tensor: Tensor) -> Tensor:
    """Fill with ones."""
    return overwrite(tensor, 1)


def zeros_(tensor: Tensor) -> Tensor:
    """Fill with zeros."""
    return overwrite(tensor, 0)


def eye_(tensor: Tensor) -> Tensor:
    """Fill a matrix with ones on its diagonal and zeros elsewhere."""
    if tensor.ndim != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    rows, columns = tensor.shape
    return overwrite(tensor, np.eye(rows, columns))


def _fans(tensor: Tensor) -> tuple[int, int]:
    """Return how many inputs an output of the layer sees, and how many outputs an input."""
    if tensor.ndim < 2:
        raise ValueError(
            "Fan in and fan out can not be computed for tensor with fewer than 2 dimensions"
        )
    fan_out, fan_in, *field = tensor.shape
    return fan_in * math.prod(field), fan_out * math.prod(field)


def xavier_uniform_(
    tensor: Tensor, gain: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Draw from U(-c, c), ``c = gain * sqrt(6 / (fan_in + fan_out))``.

    References
    ----------
    X. Glorot, Y. Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", AISTATS 2010, equation 16.
    """
    bound = math.sqrt(3.0) * gain * math.sqrt(2.0 / sum(_fans(tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Draw from N(0, s^2), ``s = gain * sqrt(2 / (fan_in + fan_out))``.

    References
    ----------
    X. Glorot, Y. Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", AISTATS 2010, equation 12.
    """
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(_fans(tensor))), generator)


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    mode = mode.lower()
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"Mode {mode} not supported, please use one of fan_in, fan_out")
    fan = _fans(tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)


def _is_empty(tensor: Tensor) -> bool:
    if 0 not in tensor.shape:
        return False
    warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=3)
    return True


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Draw from U(-c, c), ``c = gain * sqrt(3 / fan)``.

    Parameters
    ----------
    tensor : Tensor
        (out_features, in_features).
    a : float
        The negative slope, where `nonlinearity` is leaky_relu.
    mode : {"fan_in", "fan_out"}
        Whether the variance is kept in the forward pass or in the backward pass.
    nonlinearity : str
        As in `calculate_gain`.
    generator : Generator, optional
        Where the numbers come from.

    References
    ----------
    K. He, X. Zhang, S. Ren, J. Sun, "Delving deep into rectifiers", ICCV 2015, section 2.2.
    """
    if _is_empty(tensor):
        return tensor
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Draw from N(0, s^2), ``s = gain / sqrt(fan)``; parameters as in `kaiming_uniform_`."""
    if _is_empty(tensor):
        return tensor
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """Fill with a (semi-)orthogonal matrix: the Q of a normal matrix's QR decomposition.

    The decomposition is NumPy's LAPACK; unlike all else in mlpeak its last bits depend on the
    build of NumPy and the CPU.

    References
    ----------
    A. M. Saxe, J. L. McClelland, S. Ganguli, "Exact solutions to the nonlinear dynamics of learning
    in deep linear neural networks", ICLR 2014.
    """
    if tensor.ndim < 2:
        raise ValueError("Only tensors with 2 or more dimensions are supported")
    if 0 in tensor.shape:
        return tensor
    rows = tensor.shape[0]
    columns = math.prod(tensor.shape[1:])
    seed, step = (generator or _random.default_generator).next()
    normal: NDArray[Any] = kernels.random_normal(
        (rows, columns), seed=seed, stream=_random.INIT, step=step, dtype=np.float64
    )
    q, r = np.linalg.qr(normal if rows >= columns else normal.T)
    # with the diagonal of R positive, Q is uniform over the orthogonal matrices (Mezzadri 2007)
    q = q * np.sign(np.diag(r))
    return overwrite(tensor, gain * (q if rows >= columns else q.T).reshape(tensor.shape))
