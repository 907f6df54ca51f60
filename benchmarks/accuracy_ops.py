"""The worst relative errors of the elementwise ops and of their derivatives, against mpmath.

Each op is asked where its value and the derivatives up to the order in question are doubles, from the
smallest number to the largest, with both signs. Derivatives are those of traced functions: the first by
reverse mode, the further ones by forward mode over it. What mpmath differentiates is written here on its own.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import numpy as np
from mpmath import mp, mpf

import tapegrad as tg
from benchmarks.accuracy import Worst
from tapegrad.ops import OPS

Array = np.ndarray[Any, np.dtype[np.float64]]
Function = Callable[..., Any]

BOUND = 1e-12
LARGEST, SMALLEST = (
    1e305,
    1e-290,
)  # beyond the one there is no derivative, below the other doubles lose digits
FEW, NOT_SO_FEW, MANY = 60, 500, 2200  # digits; differences lose most of them


class Reference(NamedTuple):
    """What an op means.

    Attributes
    ----------
    f : callable
        In numbers of mpmath.
    where : callable
        Whether there is a derivative at these floats.
    slopes : callable or None
        ``slopes(*orders, *x)``: the derivative, if differences are not the way to it.
    bounds : dict of int to float
        By order, where 1e-12 is out of reach.
    why : str
        What puts it there.
    """

    f: Function
    where: Callable[..., bool] = lambda *x: True
    slopes: Function | None = None
    bounds: dict[int, float] = {}  # noqa: RUF012
    why: str = ""


# Derivatives written out ------------------------------------------------------------------------------------


def _hermite(n: int, x: Any) -> Any:
    """The derivative of order n of exp(-x**2 / 2), by that function."""
    before, found = mpf(0), mpf(1)
    for k in range(n):
        before, found = found, -x * found - k * before
    return found


def _erf_slope(n: int, x: Any, sign: int = 1) -> Any:
    if abs(x) > 1e4:
        return mpf(0) if n else mp.sign(x) if sign == 1 else 1 - mp.sign(x)
    if n == 0:
        return mp.erf(x) if sign == 1 else mp.erfc(x)
    root = mp.sqrt(2)
    return sign * 2 / mp.sqrt(mp.pi) * root ** (n - 1) * _hermite(n - 1, root * x) * mp.exp(-x * x)


def _ndtr_slope(n: int, x: Any) -> Any:
    if abs(x) > 1e4:
        return mpf(0) if n else (1 + mp.sign(x)) / 2
    if n == 0:
        return mp.erfc(-x / mp.sqrt(2)) / 2
    return _hermite(n - 1, x) * mp.exp(-x * x / 2) / mp.sqrt(2 * mp.pi)


def _erfcx_slope(n: int, x: Any) -> Any:
    if x > 1e4:  # its asymptotic series, term by term
        terms = (
            mpf((-1) ** k) * mp.fac2(2 * k - 1) / 2**k * mp.rf(2 * k + 1, n) / x ** (2 * k) for k in range(8)
        )
        return (-1) ** n * sum(terms) / x ** (n + 1) / mp.sqrt(mp.pi)
    with mp.extradps(int(8 * abs(mp.log10(abs(x) + 1))) + 40):
        found = [2 / mp.sqrt(mp.pi), mp.exp(x * x) * mp.erfc(x)]
        for k in range(1, n + 1):
            found.append((found[-2] - 2 * x * found[-1]) / (2 * k))
        return found[-1] * (-2) ** n * mp.factorial(n)


_SERIES = (1, 2, 10, 74, 706, 8162)  # of 1 / a less that of the derivative of log_ndtr at -a, for large a


def _log_ndtr_slope(n: int, x: Any) -> Any:
    if x > 1e4:
        return mpf(0)
    if x < -1e4 and n > 0:
        terms = (
            -((-1) ** k) * c * mp.rf(2 * k + 1, n - 1) / (-x) ** (2 * k + n) for k, c in enumerate(_SERIES)
        )
        return -sum(terms) + (-x, -1, 0)[n - 1]
    if x < -1e4:
        return -x * x / 2 - mp.log(-x * mp.sqrt(2 * mp.pi)) + mp.log1p(-1 / x**2 + 3 / x**4 - 15 / x**6)
    with mp.extradps(int(10 * abs(mp.log10(abs(x) + 1))) + 40):
        below = mp.erfc(-x / mp.sqrt(2)) / 2
        if n == 0:
            return mp.log1p(-mp.erfc(x / mp.sqrt(2)) / 2) if x > 0 else mp.log(below)
        m = mp.exp(-x * x / 2) / mp.sqrt(2 * mp.pi) / below
        return (m, -m * (x + m), m * ((x + m) * (x + 2 * m) - 1))[n - 1]


def _log_i0e_slope(n: int, x: Any) -> Any:
    """By A = I1 / I0, whose derivative is 1 - A / x - A**2."""
    a = mp.besseli(1, x) / mp.besseli(0, x)
    first = 1 - a / x - a * a
    second = -first / x + a / (x * x) - 2 * a * first
    return (mp.log(mp.besseli(0, x)) - x, a - 1, first, second)[n]


def _of_the_inverse(f: Function, factor: Any, c: int) -> Function:
    """Derivatives of an inverse function y of which ``y' = factor * exp(c * y**2 / 2)``."""

    def slopes(n: int, x: Any) -> Any:
        y = f(x)
        s = factor() * mp.exp(c * y * y / 2)
        return (y, s, c * y * s**2, s**3 * (c + 2 * c * c * y * y))[n]

    return slopes


