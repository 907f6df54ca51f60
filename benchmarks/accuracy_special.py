"""The worst relative errors of functions of scipy.special with several arguments, against mpmath.

Shape parameters have no range of doubles that is worth a grid: each function is asked at a list of points,
with the extremes and the changes of method among them. It is asked for the value and for the first and second
derivatives in every argument; mpmath takes differences at many digits.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import numpy as np
from mpmath import mp, mpf

import tapegrad as tg
from benchmarks.accuracy import Worst
from tapegrad.ops import OPS

LETTERS = "xyzwabc"
FIRST, SECOND = 1e-12, 1e-9
SMALLEST, LARGEST = 1e-280, 1e305


class Special(NamedTuple):
    """What an op of few points means.

    Attributes
    ----------
    f : callable
        In numbers of mpmath.
    points : tuple of tuple of float
        The arguments at which it is asked.
    shapes : tuple of int
        The arguments whose derivatives may have an error of 1e-9.
    fixed : tuple of int
        The arguments in which there is no derivative.
    digits : int
        That mpmath computes with.
    bounds : dict of int to float
        By order, where other bounds hold.
    why : str
        What puts them there.
    """

    f: Callable[..., Any]
    points: tuple[tuple[float, ...], ...]
    shapes: tuple[int, ...] = ()
    fixed: tuple[int, ...] = ()
    digits: int = 100
    bounds: dict[int, float] = {}  # noqa: RUF012
    why: str = ""


def grid(*columns: tuple[float, ...]) -> tuple[tuple[float, ...], ...]:
    """All combinations."""
    return tuple(itertools.product(*columns))


# What the ops mean ------------------------------------------------------------------------------------------


def _gammainc(a: Any, x: Any) -> Any:
    return mp.gammainc(a, 0, x, regularized=True)


def _gammaincc(a: Any, x: Any) -> Any:
    return mp.gammainc(a, x, mp.inf, regularized=True)


def _betainc(a: Any, b: Any, x: Any) -> Any:
    return mp.re(mp.betainc(a, b, 0, x, regularized=True))


def _t_cdf(df: Any, t: Any) -> Any:
    tail = _betainc(df / 2, mpf(1) / 2, df / (df + t * t)) / 2
    return tail if t < 0 else 1 - tail


def _f_cdf(a: Any, b: Any, x: Any) -> Any:
    return _betainc(a / 2, b / 2, a * x / (a * x + b))


def _inverse(name: str, f: Callable[..., Any]) -> Callable[..., Any]:
    """The last argument of `f` as a function of its value, from where SciPy has it."""

    def g(*arguments: Any) -> Any:
        *shapes, p = arguments
        start = mpf(float(OPS[name].kernel(*map(float, arguments))))
        h = abs(start) * mpf(10) ** -30
        x = start
        for _ in range(6):
            slope = (f(*shapes, x + h) - f(*shapes, x - h)) / (2 * h)
            step = (f(*shapes, x) - p) / slope
            x -= step
            if abs(step) < abs(x) * mpf(10) ** -75:
                break
        return x

    return g


SHAPES = (1e-3, 0.5, 1.0, 2.5, 40.0, 300.0)
TAILS = (1e-8, 0.3, 1.0, 2.1, 12.0, 45.0, 280.0, 330.0)

SPECIAL: Final[dict[str, Special]] = {
    "betainc": Special(
        _betainc,
        (
            *grid((0.3, 1.5, 40.0), (0.7, 2.0, 60.0), (1e-4, 0.1, 0.35, 0.6, 0.97)),
            *((1.0, 2.5, 1e-12), (0.999, 30.0, 1e-7), (1.2, 0.4, 1e-9), (1.0, 1.0, 1e-5), (1.0, 3.0, 0.4)),
        ),
        shapes=(0, 1),
        digits=180,
    ),
    "betaincc": Special(
        lambda a, b, x: _betainc(b, a, 1 - x),
        grid((0.3, 1.5, 40.0), (0.7, 60.0), (0.1, 0.35, 0.6)),
        shapes=(0, 1),
        digits=180,
    ),
    "betaincinv": Special(
        _inverse("betaincinv", _betainc), grid((0.5, 3.0), (0.8, 20.0), (0.01, 0.4, 0.9)), shapes=(0, 1)
    ),
    "betainccinv": Special(
        _inverse("betainccinv", lambda a, b, x: 1 - _betainc(a, b, x)),
        grid((0.5, 3.0), (0.8, 20.0), (0.01, 0.4)),
        shapes=(0, 1),
    ),
    "fdtr": Special(_f_cdf, grid((0.8, 5.0), (1.5, 40.0), (1e-3, 0.6, 2.0, 50.0)), shapes=(0, 1), digits=140),
    "fdtrc": Special(
        lambda a, b, x: _betainc(b / 2, a / 2, b / (a * x + b)),
        grid((0.8, 5.0), (1.5, 40.0), (1e-3, 0.6, 2.0, 50.0)),
        shapes=(0, 1),
        digits=140,
    ),
    "fdtri": Special(_inverse("fdtri", _f_cdf), grid((0.8, 5.0), (1.5, 40.0), (0.1, 0.8)), shapes=(0, 1)),
    "gammaincinv": Special(
        _inverse("gammaincinv", _gammainc), grid((0.1, 2.5, 50.0), (1e-9, 0.3, 0.97)), shapes=(0,)
    ),
    "gammainccinv": Special(
        _inverse("gammainccinv", _gammaincc), grid((0.1, 2.5, 50.0), (1e-9, 0.3, 0.9)), shapes=(0,)
    ),
    "stdtr": Special(
        _t_cdf, grid((0.3, 1.0, 4.5, 200.0), (-30.0, -2.0, -0.1, 0.5, 3.0)), shapes=(0,), digits=140
    ),
    "stdtrit": Special(_inverse("stdtrit", _t_cdf), grid((1.0, 4.5, 200.0), (1e-6, 0.3, 0.9)), shapes=(0,)),
    "bdtr": Special(
        lambda k, n, p: _betainc(n - k, k + 1, 1 - p), grid((0, 3), (5, 80), (1e-9, 0.3, 0.9)), fixed=(0, 1)
    ),
    "bdtrc": Special(
        lambda k, n, p: _betainc(k + 1, n - k, p), grid((0, 3), (5, 80), (1e-9, 0.3, 0.9)), fixed=(0, 1)
    ),
    "nbdtr": Special(
        lambda k, n, p: _betainc(n, k + 1, p), grid((0, 3), (5, 80), (1e-2, 0.3, 0.9)), fixed=(0, 1)
    ),
    "nbdtrc": Special(
        lambda k, n, p: _betainc(k + 1, n, 1 - p),
        grid((0, 3), (5, 80), (1e-2, 0.3, 0.9)),
        fixed=(0, 1),
        digits=300,
    ),
    "erfcinv": Special(_inverse("erfcinv", mp.erfc), grid((1e-200, 1e-9, 0.3, 0.999, 1.4, 1.999))),
    "ndtri_exp": Special(
        _inverse("ndtri_exp", lambda x: mp.log(mp.erfc(-x / mp.sqrt(2)) / 2)),
        grid((-1e4, -300.0, -5.0, -0.7, -0.1, -1e-6)),
    ),
    "gammainc": Special(_gammainc, grid(SHAPES, TAILS), shapes=(0,), digits=300),
    "gammaincc": Special(_gammaincc, grid(SHAPES, TAILS), shapes=(0,), digits=180),
}

# Functions of other kinds -----------------------------------------------------------------------------------


def _box(x: Any, p: Any) -> Any:
    return mp.expm1(p * mp.log(x)) / p if p else mp.log(x)


def _unbox(y: Any, p: Any) -> Any:
    return mp.exp(mp.log1p(p * y) / p) if p else mp.exp(y)


def _tukey(x: Any, p: Any) -> Any:
    u = mpf(float(OPS["tklmbda"].kernel(float(x), float(p))))
    for _ in range(6):
        u -= (_box(u, p) - _box(1 - u, p) - x) / (u ** (p - 1) + (1 - u) ** (p - 1))
    return u


def _voigt(x: Any, sigma: Any, gamma: Any) -> Any:
    z = mp.mpc(x, gamma) / (sigma * mp.sqrt(2))
    return mp.re(mp.exp(-z * z) * mp.erfc(-1j * z)) / (sigma * mp.sqrt(2 * mp.pi))


def owens_t(h: Any, a: Any) -> Any:
    with mp.workdps(70):
        f = lambda t: mp.exp(-h * h * (1 + t * t) / 2) / (1 + t * t)  # noqa: E731
        return mp.quad(f, [0, a / 2, a]) / (2 * mp.pi)


def _omega(x: Any) -> Any:
    w = mpf(float(OPS["wrightomega"].kernel(float(x))))
    for _ in range(7):
        w -= (w + mp.log(w) - x) / (1 + 1 / w)
    return w


EXPONENTS = (-1.5, -1e-9, 1e-5, 0.5, 2.0)

SPECIAL.update(
    {
        "binom": Special(
            lambda n, k: mp.binomial(n, k),
            grid((0.5, 3.0, 40.0, 1e4), (0.3, 0.9, 2.9)),
            bounds={0: 1e-10, 1: 1e-10},
            why="SciPy's binom, for large n",
        ),
        "loggamma": Special(mp.loggamma, grid((1e-5, 0.3, 1.1, 2.1, 30.0, 1e9))),
        "poch": Special(mp.rf, grid((1e-3, 0.9, 7.0, 60.0), (0.3, 2.0, 9.5))),
        "rgamma": Special(mp.rgamma, grid((-0.4, 0.0, 1e-9, 0.3, 1.1, 2.1, 30.0, 150.0))),
        "zeta": Special(mp.zeta, grid((1.0001, 1.7, 5.0, 40.0), (1e-3, 0.7, 1.0, 25.0)), digits=60),
        "zetac": Special(lambda s: mp.zeta(s) - 1, grid((1.0001, 1.7, 5.0, 40.0))),
        "boxcox": Special(_box, grid((1e-5, 0.7, 1.2, 50.0), EXPONENTS)),
        "boxcox1p": Special(lambda x, p: _box(1 + x, p), grid((-0.9, 1e-8, 1.2, 50.0), EXPONENTS)),
        "cosm1": Special(lambda x: mp.cos(x) - 1, grid((-2.0, 1e-9, 0.3, 20.0))),
        "dawsn": Special(
            lambda x: mp.sqrt(mp.pi) / 2 * mp.exp(-x * x) * mp.erfi(x),
            grid((-0.7, 1e-9, 0.9, 2.9, 3.1, 6.0, 40.0)),
        ),
        "exp10": Special(lambda x: mp.power(10, x), grid((-200.0, -0.3, 1e-9, 1.4, 300.0))),
        "entr": Special(lambda x: -x * mp.log(x), grid((1e-300, 1e-5, 0.3, 1.0, 1e9))),
        "erfi": Special(mp.erfi, grid((-3.0, 1e-9, 0.3, 20.0))),
        "exp1": Special(mp.e1, grid((1e-200, 1e-5, 0.3, 1.0, 30.0, 600.0))),
        "expi": Special(mp.ei, grid((-30.0, -1e-5, 0.3, 1.0, 30.0, 600.0))),
        "expn": Special(lambda n, x: mp.expint(n, x), grid((0, 1, 2, 7), (1e-3, 1.0, 30.0)), fixed=(0,)),
        "exprel": Special(
            lambda x: mp.expm1(x) / x if x else mpf(1),
            grid((-700.0, -21.0, -19.0, -0.1, 1e-9, 1.0, 19.0, 300.0)),
        ),
        "huber": Special(
            lambda d, r: r * r / 2 if abs(r) <= d else d * (abs(r) - d / 2),
            grid((0.5, 2.0), (-3.0, 0.2, 1.9)),
        ),
        "inv_boxcox": Special(_unbox, grid((-0.4, 1e-9, 0.4), EXPONENTS)),
        "inv_boxcox1p": Special(
            lambda y, p: mp.expm1(mp.log1p(p * y) / p), grid((-0.4, 1e-9, 0.4), EXPONENTS)
        ),
        "kl_div": Special(
            lambda x, y: x * mp.log(x / y) - x + y,
            grid((1e-9, 0.3, 2.0), (1e-5, 0.3001, 7.0)),
            bounds={0: 1e-8},
            why="SciPy's kl_div, next to x = y",
        ),
        "lambertw_0": Special(lambda z: mp.re(mp.lambertw(z)), grid((-0.36, -0.1, 1e-9, 0.4, 30.0, 1e9))),
        "lambertw_below": Special(lambda z: mp.re(mp.lambertw(z, -1)), grid((-0.36, -0.1, -1e-9, -1e-200))),
        "owens_t": Special(owens_t, grid((-2.0, 0.1), (-0.9, 2.0)), digits=70),
        "powm1": Special(lambda x, y: x**y - 1, grid((1e-5, 0.999, 1.2, 50.0), EXPONENTS)),
        "pseudo_huber": Special(
            lambda d, r: d * d * (mp.sqrt(1 + (r / d) ** 2) - 1), grid((0.5, 2.0), (-300.0, 1e-5, 1.9))
        ),
        "rel_entr": Special(lambda x, y: x * mp.log(x / y), grid((1e-9, 0.3, 2.0), (1e-5, 0.4, 7.0))),
        "sinc": Special(
            lambda n, x: mp.sinc(mp.pi * x), grid((0.0,), (-3.3, 1e-9, 0.2, 1.7, 40.3)), fixed=(0,)
        ),
        "spence": Special(lambda z: mp.polylog(2, 1 - z), grid((1e-9, 0.3, 1.0001, 1.7)), digits=70),
        "tklmbda": Special(_tukey, grid((-0.9, 0.1, 0.7), (-1.2, 0.1, 0.9)), shapes=(1,), digits=70),
        "voigt_profile": Special(_voigt, grid((-3.0, 0.1, 4.0, 300.0), (0.2, 1.0, 5.0), (0.05, 1.0, 9.0))),
        "wrightomega": Special(_omega, grid((-300.0, -5.0, 0.1, 3.0, 1e9)), digits=70),
    }
)

# Bessel and hypergeometric functions ------------------------------------------------------------------------

ARGUMENTS = (1e-5, 0.3, 1.9, 2.1, 15.0, 80.0)
BESSEL_ORDERS = (0.0, 0.4, 1.0, 7.5, 60.0)


def _of_order(f: Callable[..., Any], v: int, scale: int = 0) -> Callable[..., Any]:
    return lambda x: f(v, x) * mp.exp(scale * x)


SPECIAL.update(
    {
        "hyp0f1": Special(mp.hyp0f1, grid((0.4, 5.0, 1e5), (-20.0, -4.0, 1e-5, 9.0, 1e4)), shapes=(0,)),
        "hyp1f1": Special(
            mp.hyp1f1,
            (*grid((0.7, 3.0), (0.4, 5.0, 60.0), (-200.0, -4.0, 1e-5, 9.0, 90.0)), (40.0, 5.0, 9.0)),
            shapes=(0, 1),
        ),
        "hyp2f1": Special(
            mp.hyp2f1, grid((0.7, 3.0), (2.0,), (0.4, 5.0), (-4.0, 1e-5, 0.6, 0.97)), shapes=(0, 1, 2)
        ),
        "hyperu": Special(
            mp.hyperu,
            grid((0.7, 3.0), (0.4, 5.0), (0.3, 9.0)),
            fixed=(0, 1),
            bounds={0: 1e-9, 1: 1e-8, 2: 1e-8},
            why="SciPy's hyperu",
        ),
        "iv": Special(mp.besseli, grid(BESSEL_ORDERS, ARGUMENTS), shapes=(0,), digits=150),
        "ive": Special(
            lambda v, x: mp.besseli(v, x) * mp.exp(-x),
            grid(BESSEL_ORDERS, ARGUMENTS),
            shapes=(0,),
            digits=150,
        ),
        "kv": Special(mp.besselk, grid((0.4, 7.5), ARGUMENTS), shapes=(0,), digits=62),
        "kve": Special(
            lambda v, x: mp.besselk(v, x) * mp.exp(x), grid((0.4, 7.5), ARGUMENTS), shapes=(0,), digits=62
        ),
        "jv": Special(mp.besselj, grid((0.0, 0.4, 3.0), ARGUMENTS), fixed=(0,)),
        "yv": Special(mp.bessely, grid((0.0, 0.4, 3.0), ARGUMENTS), fixed=(0,)),
        **{f"j{v}": Special(_of_order(mp.besselj, v), grid(ARGUMENTS)) for v in (0, 1)},
        **{f"y{v}": Special(_of_order(mp.bessely, v), grid(ARGUMENTS)) for v in (0, 1)},
        **{f"i{v}": Special(_of_order(mp.besseli, v), grid(ARGUMENTS)) for v in (0, 1)},
        **{f"k{v}": Special(_of_order(mp.besselk, v), grid(ARGUMENTS), digits=62) for v in (0, 1)},
        **{f"i{v}e": Special(_of_order(mp.besseli, v, -1), grid(ARGUMENTS)) for v in (0, 1)},
        **{f"k{v}e": Special(_of_order(mp.besselk, v, 1), grid(ARGUMENTS), digits=62) for v in (0, 1)},
    }
)

# Ops that derivatives of these ops write, and are tested with them.
WITHIN_SPECIAL: Final = {
    "beta_density": "betainc",
    "betainc_slope": "betainc",
    "gamma_density": "gammainc",
    "gammainc_slope": "gammainc",
    "box_slope": "boxcox",
    "hyp0f1_slope": "hyp0f1",
    "hyp1f1_slope": "hyp1f1",
    "hyp2f1_slope": "hyp2f1",
    "ive_slope": "ive",
    "kve_slope": "kve",
    "t_density": "stdtr",
    "zeta_slope": "zeta",
    "exprel_slope": "exprel",
    "faddeeva": "voigt_profile",
}


# Derivatives ------------------------------------------------------------------------------------------------


def by_tapegrad(op: Any, at: Any, fixed: tuple[int, ...] = ()) -> Iterator[tuple[tuple[int, ...], Any]]:
    """The value and the partial derivatives up to the second order, of as many points at once."""
    free = [i for i in range(at.shape[1]) if i not in fixed]
    columns = [np.ascontiguousarray(column) for column in at.T]
    theta = {LETTERS[i]: columns[i] for i in free}

    def f(**moving: Any) -> Any:
        return op(*(moving.get(LETTERS[i], columns[i]) for i in range(len(columns))))

    none = (0,) * len(columns)
    yield none, op(*columns)
    total = tg.trace(lambda **moving: f(**moving).sum(), theta)
    gradient = total.grad(theta)
    for i in free:
        yield _orders(none, i), gradient[LETTERS[i]]
        direction = {name: np.full(len(at), float(name == LETTERS[i])) for name in theta}
        second = total.hvp(theta, direction)
        for j in free:
            if j >= i:
                yield _orders(none, i, j), second[LETTERS[j]]


def _orders(none: tuple[int, ...], *along: int) -> tuple[int, ...]:
    return tuple(along.count(k) for k in range(len(none)))


def by_mpmath(reference: Special, orders: tuple[int, ...], x: tuple[float, ...]) -> Any:
    """A central difference, with steps that are small against all scales."""
    with mp.workdps(reference.digits):
        numbers = [mpf(a) for a in x]
        steps = [mpf(10) ** -22 * min(abs(a), 1) if a else mpf(10) ** -22 for a in numbers]
        total = mpf(0)
        for moves in itertools.product(*(range(n + 1) for n in orders)):
            weight = mp.fprod(
                (-1) ** k * mp.binomial(n, k) / (2 * h) ** n
                for n, k, h in zip(orders, moves, steps, strict=True)
            )
            there = [a + (n - 2 * k) * h for a, n, k, h in zip(numbers, orders, moves, steps, strict=True)]
            total += weight * reference.f(*there)
        return mp.re(total)


def rows_of_special(name: str, reference: Special, share: int = 1) -> Iterator[Worst]:
    """The worst error of an op and of each of its derivatives, at one of so many points."""
    places = reference.points[::share]
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = dict(by_tapegrad(OPS[name], np.array(places), reference.fixed))
    for orders, numbers in found.items():
        order = sum(orders)
        in_shape = any(orders[i] for i in reference.shapes)
        bound = reference.bounds.get(order, SECOND if in_shape or order == 2 else FIRST)
        errors = (
            (_error(reference, orders, place, float(number), bound), place)
            for place, number in zip(places, numbers, strict=True)
        )
        yield Worst(
            name, _title(orders), *max(errors), bound, reference.why if order in reference.bounds else ""
        )


def _error(
    reference: Special, orders: tuple[int, ...], x: tuple[float, ...], found: float, bound: float
) -> float:
    """Relative to the true derivative, which the last bits of the arguments may move as far as they do."""
    true = by_mpmath(reference, orders, x)
    if true != 0 and not SMALLEST < abs(true) < LARGEST:
        return 0.0
    if not np.isfinite(found):
        return np.inf
    gap, size = abs(mpf(found) - true), max(abs(true), mpf(SMALLEST))
    if gap > bound * size:
        moved = (
            abs(by_mpmath(reference, orders, (*x[:i], float(np.nextafter(a, np.inf)), *x[i + 1 :])) - true)
            for i, a in enumerate(x)
        )
        gap = max(gap - 4 * sum(moved), mpf(0))
    return float(gap / size)


def _title(orders: tuple[int, ...]) -> str:
    total = sum(orders)
    if total == 0:
        return "value"
    below = " ".join(f"d{name}{n if n > 1 else ''}" for name, n in zip(LETTERS, orders, strict=False) if n)
    return f"d{total if total > 1 else ''}/{below}"
