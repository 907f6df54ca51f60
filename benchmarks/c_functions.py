"""The special functions in C against mpmath: ``python -m benchmarks.c_functions``.

Each op with a form of its own in C is asked at thousands of points, and next to its worst relative error
stands that of its kernel, which is SciPy's for most of them, at the same points.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from mpmath import mp, mpf

from benchmarks.accuracy_ops import BINARY, UNARY, _betaln_slope, _log_ndtr_slope
from benchmarks.accuracy_special import _betainc, _gammainc, _gammaincc
from benchmarks.c_coefficients import erfc_integral
from tapegrad.backends.c.library import library
from tapegrad.backends.c.runtime import headers
from tapegrad.ops import OPS

Array = np.ndarray[Any, np.dtype[np.float64]]
SMALLEST = 1e-290
PAGE = Path(__file__).parent.parent / "docs" / "c-functions.md"


class Asked(NamedTuple):
    """What is asked of an op.

    Attributes
    ----------
    op : str
    orders : tuple of float
        Its first inputs, where it has orders.
    f : callable
        What it means, in numbers of mpmath.
    draw : callable
        ``draw(rng, size)`` gives the other inputs.
    bound : float
        What the worst relative error may be.
    digits : int
    share : float
        Of the points, where mpmath is slow.
    """

    op: str
    orders: tuple[float, ...]
    f: Callable[..., Any]
    draw: Callable[[np.random.Generator, int], tuple[Array, ...]]
    bound: float = 1e-14
    digits: int = 50
    share: float = 1.0


def caller(form: str, count: int, orders: Sequence[float] = ()) -> Callable[..., Array]:
    """A form in C as a function of `count` arrays, after orders that are literals."""
    places = [repr(order) for order in orders] + [f"x{i}[i]" for i in range(count)]
    inputs = "".join(f", const double *restrict x{i}" for i in range(count))
    loop = f"for (long i = 0; i < n; i++) out[i] = {form.format(*places)};"
    text = f"void rows(double *restrict out, long n{inputs}) {{ {loop} }}\n"
    rows = library(headers([text]) + "\n" + text).rows

    def call(*arrays: Array) -> Array:
        arrays = tuple(np.ascontiguousarray(x, dtype=float) for x in np.broadcast_arrays(*arrays))
        out = np.empty(arrays[0].shape)
        address = [ctypes.c_void_p(x.ctypes.data) for x in (out, *arrays)]
        rows(address[0], ctypes.c_long(out.size), *address[1:])
        return out

    return call


def error(found: float, true: Any) -> float:
    """Relative; numbers below the normal ones have no digits to lose."""
    if not np.isfinite(found):
        huge = abs(true) > sys.float_info.max
        return 0.0 if huge and np.isinf(found) and (found > 0) == (true > 0) else np.inf
    return float(abs(mpf(float(found)) - true) / max(abs(true), mpf(SMALLEST)))


def errors(asked: Asked, size: int) -> tuple[Array, Array, tuple[Array, ...]]:
    """Those of C and of the kernel, and where."""
    rng = np.random.default_rng(20)
    at = asked.draw(rng, max(8, int(size * asked.share)))
    op = OPS[asked.op]
    with np.errstate(all="ignore"):
        ours, kernels = caller(op.c, len(at), asked.orders)(*at), op.kernel(*asked.orders, *at)
    with mp.workdps(asked.digits):
        true = [mp.re(asked.f(*(mpf(float(x)) for x in row))) for row in zip(*at, strict=True)]
        found = [[error(x, t) for x, t in zip(values, true, strict=True)] for values in (ours, kernels)]
    return np.array(found[0]), np.array(found[1]), at


# Where they are asked ---------------------------------------------------------------------------------------


def sizes(low: float, high: float) -> Callable[[np.random.Generator, int], tuple[Array]]:
    """Between two positive numbers, evenly in their logarithms."""
    return lambda rng, size: (10.0 ** rng.uniform(np.log10(low), np.log10(high), size),)


def between(low: float, high: float) -> Callable[[np.random.Generator, int], tuple[Array]]:
    """Between two numbers."""
    return lambda rng, size: (rng.uniform(low, high, size),)


def both(*draws: Callable[[np.random.Generator, int], tuple[Array, ...]]) -> Any:
    """A share of each."""

    def draw(rng: np.random.Generator, size: int) -> tuple[Array, ...]:
        parts = [one(rng, -(-size // len(draws))) for one in draws]
        return tuple(np.concatenate(column) for column in zip(*parts, strict=True))

    return draw


def beside(*draws: Callable[[np.random.Generator, int], tuple[Array, ...]]) -> Any:
    """One argument each."""
    return lambda rng, size: tuple(draw(rng, size)[0] for draw in draws)


def counted(low: float, high: float) -> Any:
    """Whole numbers, with 0 among them."""
    return lambda rng, size: (np.floor(sizes(low, high)(rng, size)[0]),)


def close(low: float, high: float) -> Any:
    """A number and one next to it."""

    def draw(rng: np.random.Generator, size: int) -> tuple[Array, Array]:
        (x,) = sizes(low, high)(rng, size)
        return x, x * (1.0 + rng.choice([-1.0, 1.0], size) * 10.0 ** rng.uniform(-15.0, -0.3, size))

    return draw


def chances(rng: np.random.Generator, size: int) -> tuple[Array]:
    """Probabilities, small ones among them."""
    return (np.where(rng.uniform(size=size) < 0.5, sizes(1e-12, 1.0)(rng, size)[0], rng.uniform(size=size)),)


POSITIVE, WIDE = sizes(1e-6, 1e6), sizes(1e-300, 1e300)
RIGHT = both(between(0.0, 12.0), POSITIVE, WIDE)
LEFT = between(-30.0, 0.0)
ANYWHERE = both(between(-12.0, 12.0), between(-40.0, 40.0))


# What they mean ---------------------------------------------------------------------------------------------


def _rest(n: int, x: Any) -> Any:
    with mp.extradps(40):
        if n == 0:
            return mp.loggamma(x) - x * mp.log(x) + x - mp.log(2 * mp.pi) / 2
        return mp.psi(n - 1, x) - (mp.log(x) if n == 1 else (-1) ** n * mp.factorial(n - 2) / x ** (n - 1))


def _gain(f: Callable[[int, Any], Any]) -> Callable[..., Any]:
    def gain(n: int, x: Any, a: Any) -> Any:
        with mp.extradps(int(2 * abs(mp.log10(x))) + int(2 * abs(mp.log10(a + 1))) + 60):
            return f(n, x + a) - f(n, x)

    return gain


def _nb(n: Any, k: Any, p: Any) -> tuple[Any, Any]:
    return n * mp.log(n / ((n + k) * p)), (k * mp.log(k / ((n + k) * (1 - p))) if k else mpf(0))


def _slope_of_log_ndtr(n: int, x: Any) -> Any:
    if n < 4:
        return _log_ndtr_slope(n, x)
    with mp.extradps(60):
        return mp.diff(lambda t: mp.log(mp.erfc(-t / mp.sqrt(2)) / 2), x, n, h=mpf(10) ** -15)


def _shape_slope(n: int, a: Any, x: Any) -> Any:
    """Of P(a, x) in a, by differences."""
    with mp.workdps(90):
        h = mpf(10) ** -25 * min(a, 1)
        steps = {1: ((1, 1), (-1, -1)), 2: ((1, 1), (-2, 0), (1, -1))}[n]
        ends, sign = ((0, x), 1) if x < a else ((x, mp.inf), -1)  # the smaller share has more digits
        total = sign * sum(c * mp.gammainc(a + k * h, *ends, regularized=True) for c, k in steps)
        return total / (2 * h if n == 1 else h * h)


def _beta_slope(i: int, j: int, a: Any, b: Any, x: Any, y: Any) -> Any:
    """Of the incomplete beta function in its shapes, by differences of the smaller share."""
    with mp.workdps(130):
        if x >= 0.5:
            x = 1 - y
        h, k = mpf(10) ** -30 * min(a, 1), mpf(10) ** -30 * min(b, 1)
        below = x < a / (a + b)

        def share(p: int, q: int) -> Any:
            s, t = a + p * h, b + q * k
            return _betainc(s, t, x) if below else -_betainc(t, s, 1 - x)

        if i and j:
            return (share(1, 1) - share(1, -1) - share(-1, 1) + share(-1, -1)) / (4 * h * k)
        return (share(i, j) - share(-i, -j)) / (2 * (h if i else k))


def _beta_at(a: Any, b: Any, x: Any, y: Any) -> Any:
    x, y = (x, 1 - x) if x < 0.5 else (1 - y, y)
    return mp.exp((a - 1) * mp.log(x) + (b - 1) * mp.log(y) - _betaln_slope(0, 0, a, b))


def _log1p_over(n: int, u: Any) -> Any:
    with mp.extradps(30 * (n + 1)):
        found = mp.log1p(u) / u
        for k in range(1, n + 1):
            found = ((-1) ** (k - 1) * mp.factorial(k - 1) * (1 + u) ** -k - k * found) / u
        return +found


def _of_unary(name: str) -> Callable[[Any], Any]:
    reference = UNARY[name]
    return reference.f if reference.slopes is None else lambda x: UNARY[name].slopes(0, x)  # type: ignore[misc]


LOW = both(sizes(1e-5, 1e3), sizes(1e-100, 1e100))
COUNTS = both(
    beside(sizes(1e-5, 1e3), counted(0.5, 100.0)), beside(sizes(1e-3, 1e15), counted(0.5, 1e9)),
)  # fmt: skip

SHAPES = beside(sizes(1e-5, 1e9), sizes(1e-5, 1e9))
FAR_LEFT = both(ANYWHERE, between(-1e4, 0.0))
FEW = beside(sizes(1e-3, 1e6), counted(1.0, 1e4))
STEPS = beside(sizes(1e-5, 1e6), sizes(1e-12, 1e6))
RATIOS = both(beside(POSITIVE, POSITIVE), close(1e-6, 1e15))
SUCCESSES = beside(POSITIVE, counted(0.5, 1e9), chances)


def of_orders(
    op: str, f: Callable[..., Any], draw: Any, bounds: dict[int, float], share: float = 1.0
) -> tuple[Asked, ...]:
    """Rows of an op of an order, of which `f` takes the order first."""
    return tuple(Asked(op, (float(n),), partial(f, n), draw, bound, 60, share) for n, bound in bounds.items())


def shape_and_point(rng: np.random.Generator, size: int) -> tuple[Array, Array]:
    """A shape, and a number around it or anywhere."""
    a = 10.0 ** rng.uniform(-4.0, 4.0, size)
    around = a * np.exp(rng.normal(size=size) * np.minimum(2.0 / np.sqrt(a), 3.0))
    return a, np.where(rng.uniform(size=size) < 0.6, around, 10.0 ** rng.uniform(-6.0, 2.7, size))


def shapes_and_point(rng: np.random.Generator, size: int) -> tuple[Array, ...]:
    """Two shapes, a number between 0 and 1, and what it leaves."""
    a, b = 10.0 ** rng.uniform(-3.0, 2.5, (2, size))
    x = np.where(rng.uniform(size=size) < 0.5, a / (a + b), rng.uniform(size=size))
    x = np.clip(x, 1e-9, 1.0 - 1e-9)
    return a, b, x, 1.0 - x


TABLE: Final[tuple[Asked, ...]] = (
    *(
        Asked(
            "betainc_slope", orders, partial(_beta_slope, *map(int, orders)), shapes_and_point, bound, 60, 0.1
        )
        for orders, bound in (((1.0, 0.0), 1e-12), ((0.0, 1.0), 1e-12), ((1.0, 1.0), 1e-12))
    ),
    Asked("beta_density", (0.0, 0.0, 0.0), _beta_at, shapes_and_point, 1e-12, 60),
    Asked("gammainc", (), _gammainc, shape_and_point, 3e-13, 60, 0.5),
    Asked("gammaincc", (), _gammaincc, shape_and_point, 3e-13, 60, 0.5),
    *of_orders("gammainc_slope", _shape_slope, shape_and_point, {1: 1e-12, 2: 1e-12}, 0.2),
    Asked(
        "gamma_density",
        (0.0, 0.0),
        lambda a, x: mp.exp((a - 1) * mp.log(x) - x - mp.loggamma(a)),
        shape_and_point,
        3e-13,
    ),
    Asked("gammaln", (), _of_unary("gammaln"), RIGHT, 5e-15),
    Asked("gammaln", (), _of_unary("gammaln"), LEFT, 1e-11),
    Asked("digamma", (), mp.digamma, RIGHT, 3e-15),
    Asked("digamma", (), mp.digamma, LEFT, 1e-11),
    *of_orders("polygamma", mp.psi, LOW, {1: 3e-15, 2: 3e-15, 3: 3e-15, 6: 3e-15}),
    *of_orders("polygamma", mp.psi, LEFT, {1: 1e-12}),
    *of_orders("polygamma_step", _gain(mp.psi), STEPS, {0: 5e-15, 1: 5e-15, 2: 5e-15}),
    *of_orders("polygamma_gain", _gain(mp.psi), COUNTS, {0: 1e-14, 1: 5e-15, 2: 5e-15}),
    *of_orders(
        "gamma_rest", _rest, sizes(1e-5, 1e8), {0: 1e-12, 1: 5e-14, 2: 5e-15, 3: 5e-15, 4: 5e-15, 6: 5e-15}
    ),
    *of_orders("gamma_rest_gain", _gain(_rest), FEW, {0: 1e-12, 1: 1e-11, 2: 5e-15, 3: 5e-15}),
    Asked("log_poch", (), partial(_gain(lambda n, x: mp.loggamma(x)), 0), COUNTS, 1e-12),
    Asked("betaln", (), partial(_betaln_slope, 0, 0), SHAPES, 1e-11),
    Asked("bd0", (), BINARY["bd0"].f, RATIOS, 1e-14),
    Asked("log_ratio", (), BINARY["log_ratio"].f, RATIOS, 3e-15),
    Asked("one_less_ratio", (), BINARY["one_less_ratio"].f, RATIOS, 3e-15),
    Asked("nb_deviance", (), lambda n, k, p: sum(_nb(n, k, p)), SUCCESSES, 3e-14),
    Asked("nb_log_ratio", (), lambda n, k, p: _nb(n, k, p)[0] / n, SUCCESSES),
    Asked("nb_slope", (), lambda n, k, p: k / (1 - p) - n / p, SUCCESSES, 3e-15),
    Asked("ndtr", (), _of_unary("ndtr"), ANYWHERE, 3e-15),
    Asked("normal_density", (), _of_unary("normal_density"), ANYWHERE, 3e-15),
    Asked("gaussian", (), _of_unary("gaussian"), ANYWHERE, 3e-15),
    Asked("log_ndtr", (), _of_unary("log_ndtr"), FAR_LEFT, 3e-15),
    *of_orders("log_ndtr_slope", _slope_of_log_ndtr, FAR_LEFT, {1: 3e-15, 2: 5e-15, 3: 1e-13}),
    *of_orders("log_ndtr_slope", _slope_of_log_ndtr, LEFT, {5: 1e-11}, 0.2),
    Asked("ndtri", (), _of_unary("ndtri"), both(chances, sizes(1e-280, 1.0)), 3e-15, share=0.2),
    Asked("erfcx", (), _of_unary("erfcx"), both(between(-26.0, 10.0), POSITIVE), 3e-15),
    *of_orders(
        "erfcx_integral",
        erfc_integral,
        both(between(-6.0, 10.0), POSITIVE),
        {1: 5e-15, 2: 1e-14, 3: 2e-14, 5: 3e-13},
    ),
    *of_orders(
        "log1p_over",
        _log1p_over,
        both(between(-0.99, 3.0), sizes(1e-9, 1e9)),
        {0: 3e-15, 1: 1e-14, 2: 5e-14, 3: 2e-13},
    ),
)


def table(size: int) -> Iterator[tuple[Asked, float, float, tuple[float, ...]]]:
    """Each row with the worst error of C, that of the kernel, and where that of C is."""
    for asked in TABLE:
        ours, kernels, at = errors(asked, size)
        worst = int(np.argmax(ours))
        yield asked, ours[worst], np.max(kernels), tuple(float(x[worst]) for x in at)


HEAD = """# Functions in C

