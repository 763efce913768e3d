"""A cosine with the same bits on every machine."""

from __future__ import annotations

import math


def cos_pi(t: float) -> float:
    """Return cos(pi t) within 2 ulp of 1, with the same bits everywhere.

    The C library's cosine is another one on every platform. This is a Taylor series on [0, pi/4],
    whose first term left out, x^20/20!, is below 4e-21.
    """
    t = math.fmod(abs(t), 2.0)
    if t > 1.0:
        t = 2.0 - t
    if t > 0.5:
        return -cos_pi(1.0 - t)
    use_sine = t > 0.25
    x = math.pi * (0.5 - t if use_sine else t)
    total, first = 0.0, 1 if use_sine else 0
    for n in range(18 + first, first, -2):
        total = (1.0 + total) * (-x * x / (n * (n - 1)))
    return (1.0 + total) * (x if use_sine else 1.0)