def _erfinv(x: Any) -> Any:
    with mp.extradps(20):
        return mp.erfinv(x)


def _ndtri(p: Any) -> Any:
    with mp.extradps(20):
        start = mpf(float(OPS["ndtri"].kernel(float(p))))
        return mp.findroot(lambda x: mp.log(_ndtr_slope(0, x)) - mp.log(p), start)


def _gamma_slope(n: int, x: Any) -> Any:
    g = mp.gamma(x)
    p = [mp.psi(k, x) for k in range(n)]
    return g * (1, *(p[:1]), *(p[0] ** 2 + p[1] for _ in p[1:2]), *(_cubic(p) for _ in p[2:3]))[n]


def _cubic(p: Any) -> Any:
    return p[0] ** 3 + 3 * p[0] * p[1] + p[2]


def _betaln_slope(i: int, j: int, a: Any, b: Any) -> Any:
    with mp.extradps(int(abs(mp.log10(a / b))) + 30):
        if i + j == 0:
            return mp.loggamma(a) + mp.loggamma(b) - mp.loggamma(a + b)
        own = mp.psi(i - 1, a) if j == 0 else mp.psi(j - 1, b) if i == 0 else 0
        return own - mp.psi(i + j - 1, a + b)


def _log_poch_slope(i: int, j: int, x: Any, a: Any) -> Any:
    with mp.workdps(NOT_SO_FEW):
        if i == j == 0:
            return mp.loggamma(x + a) - mp.loggamma(x)
        return mp.psi(i + j - 1, x + a) - (0 if j else mp.psi(i - 1, x))


def _beta_slope(i: int, j: int, a: Any, b: Any) -> Any:
    """By the derivatives of the logarithm: a sum over partitions."""

    def slope(orders: tuple[int, ...]) -> Any:
        return _betaln_slope(orders.count(0), orders.count(1), a, b)

    along = (0,) * i + (1,) * j
    factor = {
        0: lambda: mpf(1),
        1: lambda: slope(along),
        2: lambda: slope(along) + slope(along[:1]) * slope(along[1:]),
        3: lambda: (
            slope(along)
            + sum(slope((along[k],)) * slope(along[:k] + along[k + 1 :]) for k in range(3))
            + slope(along[:1]) * slope(along[1:2]) * slope(along[2:])
        ),
    }[i + j]()
    return mp.exp(_betaln_slope(0, 0, a, b)) * factor


# What the ops mean ------------------------------------------------------------------------------------------


def _positive(*x: float) -> bool:
    return min(x) > 0.0