The compiled backend has its own C for these ops, in `tapegrad/backends/c/runtime`. This table has the worst
relative errors against mpmath, at a thousand points over the range of doubles (fewer where mpmath is slow),
next to those of the kernels with which NumPy and SciPy compute the same ops at the same points. The first
arguments of some ops are orders of derivatives. Some ops stand in two rows, for two ranges of arguments. This
page is written by `python -m benchmarks.c_functions --write`.

| op | orders | in C | NumPy and SciPy |
|---|---|---|---|
"""


def main() -> int:
    """Print the table, or write it on its page; the exit status is 1 if a bound is broken."""
    broken, lines = 0, []
    print(f"{'op':<18}{'orders':<10}{'in C':>9}{'kernel':>9}{'bound':>9}  at")
    for asked, ours, kernels, at in table(1000):
        fails = not ours <= asked.bound
        broken += fails
        orders = ", ".join(f"{n:g}" for n in asked.orders)
        mark = "  BROKEN" if fails else ""
        print(
            f"{asked.op:<18}{orders:<10}{ours:>9.1e}{kernels:>9.1e}{asked.bound:>9.0e}  {at}{mark}",
            flush=True,
        )
        lines.append(f"| `{asked.op}` | {orders} | {ours:.1e} | {kernels:.1e} |")
    if "--write" in sys.argv:
        PAGE.write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())
