"""Print the coefficients of cpp/simd/math_f32.h and math_f64.h: weighted near-minimax polynomials.

Least squares on Chebyshev nodes in 60 digits, reweighted by the error at each node (Lawson's
algorithm), so that the largest |weight(x) (f(x) - P(x))| over [low, high] becomes nearly as small
as it can be; the weight turns the error of P into the relative error of the function it serves.
Coefficients are then rounded to the format one after the other, lowest power first, and the others
refitted around each, which keeps most of what rounding them all at once would lose.

Run ``python benchmarks/fit_polynomials.py`` (needs mpmath; about a minute).
"""

from __future__ import annotations

from collections.abc import Callable

import mpmath as mp

mp.mp.dps = 60
X = mp.mpf
Function = Callable[[X], X]


def round_to(value: X, bits: int) -> X:
    """`value` with `bits` significant bits."""
    mantissa, exponent = mp.frexp(value)
    return mp.ldexp(mp.nint(mp.ldexp(mantissa, bits)), int(exponent) - bits)


class Samples:
    """f and weight at Chebyshev nodes, with a weight for each node that Lawson's steps adapt."""

    def __init__(self, f: Function, weight: Function, low: X, high: X, count: int) -> None:
        half, middle = (high - low) / 2, (high + low) / 2
        self.x = [middle - half * mp.cos(mp.pi * (j + 0.5) / count) for j in range(count)]
        self.y = [f(x) for x in self.x]
        self.weight = [weight(x) for x in self.x]
        self.share = [X(1) / count] * count

    def solve(self, degree: int, pinned: dict[int, X]) -> dict[int, X]:
        """Return the least-squares coefficients, the `pinned` ones unchanged."""
        free = [i for i in range(degree + 1) if i not in pinned]
        a, b = mp.zeros(len(free)), mp.zeros(len(free), 1)
        for x, y, w, share in zip(self.x, self.y, self.weight, self.share, strict=True):
            powers = [x**i for i in range(degree + 1)]
            rest = y - sum(c * powers[i] for i, c in pinned.items())
            scale = w * w * share
            for row, i in enumerate(free):
                scaled = scale * powers[i]
                b[row] += scaled * rest
                for column, j in enumerate(free[: row + 1]):
                    a[row, column] += scaled * powers[j]
        for row in range(len(free)):
            for column in range(row):
                a[column, row] = a[row, column]
        return pinned | dict(zip(free, mp.lu_solve(a, b), strict=True))

    def errors(self, coefficients: dict[int, X]) -> list[X]:
        """Return |weight (f - P)| at each node."""
        return [
            abs(w * (y - sum(c * x**i for i, c in coefficients.items())))
            for x, y, w in zip(self.x, self.y, self.weight, strict=True)
        ]

    def equalise(self, degree: int, pinned: dict[int, X], steps: int) -> None:
        """Give more weight to nodes with larger errors, `steps` times."""
        for _ in range(steps):
            errors = self.errors(self.solve(degree, pinned))
            shares = [s * e for s, e in zip(self.share, errors, strict=True)]
            total = sum(shares)
            self.share = [s / total for s in shares]


def fit(
    name: str,
    f: Function,
    weight: Function,
    low: object,
    high: object,
    degree: int,
    bits: int,
    pinned: dict[int, X] | None = None,
) -> None:
    """Fit, round, and print the coefficients, highest power first, with their error."""
    samples = Samples(f, weight, X(low), X(high), 8 * degree + 40)
    rounded = dict(pinned or {})
    samples.equalise(degree, rounded, 25)
    for i in range(degree + 1):
        if i not in rounded:
            rounded[i] = round_to(samples.solve(degree, rounded)[i], bits)
    error = max(samples.errors(rounded))
    digits, suffix = (9, "f") if bits == 24 else (17, "")
    listed = [f"{float(rounded[i]):.{digits}g}{suffix}" for i in range(degree, -1, -1)]
    print(f"{name}, error {mp.nstr(error, 2)}\n  {', '.join(listed)}", flush=True)


HALF_LN2 = mp.log(2) / 2 * X("1.0001")


def exp_tail(r: X) -> X:
    """(e^r - 1 - r) / r^2."""
    if abs(r) < X("1e-3"):
        return sum(r**k / mp.factorial(k + 2) for k in range(14))
    return (mp.expm1(r) - r) / r**2


def exp_weight(r: X) -> X:
    return abs(r) * abs(r / mp.expm1(r)) if r else X(0)


def log_tail(f: X) -> X:
    """(log(1 + f) - f + f^2/2) / f^3."""
    if abs(f) < X("1e-3"):
        return sum((-1) ** k * f**k / (k + 3) for k in range(14))
    return (mp.log1p(f) - f + f * f / 2) / f**3


def log_weight(f: X) -> X:
    return abs(f**3 / mp.log1p(f)) if f else X(0)


def atanh_tail(z: X) -> X:
    """(2 atanh(s)/s - 2) / z at z = s^2."""
    if z < X("1e-12"):
        return X(2) / 3 + 2 * z / 5
    s = mp.sqrt(z)
    return (2 * mp.atanh(s) / s - 2) / z


def erf_tail(z: X) -> X:
    """erf(x)/x - 1 at z = x^2."""
    return mp.erf(mp.sqrt(z)) / mp.sqrt(z) - 1 if z else 2 / mp.sqrt(mp.pi) - 1


def erf_weight(z: X) -> X:
    return mp.sqrt(z) / mp.erf(mp.sqrt(z)) if z else mp.sqrt(mp.pi) / 2


def log_erfc(t: X) -> X:
    return mp.log(mp.erfc(t))


def log_erfc_weight(t: X) -> X:
    return mp.erfc(t) / mp.erf(t)


def normal_tail(m: X) -> X:
    """Return the normal distribution function at -m."""
    return mp.erfc(m / mp.sqrt(2)) / 2


def log2_normal_tail(m: X) -> X:
    return mp.log(normal_tail(m), 2)


def exp2_tail(r: X) -> X:
    """(2^r - 1) / r."""
    return mp.expm1(r * mp.log(2)) / r if r else mp.log(2)


def exp2_weight(r: X) -> X:
    return abs(r) * X(2) ** -r


if __name__ == "__main__":
    half, third = {0: X("0.5")}, X(1) / 3
    fit("float exp_tail", exp_tail, exp_weight, -HALF_LN2, HALF_LN2, 4, 24, half)
    fit("float log1p_reduced", log_tail, log_weight, -third, third, 7, 24)
    fit("float erf_tail", erf_tail, erf_weight, 0, X("0.93") ** 2, 6, 24)
    fit("float log_erfc", log_erfc, log_erfc_weight, "0.92", 4, 7, 24)
    fit("float log2_normal_tail", log2_normal_tail, normal_tail, 0, "5.5", 8, 24)
    fit("float exp2_tail", exp2_tail, exp2_weight, "-0.5001", "0.5001", 5, 24)
    fit("double exp_tail", exp_tail, exp_weight, -HALF_LN2, HALF_LN2, 10, 53, half)
    square = X("0.04") * X("1.0001")  # s = f / (2 + f) with |f| <= 1/3
    fit("double log1p_reduced", atanh_tail, lambda z: z, 0, square, 7, 53)
    fit("double erf_tail", erf_tail, erf_weight, 0, 1, 11, 53)
    fit("double log_erfc", log_erfc, log_erfc_weight, 1, 6, 18, 53)