def _log_add(base: Any, x: Any, y: Any) -> Any:
    x, y = max(x, y), min(x, y)
    return x + mp.log1p(mp.power(base, y - x)) / mp.log(base)


def _expit(x: Any) -> Any:
    return 1 / (1 + mp.exp(-x)) if x > 0 else mp.exp(x) / (1 + mp.exp(x))


def _log1p_exp(x: Any) -> Any:
    return x + mp.log1p(mp.exp(-x)) if x > 0 else mp.log1p(mp.exp(x))


def _digamma_like(x: float) -> bool:
    return x > -100.0 and (x > 0.0 or abs(x - round(x)) > 0.05)


def _at_most(largest: float) -> Callable[..., bool]:
    return lambda *x: max(map(abs, x)) <= largest


UNARY: Final[dict[str, Reference]] = {
    "abs": Reference(abs, lambda x: x != 0.0),
    "arccos": Reference(mp.acos, lambda x: abs(x) < 1.0),
    "arccosh": Reference(mp.acosh, lambda x: x > 1.0),
    "arcsin": Reference(mp.asin, lambda x: abs(x) < 1.0),
    "arcsinh": Reference(mp.asinh),
    "arctan": Reference(mp.atan),
    "arctanh": Reference(mp.atanh, lambda x: abs(x) < 1.0),
    "cbrt": Reference(lambda x: mp.sign(x) * mp.cbrt(abs(x)), lambda x: x != 0.0),
    "circle": Reference(lambda x: 1 - x * x),
    "cos": Reference(mp.cos),
    "cos_arctan": Reference(lambda x: 1 / mp.sqrt(1 + x * x)),
    "cosh": Reference(mp.cosh),
    "deg2rad": Reference(lambda x: x * mp.pi / 180),
    "digamma": Reference(
        mp.digamma,
        _digamma_like,
        lambda n, x: mp.psi(n, x),
    ),
    "erf": Reference(mp.erf, slopes=_erf_slope),
    "erfc": Reference(mp.erfc, slopes=lambda n, x: _erf_slope(n, x, -1)),
    "erfcx": Reference(mp.erfc, lambda x: x > -26.0, _erfcx_slope),
    "erfinv": Reference(
        mp.erfinv, lambda x: 1e-290 < abs(x) < 1.0, _of_the_inverse(_erfinv, lambda: mp.sqrt(mp.pi) / 2, 2)
    ),
    "exp": Reference(mp.exp, _at_most(1e3)),
    "exp2": Reference(lambda x: mp.power(2, x), _at_most(1e3)),
    "expit": Reference(_expit, _at_most(1e3)),
    "expm1": Reference(mp.expm1, _at_most(1e3)),
    "gamma": Reference(
        mp.gamma,
        lambda x: -20.0 < x < 170.0 and _digamma_like(x),
        _gamma_slope,
    ),
    "gammaln": Reference(
        mp.loggamma,
        lambda x: _digamma_like(x) and abs(x) > 1e-307,
        lambda n, x: mp.psi(n - 1, x) if n else mp.re(mp.loggamma(x)),
    ),
    "gaussian": Reference(lambda x: mp.exp(-x * x), _at_most(1e3)),
    "log": Reference(mp.log, _positive),
    "log10": Reference(mp.log10, _positive),
    "log1p": Reference(mp.log1p, lambda x: x > -1.0),
    "log2": Reference(lambda x: mp.log(x) / mp.log(2), _positive),
    "log_cosh": Reference(lambda x: mp.log1p(mp.sinh(x) ** 2) / 2, _at_most(1e3)),
    "log_i0e": Reference(
        lambda x: mp.log(mp.besseli(0, x)) - x, lambda x: 1e-9 < x < 1e4, _log_i0e_slope, {3: 1e-11}
    ),
    "log_expit": Reference(lambda x: -_log1p_exp(-x), _at_most(1e3)),
    "log_ndtr": Reference(mp.log, lambda x: x > -1e150, _log_ndtr_slope),
    "logit": Reference(lambda p: mp.log(p / (1 - p)), lambda x: 0.0 < x < 1.0),
    "ndtr": Reference(mp.ncdf, slopes=_ndtr_slope),
    "ndtri": Reference(
        mp.log, lambda x: 1e-290 < x < 1.0, _of_the_inverse(_ndtri, lambda: mp.sqrt(2 * mp.pi), 1)
    ),
    "neg": Reference(lambda x: -x),
    "normal_density": Reference(lambda x: mp.npdf(x), _at_most(1e3)),
    "rad2deg": Reference(lambda x: x * 180 / mp.pi),
    "reciprocal": Reference(lambda x: 1 / x, lambda x: x != 0.0),
    "relu": Reference(lambda x: max(x, mpf(0)), lambda x: x != 0.0),
    "root": Reference(mp.sqrt, _positive),
    "sech": Reference(mp.sech, _at_most(1e3)),
    "sin": Reference(mp.sin),
    "sin_arctan": Reference(lambda x: x / mp.sqrt(1 + x * x)),
    "sinh": Reference(mp.sinh, _at_most(1e3)),
    "softplus": Reference(_log1p_exp, _at_most(1e3)),
    "sqrt": Reference(mp.sqrt, _positive),
    "square": Reference(lambda x: x * x),
    "tan": Reference(mp.tan),
    "tanh": Reference(mp.tanh, _at_most(1e3)),
}

