"""How far counts are from their means: the exponents of the saddle-point forms of count distributions.

C. Loader, "Fast and accurate computation of binomial probabilities" (2000), writes a log-probability as minus
a deviance, which is 0 where the count is its mean, and terms that grow no faster than the logarithm of the
count. So nothing large cancels. The partials are ops of the same kind where their formula would cancel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.ops.broadcasting import gated_mul
from tapegrad.ops.elementwise import POSITIVE, log1p, reciprocal, square
from tapegrad.ops.gammas import _given
from tapegrad.ops.registry import Elementwise, Op, broadcast, elementwise, register

NEAR = 0.2  # of the count: up to this distance of the mean, the series
# 2 / 3, 2 / 5, ...: log((1 + s) / (1 - s)) = 2 s + s**3 * 2 / 3 + s**5 * 2 / 5 + ...
ARTANH = tuple(2.0 / (2 * i + 3) for i in range(9))


# Logarithms and differences of a count and its mean ---------------------------------------------------------


def _log_ratio(x: Any, m: Any, out: Any = None) -> Any:
    gap = np.subtract(x, m)
    near = np.abs(gap) <= 0.5 * np.abs(m)
    value = np.where(near, np.log1p(np.divide(np.where(near, gap, 0.0), m)), np.log(x) - np.log(m))
    return _given(value, out)


def _one_less_ratio(x: Any, m: Any, out: Any = None) -> Any:
    is_one = np.equal(x, 0.0) | np.isposinf(m)
    return _given(np.where(is_one, 1.0, np.divide(np.subtract(m, x), m)), out)


# log(x / m), with its digits where x and m are close.
log_ratio: Op = elementwise(
    "log_ratio",
    _log_ratio,
    lambda out, x, m: reciprocal(x),
    lambda out, x, m: -reciprocal(m),
    domain=POSITIVE,
    numpy=(),
    c="tg_log_ratio({0}, {1})",
)

# 1 - x / m, with its digits where x and m are close; 1 for x = 0.
one_less_ratio: Op = elementwise(
    "one_less_ratio",
    _one_less_ratio,
    lambda out, x, m: -reciprocal(m),
    lambda out, x, m: x / m / m,
    domain=POSITIVE,
    numpy=(),
    c="tg_one_less_ratio({0}, {1})",
)


# The deviance of one count ----------------------------------------------------------------------------------


def _deviance(x: Any, gap: Any, log_ratio: Callable[[], Any]) -> Any:
    """``x log(x / m) + m - x`` for ``gap = m - x``, which may be known better than `m`."""
    near = np.abs(gap) < NEAR * x
    if np.all(near):
        return _deviance_near(x, gap)
    far = np.where(np.equal(x, 0.0), 0.0, x * log_ratio()) + gap
    if not np.any(near):
        return far
    return np.where(near, _deviance_near(np.where(near, x, 1.0), np.where(near, gap, 0.0)), far)


def _deviance_near(x: Any, gap: Any) -> Any:
    s = 0.5 * gap / (x + 0.5 * gap)
    z = s * s
    total: Any = ARTANH[-1]
    for coefficient in ARTANH[-2::-1]:
        total = total * z + coefficient
    return s * (gap - x * (z * total))


def _log_quotient(x: Any, m: Any) -> Any:
    ratio = np.divide(x, m)
    outside = np.logical_not(np.logical_and(np.greater(ratio, 1e-290), np.less(ratio, 1e290)))
    value = np.log(ratio)
    return np.where(outside, np.log(x) - np.log(m), value) if np.any(outside) else value


def _bd0(x: Any, m: Any, out: Any = None) -> Any:
    value = _deviance(x, np.subtract(m, x), lambda: _log_quotient(x, m))
    infinite = np.isposinf(m)
    return _given(np.where(infinite, m, value) if np.any(infinite) else value, out)


# Half the Poisson deviance of a count x of mean m; bd0 is Loader's name.
bd0: Op = elementwise(
    "bd0",
    _bd0,
    lambda out, x, m: log_ratio(x, m),
    lambda out, x, m: one_less_ratio(x, m),
    domain=POSITIVE,
    numpy=(),
    c="tg_bd0({0}, {1})",
)


# The deviance of two counts ---------------------------------------------------------------------------------
#
# n successes and k failures, where successes have the probability p. The gap is how many more successes than
# n are expected among the n + k.


def _halves(x: Any) -> tuple[Any, Any]:
    """A number as the sum of two of at most 27 bits."""
    x = np.asarray(x, dtype=np.float64)
    high = (x.view(np.int64) & -(1 << 27)).view(np.float64)
    return high, x - high


def _exact_product(a: Any, b: Any) -> tuple[Any, Any]:
    """A product and its rounding error (T. J. Dekker, 1971)."""
    product = np.multiply(a, b)
    (a1, a2), (b1, b2) = _halves(a), _halves(b)
    return product, ((a1 * b1 - product) + a1 * b2 + a2 * b1) + a2 * b2


def _gap(n: Any, k: Any, p: Any) -> Any:
    """``(n + k) * p - n``, rounded once or twice."""
    np_, np_error = _exact_product(n, p)
    kp, kp_error = _exact_product(k, p)
    total = np_ + kp
    part = total - np_
    total_error = (np_ - (total - part)) + (kp - part)
    return (total - n) + (total_error + (np_error + kp_error))


def _log_total(x: Any, y: Any) -> Any:
    """``log((x + y) / x)``."""
    more = np.divide(y, x)
    value = np.log1p(more)
    infinite = np.isinf(more)
    return np.where(infinite, np.log(y) - np.log(x), value) if np.any(infinite) else value


def _nb_deviance(n: Any, k: Any, p: Any, out: Any = None) -> Any:
    gap = _gap(n, k, p)
    of_successes = _deviance(n, gap, lambda: -(_log_total(n, k) + np.log(p)))
    of_failures = _deviance(k, -gap, lambda: -(_log_total(k, n) + np.log1p(np.negative(p))))
    return _given(of_successes + of_failures, out)


def _nb_log_ratio(n: Any, k: Any, p: Any, out: Any = None) -> Any:
    gap = _gap(n, k, p)
    near = np.abs(gap) < 0.5 * np.abs(n)
    share = np.divide(np.where(near, gap, 0.0), n)
    return _given(np.where(near, -np.log1p(share), -(_log_total(n, k) + np.log(p))), out)


def _nb_slope(n: Any, k: Any, p: Any, out: Any = None) -> Any:
    value = np.where(np.equal(k, 0.0), -np.divide(n, p), np.divide(_gap(n, k, p), p) / np.subtract(1.0, p))
    return _given(value, out)


N = np.array([0.6, 2.0, 30.0])
K = np.array([2.0, 1.0, 14.0])
P = np.array([0.3, 0.7, 0.6])
SAMPLES: tuple[Any, ...] = (
    ((2.5, 3.0, 0.4), {}),
    ((N, K, P), {}),
    ((N[:, None], K, 0.35), {}),
    ((2.5, K, P[:, None]), {}),
)

# log(n / ((n + k) p)).
nb_log_ratio: Op = register(
    Op(
        "nb_log_ratio",
        _nb_log_ratio,
        broadcast,
        Elementwise(
            (
                lambda out, n, k, p: k / (n + k) / n,
                lambda out, n, k, p: -reciprocal(n + k),
                lambda out, n, k, p: -reciprocal(p),
            )
        ),
        samples=SAMPLES,
        c="tg_nb_log_ratio({0}, {1}, {2})",
    )
)

# k / (1 - p) - n / p.
nb_slope: Op = register(
    Op(
        "nb_slope",
        _nb_slope,
        broadcast,
        Elementwise(
            (
                lambda out, n, k, p: -reciprocal(p),
                lambda out, n, k, p: reciprocal(1.0 - p),
                lambda out, n, k, p: n / p / p + gated_mul(k, square(reciprocal(1.0 - p))),
            )
        ),
        samples=SAMPLES,
        c="tg_nb_slope({0}, {1}, {2})",
    )
)

# n log(n / ((n + k) p)) + k log(k / ((n + k) (1 - p))).
nb_deviance: Op = register(
    Op(
        "nb_deviance",
        _nb_deviance,
        broadcast,
        Elementwise(
            (
                lambda out, n, k, p: nb_log_ratio(n, k, p),
                lambda out, n, k, p: -(log1p(n / k) + log1p(-p)),
                lambda out, n, k, p: nb_slope(n, k, p),
            )
        ),
        samples=SAMPLES,
        c="tg_nb_deviance({0}, {1}, {2})",
    )
)
