"""Values of mpmath with their first and second derivatives, by the rules of calculus.

The oracle of a density is then its formula alone, as terms. It has nothing in common with tapegrad's own
derivatives: other rules, in other arithmetic, forward.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import mpmath as mp
import numpy as np

from benchmarks.distributions.row import TERMS, Array, Density, Terms, What

Second: TypeAlias = dict[tuple[int, int], Any]


class Jet:
    """A value, its gradient, and its Hessian as a dict of the pairs i <= j.

    `lengths` and `sizes` are what gradient and Hessian would be without signs: the size of the terms that the
    chain rule adds.
    """

    __array_ufunc__ = None

    def __init__(
        self, value: Any, first: list[Any], second: Second, lengths: list[Any], sizes: Second
    ) -> None:
        self.value, self.first, self.second, self.lengths, self.sizes = value, first, second, lengths, sizes

    def through(self, value: Any, slope: Any, bend: Any) -> Jet:
        """A function of it, by the function's own derivatives."""
        g = self.first
        second = {(i, j): slope * h + bend * (g[i] * g[j]) for (i, j), h in self.second.items()}
        sizes = {(i, j): abs(slope) * h + abs(bend * (g[i] * g[j])) for (i, j), h in self.sizes.items()}
        lengths = [abs(slope) * x for x in self.lengths]
        return Jet(value, [slope * x for x in g], second, lengths, sizes)

    def __add__(self, other: Any) -> Jet:
        if not isinstance(other, Jet):
            return Jet(self.value + other, self.first, self.second, self.lengths, self.sizes)
        second = {key: h + other.second[key] for key, h in self.second.items()}
        sizes = {key: h + other.sizes[key] for key, h in self.sizes.items()}
        first = [a + b for a, b in zip(self.first, other.first, strict=True)]
        lengths = [a + b for a, b in zip(self.lengths, other.lengths, strict=True)]
        return Jet(self.value + other.value, first, second, lengths, sizes)

    def __mul__(self, other: Any) -> Jet:
        if not isinstance(other, Jet):
            return self.through(self.value * other, other, 0)
        a, b, f, g = self.value, other.value, self.first, other.first
        second = {
            (i, j): h * b + a * other.second[i, j] + f[i] * g[j] + f[j] * g[i]
            for (i, j), h in self.second.items()
        }
        sizes = {
            (i, j): h * abs(b) + abs(a) * other.sizes[i, j] + abs(f[i] * g[j]) + abs(f[j] * g[i])
            for (i, j), h in self.sizes.items()
        }
        first = [x * b + a * y for x, y in zip(f, g, strict=True)]
        lengths = [x * abs(b) + abs(a) * y for x, y in zip(self.lengths, other.lengths, strict=True)]
        return Jet(a * b, first, second, lengths, sizes)

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self) -> Jet:
        return self * -1

    def __sub__(self, other: Any) -> Any:
        return self + -other

    def __rsub__(self, other: Any) -> Any:
        return -self + other

    def __truediv__(self, other: Any) -> Any:
        return self * (other**-1 if isinstance(other, Jet) else 1 / mp.mpf(other))

    def __rtruediv__(self, other: Any) -> Any:
        return self**-1 * other

    def __pow__(self, p: Any) -> Any:
        if isinstance(p, Jet):
            return exp(p * log(self))
        x = self.value
        return self.through(x**p, p * x ** (p - 1), p * (p - 1) * x ** (p - 2))

    def __rpow__(self, base: Any) -> Any:
        return exp(self * mp.log(base))


def of_function(
    f: Callable[[Any], Any], slopes: Callable[[Any, Any], tuple[Any, Any]]
) -> Callable[[Any], Any]:
    """A function of mpmath and both its derivatives, by its argument and value, as one of jets."""

    def of(x: Any) -> Any:
        if not isinstance(x, Jet):
            return f(x)
        value = f(x.value)
        return x.through(value, *slopes(x.value, value))

    return of


log = of_function(mp.log, lambda x, y: (1 / x, -1 / x**2))
log1p = of_function(mp.log1p, lambda x, y: (1 / (1 + x), -1 / (1 + x) ** 2))
exp = of_function(mp.exp, lambda x, y: (y, y))
expm1 = of_function(mp.expm1, lambda x, y: (y + 1, y + 1))
sqrt = of_function(mp.sqrt, lambda x, y: (1 / (2 * y), -1 / (4 * y * x)))
cos = of_function(mp.cos, lambda x, y: (-mp.sin(x), -y))
absolute = of_function(abs, lambda x, y: (mp.sign(x), 0))
atan = of_function(mp.atan, lambda x, y: (1 / (1 + x * x), -2 * x / (1 + x * x) ** 2))
lgamma = of_function(mp.loggamma, lambda x, y: (mp.psi(0, x), mp.psi(1, x)))


def _normal_slopes(x: Any, y: Any) -> tuple[Any, Any]:
    density = mp.npdf(x)
    return density, -x * density


def _log_normal_slopes(x: Any, y: Any) -> tuple[Any, Any]:
    mills = mp.npdf(x) / mp.exp(y)
    return mills, -mills * (x + mills)


def _log_ncdf(x: Any) -> Any:
    return mp.log(mp.erfc(-x / mp.sqrt(2)) / 2)


ncdf = of_function(lambda x: mp.erfc(-x / mp.sqrt(2)) / 2, _normal_slopes)
log_ncdf = of_function(_log_ncdf, _log_normal_slopes)


def half_log_2pi() -> Any:
    """With the digits in force."""
    return mp.log(2 * mp.pi) / 2


def lbeta(a: Any, b: Any) -> Any:
    """The logarithm of the beta function."""
    return lgamma(a) + lgamma(b) - lgamma(a + b)


def terms_of(formula: Callable[..., Any], names: tuple[str, ...], data: int) -> Callable[..., Any]:
    """The terms of the value and of all derivatives, for the terms of the value."""

    def terms(*arguments: Any) -> dict[What, Terms]:
        free = names[data:]
        n = len(free)
        zero = {(i, j): mp.mpf(0) for i in range(n) for j in range(i, n)}
        units = [[mp.mpf(i == j) for j in range(n)] for i in range(n)]
        jets = [Jet(x, unit, zero, unit, zero) for x, unit in zip(arguments[data:], units, strict=True)]
        found = formula(*arguments[:data], *jets)
        none = [mp.mpf(0)] * n
        parts = [x if isinstance(x, Jet) else Jet(mp.mpf(x), none, zero, none, zero) for x in found]
        every: dict[What, Terms] = {(): tuple(x.value for x in parts)}
        for i in range(n):
            length = max(x.lengths[i] for x in parts)
            every[free[i],] = (*(x.first[i] for x in parts), length, -length)
            for j in range(i, n):
                size = max(x.sizes[i, j] for x in parts)
                every[free[i], free[j]] = (*(x.second[i, j] for x in parts), size, -size)
        return every

    return terms


def density(
    name: str,
    function: Callable[..., Any],
    names: tuple[str, ...],
    draw: Callable[[np.random.Generator, int], tuple[Array, ...]],
    formula: Callable[..., Any],
    *,
    data: int = 0,
    digits: int = 60,
    share: float = 0.2,
) -> Density:
    """A `Density` whose formula is given as terms, each of which may cancel with others."""
    free = names[data:]
    crosses: dict[What, str] = {(): TERMS}
    for i, one in enumerate(free):
        crosses[one,] = TERMS
        crosses.update({(one, other): TERMS for other in free[i:]})
    return Density(name, function, data, names, draw, terms_of(formula, names, data), crosses, digits, share)