BINARY: Final[dict[str, Reference]] = {
    "add": Reference(lambda x, y: x + y),
    "arctan2": Reference(mp.atan2),
    # Further out its own value overflows, or 1 / (x y) hides what is left of the mixed derivatives.
    "beta": Reference(
        mp.beta,
        lambda x, y: min(x, y) > 0.1 and max(x, y) < 1e3,
        _beta_slope,
    ),
    "betaln": Reference(
        mp.beta,
        lambda x, y: min(x, y) > 1e-307 and max(x, y) < 1e150,
        _betaln_slope,
        {0: 1e-11},
        "SciPy's betaln",
    ),
    "bd0": Reference(lambda x, m: x * mp.log(x / m) + m - x, lambda x, m: min(x, m) > 1e-290),
    "both_shares": Reference(lambda x, y: _expit(x - y) * _expit(y - x), _at_most(1e3)),
    "both_shares2": Reference(
        lambda x, y: _expit((x - y) * mp.log(2)) * _expit((y - x) * mp.log(2)), _at_most(1e3)
    ),
    "cosine": Reference(lambda x, y: x / mp.hypot(x, y)),
    "div": Reference(lambda x, y: x / y),
    "fmax": Reference(max, lambda x, y: x != y),
    "fmin": Reference(min, lambda x, y: x != y),
    "gated_div": Reference(lambda x, y: x / y),
    "gated_mul": Reference(lambda x, y: x * y),
    "hypot": Reference(mp.hypot),
    "log_poch": Reference(
        mp.beta,
        lambda x, a: 1e-290 < x < 1e290 and 1.0 <= a < 1e290,  # a is a count
        _log_poch_slope,
    ),
    "log_ratio": Reference(lambda x, m: mp.log(x / m), lambda x, m: min(x, m) > 0.0),
    "logaddexp": Reference(lambda x, y: _log_add(mp.e, x, y), _at_most(1e3)),
    "logaddexp2": Reference(lambda x, y: _log_add(2, x, y), _at_most(1e3)),
    "maximum": Reference(max, lambda x, y: x != y),
    "minimum": Reference(min, lambda x, y: x != y),
    "mul": Reference(lambda x, y: x * y),
    "one_less_ratio": Reference(lambda x, m: 1 - x / m, lambda x, m: min(x, m) > 0.0),
    "power": Reference(mp.power, lambda x, y: x > 0.0 and abs(y) < 1e3),
    "share": Reference(lambda x, y: _expit(x - y), _at_most(1e3)),
    "share_gap": Reference(lambda x, y: mp.tanh((x - y) / 2), _at_most(1e3)),
    "share_gap2": Reference(lambda x, y: mp.tanh((x - y) * mp.log(2) / 2), _at_most(1e3)),
    "share2": Reference(lambda x, y: _expit((x - y) * mp.log(2)), _at_most(1e3)),
    "sub": Reference(lambda x, y: x - y),
    "xlog1py": Reference(lambda x, y: x * mp.log1p(y), lambda x, y: y > -1.0),
    "xlogy": Reference(lambda x, y: x * mp.log(y), lambda x, y: y > 0.0),
}

