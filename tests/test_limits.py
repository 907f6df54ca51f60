"""Derivatives of every order at infinity and far in the tails, of ops and of functions written out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

import tapegrad as tg

INF = np.inf
pytestmark = pytest.mark.filterwarnings("ignore::tapegrad.NonFiniteWarning")
BACKENDS = ("numpy", "replay")


def derivatives(f, x, backend="numpy"):
    """The value and three derivatives, of a scalar and of an element of an array."""
    tape = tg.trace(f, 0.4, backend=backend)
    scalar = [tape(x), tape.grad(x), tape.hessian(x).item(), tape.third(x, 1.0).item()]
    rows = tg.trace(lambda v: f(v).sum(), np.array([0.4, 0.6]), backend=backend)
    v, e = np.array([x, 0.3]), np.array([1.0, 0.0])
    elements = [rows.grad(v)[0], rows.hvp(v, e)[0], rows.third(v, e)[0, 0]]
    np.testing.assert_array_equal(elements, scalar[1:])
    return scalar


# Functions, and the places where they become constant: all their derivatives are 0 there.
FLAT = {
    "ndtr": (special.ndtr, (INF, -INF, 1e200, -1e200)),
    "erf": (special.erf, (INF, -INF, 1e200)),
    "erfc": (special.erfc, (INF, -INF, 1e200)),
    "erfcx": (special.erfcx, (INF,)),
    "log_ndtr": (special.log_ndtr, (INF, 40.0, 1e300)),
    "arctan": (np.arctan, (INF, -INF)),
    "tanh": (np.tanh, (INF, -INF, 800.0)),
    "expit": (special.expit, (INF, -INF, 800.0, -800.0)),
    "log_expit": (special.log_expit, (INF,)),
    "softplus": (tg.special.softplus, (-INF,)),
    "reciprocal": (np.reciprocal, (INF, -INF)),
    "exp": (np.exp, (-INF,)),
    "expm1": (np.expm1, (-INF,)),
    "1 / (1 + exp(-x))": (lambda x: 1 / (1 + np.exp(-x)), (INF, -INF, -800.0)),
    "1 - 1 / (1 + exp(-x))": (lambda x: 1 - 1 / (1 + np.exp(-x)), (INF, -INF, -800.0)),
    "exp(-exp(x))": (lambda x: np.exp(-np.exp(x)), (INF, -INF, 800.0)),
    "1 - exp(-exp(x))": (lambda x: 1 - np.exp(-np.exp(x)), (INF, -INF, 800.0)),
    "2 / exp(3 x)": (lambda x: 2.0 / np.exp(3.0 * x), (INF, 300.0)),
    "ndtr(exp(x))": (lambda x: special.ndtr(np.exp(x)), (INF, -INF)),
    "tanh(sinh(x))": (lambda x: np.tanh(np.sinh(x)), (INF, -INF)),
    "exp(-x * x)": (lambda x: np.exp(-x * x), (INF, -INF, 1e200)),
    "exp(-x**2 / 2)": (lambda x: np.exp(-0.5 * np.square(x)), (INF, -INF, 1e200)),
    "1 / (1 + x**2)": (lambda x: 1.0 / (1.0 + x**2), (INF, -INF)),
    "1 - tanh(x * x)": (lambda x: 1.0 - np.tanh(x * x), (INF, -INF, 1e200)),
    "ndtr((x - 1)**2)": (lambda x: special.ndtr((x - 1.0) ** 2), (INF, -INF)),
    "rgamma": (special.rgamma, (INF, 200.0)),
    "wrightomega": (special.wrightomega, (-INF,)),
    "1 / (1 + exp(exp(x)))": (lambda x: 1 / (1 + np.exp(np.exp(x))), (INF, 10.0)),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", FLAT)
def test_where_a_function_becomes_constant_it_has_no_slope(name, backend):
    f, places = FLAT[name]
    for x in places:
        with np.errstate(all="ignore"):
            expected = f(x)
        value, *slopes = derivatives(f, x, backend)
        assert value == expected
        np.testing.assert_array_equal(slopes, np.zeros(3))


# Here 0 meets infinity as well, and the limit is not 0: it stays NaN, or is right.
NOT_FLAT = {
    "log(1 + exp(x))": (lambda x: np.log(1 + np.exp(x)), INF, 1.0),
    "1 / (1 / x)": (lambda x: 1.0 / (1.0 / np.sinh(x)), 0.0, 1.0),
    "1 / exp(-log(x))": (lambda x: 1.0 / np.exp(-np.log(x)), 0.0, 1.0),
    "1 / (1 / x)**2": (lambda x: 1.0 / (1.0 / np.sinh(x)) ** 2, 0.0, 0.0),
    "log(1 + x**2)": (lambda x: np.log(1.0 + x**2), INF, 0.0),
    "sqrt(x * x)": (lambda x: np.sqrt(x * x), INF, 1.0),
    "wrightomega": (special.wrightomega, INF, 1.0),
    "a sum of both": (lambda x: np.log(1 + np.exp(x)) + 1 / (1 + np.exp(x)), INF, 1.0),
}


@pytest.mark.parametrize("name", NOT_FLAT)
def test_a_true_zero_times_infinity_is_never_zero(name):
    f, x, slope = NOT_FLAT[name]
    found = tg.trace(f, 0.4).grad(x)
    assert np.isnan(found) or found == slope


def test_an_ordered_probit_with_infinite_cut_points():
    assert tg.trace(lambda a: special.ndtr(INF - a) - a**2, 0.4).hessian(0.3).item() == -2.0
    cuts = np.array([-INF, -0.5, 0.7, INF])
    rng = np.random.default_rng(0)
    x = rng.normal(size=200)
    y = np.digitize(0.8 * x + rng.normal(size=200), cuts[1:-1])

    def loglik(b, distribution):
        return np.log(distribution(cuts[y + 1] - b * x) - distribution(cuts[y] - b * x)).sum()

    def logistic(z):
        return 1 / (1 + np.exp(-z))

    big = np.array([-60.0, -0.5, 0.7, 60.0])
    for distribution in (special.ndtr, special.expit, logistic):
        fitted = tg.fit(lambda b, d=distribution: loglik(b, d), 0.1)

        def expected(b, d=distribution):
            return np.log(d(big[y + 1] - b * x) - d(big[y] - b * x)).sum()

        assert fitted.converged
        np.testing.assert_allclose(fitted.bse, tg.fit(expected, 0.1).bse, rtol=1e-9)


@pytest.mark.parametrize(
    ("x", "second", "third"),
    [
        (30.0, -4.420938403463593e-195, 1.324807874904557e-193),
        (40.0, 0.0, 0.0),
        (-1e5, -1.0 + 1e-10, 2e-15),
        (-1e8, -1.0, 2e-24),
        (-1e200, -1.0, 0.0),
    ],
)
def test_log_ndtr_far_out(x, second, third):
    tape = tg.trace(special.log_ndtr, 1.0)
    assert tape.hessian(x).item() == pytest.approx(second, rel=1e-12)
    assert tape.third(x, 1.0).item() == pytest.approx(third, rel=1e-9)


def test_erfcx_keeps_the_digits_of_its_slope():
    tape = tg.trace(special.erfcx, 1.0)
    for x in (1e5, 1e8, 1e100):  # -1 / (sqrt(pi) x**2), but for terms of order x**-4
        assert tape.grad(x) == pytest.approx(-1.0 / np.sqrt(np.pi) / x / x, rel=1e-9)


def test_a_normal_truncated_far_below_has_standard_errors():
    y = np.random.default_rng(1).normal(50.0, 1.0, 200)

    def loglik(mu, log_sigma):
        z = (y - mu) / np.exp(log_sigma)
        return (-0.5 * z**2 - log_sigma - special.log_ndtr(mu / np.exp(log_sigma))).sum()

    result = tg.fit(loglik, dict(mu=49.0, log_sigma=0.1))
    sigma = np.exp(result.params["log_sigma"])
    np.testing.assert_allclose(result.bse, [sigma / np.sqrt(200), 1 / np.sqrt(400)], rtol=1e-6)
