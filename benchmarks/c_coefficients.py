"""The polynomials of the special functions in C: ``python -m benchmarks.c_coefficients``.

Each interpolates its function at Chebyshev's nodes, in 60 digits. The command writes
`tapegrad/backends/c/runtime/polynomials.h`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from mpmath import mp, mpf

PAGE = Path(__file__).parent.parent / "tapegrad" / "backends" / "c" / "runtime" / "polynomials.h"
DIGITS = 60
K = mpf("3.75")  # of the variable (x - K) / (x + K), which M. M. Shepherd and J. G. Laframboise chose


class Polynomial(NamedTuple):
    """What is interpolated on ``[-half, half]``, at so many nodes."""

    name: str
    comment: str
    f: Callable[[Any], Any]
    half: str
    nodes: int


def _gamma_near_2(d: Any) -> Any:
    with mp.extradps(DIGITS):
        return mp.loggamma(2 + d) / d


def _sin_pi_over(x: Any) -> Any:
    r = mp.sqrt(x + mpf(1) / 8)
    return mp.sin(mp.pi * r) / r


def root() -> Any:
    """Where the digamma function is 0."""
    return mp.findroot(mp.digamma, mpf("1.4616321"))


def _digamma_near_root(u: Any) -> Any:
    x = mpf("1.5") + u
    return mp.digamma(x) / (x - root())


def erfc_integral(n: int, x: Any) -> Any:
    """The n-th repeated integral of erfc, times ``exp(x**2)``."""
    with mp.extradps(DIGITS + 40):
        if x < 1000:
            found = mp.exp(x * x) * mp.erfc(x)
        else:
            terms = (mpf((-1) ** k) * mp.fac2(2 * k - 1) / (2 * x * x) ** k for k in range(30))
            found = sum(terms) / (x * mp.sqrt(mp.pi))
        before = 2 / mp.sqrt(mp.pi)
        for k in range(1, n + 1):
            before, found = found, (before - 2 * x * found) / (2 * k)
        return +found


def _erfc(n: int) -> Callable[[Any], Any]:
    def scaled(q: Any) -> Any:
        x = K * (1 + q) / (1 - q)
        return (1 + 2 * x) ** (n + 1) * erfc_integral(n, x)

    return scaled


POLYNOMIALS: Final = (
    Polynomial("tg_sin_pi_over", "sin(pi r) / r for r**2 = x + 1/8, |r| <= 1/2", _sin_pi_over, "0.125", 10),
    Polynomial("tg_gamma_near_2", "log Gamma(2 + x) / x for |x| <= 1/2", _gamma_near_2, "0.5", 20),
    Polynomial(
        "tg_digamma_near_root",
        "psi(3/2 + x) by the distance to its root, for |x| <= 1/2",
        _digamma_near_root,
        "0.5",
        24,
    ),
    *(
        Polynomial(
            f"tg_erfc_{n}",
            f"(1 + 2 t)**{n + 1} exp(t**2) times the {n}-fold integral of erfc at t >= 0, "
            "x = (t - 3.75) / (t + 3.75)",
            _erfc(n),
            "1",
            nodes,
        )
        for n, nodes in enumerate((26, 30, 32, 34))
    ),
)


def coefficients(polynomial: Polynomial) -> list[Any]:
    """In powers of the variable, by way of Chebyshev's polynomials."""
    n, half = polynomial.nodes, mpf(polynomial.half)
    angles = [mp.pi * (2 * k + 1) / (2 * n) for k in range(n)]
    values = [polynomial.f(half * mp.cos(angle)) for angle in angles]
    series = [sum(v * mp.cos(j * a) for v, a in zip(values, angles, strict=True)) * 2 / n for j in range(n)]
    series[0] /= 2
    before, last = [mpf(1)], [mpf(0), mpf(1)]
    found = [mpf(0)] * n
    for c in series:
        for i, power in enumerate(before):
            found[i] += c * power
        following = [mpf(0), *(2 * x for x in last)]
        for i, x in enumerate(before):
            following[i] -= x
        before, last = last, following
    return [c / half**i for i, c in enumerate(found)]


def _horner(name: str, numbers: list[Any]) -> Iterator[str]:
    first, *others = reversed(numbers)
    yield f"    double {name} = {float(first)!r};"
    for number in others:
        yield f"    {name} = TG_MULTIPLY_ADD({name}, z, {float(number)!r});"


def _lines(polynomial: Polynomial) -> Iterator[str]:
    with mp.workdps(DIGITS):
        numbers = coefficients(polynomial)
    yield f"/* {polynomial.comment} */"
    yield f"TG_FORM {polynomial.name}(double x) {{"
    yield "    const double z = x * x;"
    yield from _horner("even", numbers[::2])
    yield from _horner("odd", numbers[1::2])
    yield "    return TG_MULTIPLY_ADD(odd, x, even);"
    yield "}"


def _rule() -> Iterator[str]:
    """Gauss's rule of 64 nodes from 0 to 1."""
    with mp.workdps(DIGITS):
        starts = np.polynomial.legendre.leggauss(64)[0].tolist()
        nodes = [mp.findroot(lambda x: mp.legendre(64, x), start) for start in starts]
        slopes = [64 * (mp.legendre(63, x) - x * mp.legendre(64, x)) / (1 - x * x) for x in nodes]
        weights = [1 / ((1 - x * x) * slope**2) for x, slope in zip(nodes, slopes, strict=True)]
    yield "/* Gauss's rule of 64 nodes, from 0 to 1 */"
    for name, numbers in (("nodes", [(x + 1) / 2 for x in nodes]), ("weights", weights)):
        rows = [", ".join(repr(float(x)) for x in numbers[i : i + 4]) for i in range(0, 64, 4)]
        body = ",\n    ".join(rows)
        yield f"static const double tg_tail_{name}[64] = {{\n    {body}}};"


def text() -> str:
    """The whole file."""
    head = (
        "/* Polynomials of special functions, written by benchmarks/c_coefficients.py. Even and odd powers\n"
        "   go apart, so that a processor can work on both at once. */\n\n"
        "#ifdef __FMA__\n"
        "#define TG_MULTIPLY_ADD(x, y, z) __builtin_fma(x, y, z)\n"
        "#else\n"
        "#define TG_MULTIPLY_ADD(x, y, z) ((x) * (y) + (z))\n"
        "#endif\n\n"
    )
    parts = [*map(_lines, POLYNOMIALS), _rule()]
    return head + "\n\n".join("\n".join(lines) for lines in parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="ascii")