# Ops that derivatives of these ops write, and are tested with them; those of count distributions, which are
# tested with the densities; and those whose slopes are whole numbers.
WITHIN: Final = {
    "erfcx_integral": "erfcx",
    "exp_gap": "logaddexp",
    "fmod": "",
    "gamma_rest": "poisson",
    "gamma_rest_gain": "nbinom",
    "gated_times_power": "power",
    "log1p_over": "genpareto",
    "log_i0e_slope": "log_i0e",
    "log_ndtr_slope": "log_ndtr",
    "nb_deviance": "nbinom",
    "nb_log_ratio": "nbinom",
    "nb_slope": "nbinom",
    "one_above": "logaddexp",
    "polygamma": "gammaln",
    "polygamma_gain": "log_poch",
    "polygamma_step": "betaln",
    "remainder": "",
    "times_power": "power",
}

# Where they are asked ---------------------------------------------------------------------------------------

_POWERS = (-310, -307, -290, -250, -200, -160, -150, -120, -100, -77, -50, -25, -16, -12, -8, -5, -3, -2, -1)
_NEAR_ONE = (1e-15, 1e-12, 1e-9, 1e-6, 1e-3)


def points(arity: int) -> Array:
    """Where to ask an op of so many arguments, a row each."""
    sizes = (
        [1.7 * 10.0**k for k in _POWERS] + [1.3 * 10.0 ** min(-k, 307) for k in _POWERS] + [5e-324, 1.7e308]
    )
    if arity == 1:
        steps = np.linspace(-40.0, 40.0, 99) + 0.0137
        near = [1.0 + sign * step for sign in (-1.0, 1.0) for step in _NEAR_ONE]
        found = np.array(sorted({*sizes, *(-x for x in sizes), *steps, *near, *(-x for x in near)}))[:, None]
    else:
        few = (5e-324, 1.7e-300, 1.3e-160, 1.2e-77, 1.2e-8, 0.3, 1.7, 25.0, 1.3e4, 1.9e77, 1.3e160, 1.7e300)
        signs = itertools.cycle(((1.0, -1.0), (-1.0, 1.0), (-1.0, -1.0)))
        pairs = list(itertools.product(few, repeat=2))
        found = np.array([*pairs, *(np.multiply(pair, next(signs)) for pair in pairs)])
    return np.asarray(found)


# Derivatives by tapegrad ------------------------------------------------------------------------------------


def derivatives(op: Any, at: Array) -> Iterator[tuple[tuple[int, ...], Array]]:
    """The value and all partial derivatives up to the third order, of as many points at once."""
    arity = at.shape[1]
    theta = {"xy"[i]: np.ascontiguousarray(at[:, i]) for i in range(arity)}
    start = {name: np.full(len(at), 0.6) for name in theta}
    ones, zeros = np.ones(len(at)), np.zeros(len(at))

    def moved_along(gradient: Function, i: int) -> Any:
        direction = {name: ones if k == i else zeros for k, name in enumerate(theta)}
        return tg.trace(lambda **x: tg.trace(gradient, start).jvp(x, direction), start)

    value = tg.trace(lambda **x: op(*x.values()), start)
    yield (0,) * arity, value(theta)
    total = tg.trace(lambda **x: op(*x.values()).sum(), start)
    first = lambda **x: total.grad(x)  # noqa: E731
    yield from _named(total.grad(theta), ())
    for i in range(arity):
        second = moved_along(first, i)
        yield from _named(second(theta), (i,))
        for j in range(i, arity):
            yield from _named(moved_along(lambda second=second, **x: second(x), j)(theta), (i, j))


def _named(gradient: dict[str, Array], along: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], Array]]:
    arity = len(gradient)
    for k, found in enumerate(gradient.values()):
        every = (*along, k)
        yield tuple(every.count(i) for i in range(arity)), found


# The table --------------------------------------------------------------------------------------------------


def true_derivative(reference: Reference, orders: tuple[int, ...], x: tuple[Any, ...]) -> Any:
    """By mpmath."""
    ordinary = all(a == 0.0 or 1e-12 < abs(a) < 30.0 for a in x)
    with mp.workdps(FEW if reference.slopes else NOT_SO_FEW if ordinary else MANY):
        numbers = [mpf(a) for a in x]
        if reference.slopes is not None:
            return +mpf(reference.slopes(*orders, *numbers))
        return +_difference(reference.f, orders, numbers)


def _difference(f: Function, orders: tuple[int, ...], x: list[Any]) -> Any:
    """A central difference, with steps that are small against all scales."""
    steps = [mpf(10) ** -40 * min(abs(a), 1) if a else mpf(10) ** -40 for a in x]
    total = mpf(0)
    for moves in itertools.product(*(range(n + 1) for n in orders)):
        sign = (-1) ** sum(moves)
        weight = math.prod(math.comb(n, k) for n, k in zip(orders, moves, strict=True))
        there = [a + (n - 2 * k) * h for a, n, k, h in zip(x, orders, moves, steps, strict=True)]
        total += sign * weight * f(*there)
    return total / math.prod((2 * h) ** n for h, n in zip(steps, orders, strict=True))


def _error(
    reference: Reference, orders: tuple[int, ...], x: tuple[float, ...], found: float, true: Any
) -> float:
    """Relative to the true derivative, which the last bits of the arguments may move as far as they do."""
    if not np.isfinite(found):
        return np.inf
    gap, size = abs(mpf(float(found)) - true), max(abs(true), mpf(SMALLEST))
    if gap <= BOUND * size:
        return float(gap / size)
    moved = mpf(0)
    for i, a in enumerate(x):
        with mp.workdps(MANY):
            there = (*x[:i], mpf(a) * (1 + mpf(10) ** -15), *x[i + 1 :])
        moved += abs(true_derivative(reference, orders, there) - true)
    return float(max(gap - moved, 0) / size)


def title(orders: tuple[int, ...]) -> str:
    """ "value", "d/dx", "d2/dx dy" and the like."""
    total = sum(orders)
    if total == 0:
        return "value"
    below = " ".join(f"d{name}{n if n > 1 else ''}" for name, n in zip("xy", orders, strict=False) if n)
    return f"d{total if total > 1 else ''}/{below}"


def rows_of(name: str, reference: Reference, share: int = 1) -> Iterator[Worst]:
    """The worst error of an op and of each of its derivatives, at one of so many points."""
    arity = 1 if name in UNARY else 2
    at = np.array([row for row in points(arity) if reference.where(*row)])[::share]
    places = [tuple(map(float, row)) for row in at]
    left = set(range(len(at)))  # where all derivatives so far are doubles, with all their digits
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # at some of the points there is no derivative
        found = dict(derivatives(OPS[name], at))
    for order in range(4):
        named = sorted(orders for orders in found if sum(orders) == order)
        true = {(k, orders): true_derivative(reference, orders, places[k]) for k in left for orders in named}
        left -= {
            k for (k, _), number in true.items() if not (number == 0 or SMALLEST < abs(number) < LARGEST)
        }
        bound = reference.bounds.get(order, BOUND)
        for orders in named:
            errors = (
                (_error(reference, orders, places[k], found[orders][k], true[k, orders]), places[k])
                for k in sorted(left)
            )
            worst = max(errors, default=(0.0, places[0]))
            yield Worst(name, title(orders), *worst, bound, reference.why if bound > BOUND else "")


def elementwise_ops(share: int = 1) -> Iterator[Worst]:
    """All rows."""
    for name, reference in {**UNARY, **BINARY}.items():
        yield from rows_of(name, reference, share)
