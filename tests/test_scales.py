"""Derivatives where a slope or its square leaves the range of doubles, and the product does not."""

from __future__ import annotations

import numpy as np
import pytest
from mpmath import mp, mpf

import tapegrad as tg
from tapegrad.forward import Dual
from tapegrad.graph import value_and_grad

BACKENDS = ("numpy", "replay")


def derivatives(f, x, order=3):
    """The derivatives of a function of mpmath numbers, as floats."""
    with mp.workdps(60):
        return [float(d) for d in mp.diffs(f, mpf(float(x)), order)][1:]


def logistic(x, exp=np.exp, log=np.log):
    return log(1 / (1 + exp(-x)))


@pytest.mark.parametrize("x", [-700.0, -400.0, -372.0, -355.0, -170.0, -3.0, 0.5, 30.0])
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_logarithm_of_a_logistic_function_written_out(x, backend):
    tape = tg.trace(logistic, 0.3, backend=backend)
    first, second, third = derivatives(lambda x: logistic(x, mp.exp, mp.log), x)
    assert tape.grad(x) == pytest.approx(first, rel=1e-13)
    # 1 and 1 - exp(x), at second order, differ by as much as their rounding.
    assert tape.hessian(x).item() == pytest.approx(second, rel=1e-11, abs=1e-15)
    assert tape.third(x, 1.0).item() == pytest.approx(third, rel=1e-10, abs=1e-15)
    assert logistic(Dual(x, 1.0)).tangent == pytest.approx(first, rel=1e-13)
    assert value_and_grad(logistic, x)[1] == pytest.approx(first, rel=1e-13)


@pytest.mark.parametrize("s", [1e-300, 1e-162, 1e-155, 1.0, 1e155, 1e160, 1e162, 1e300])
def test_a_quotient_of_any_size(s):
    tape = tg.trace(lambda a: (a * s) / (a**2 * s), 1.5)
    assert tape.grad(2.0) == pytest.approx(-0.25, rel=1e-14)
    assert tape.hessian(2.0).item() == pytest.approx(0.25, rel=1e-13)
    assert tape.third(2.0, 1.0).item() == pytest.approx(-0.375, rel=1e-13)
    rows = s * np.linspace(0.5, 2.0, 300)
    tape = tg.trace(lambda a: ((a * rows) / (a**2 * rows)).mean(), 1.5)
    assert tape.grad(2.0) == pytest.approx(-0.25, rel=1e-13)
    assert tape.hessian(2.0).item() == pytest.approx(0.25, rel=1e-13)


def test_the_logarithm_of_a_small_quotient():
    tape = tg.trace(lambda x: np.log(x / (np.exp(400.0) * (1 + x))), 0.5)
    first, second, third = derivatives(lambda x: mp.log(x) - mp.log1p(x), 0.3)
    assert tape.grad(0.3) == pytest.approx(first, rel=1e-14)
    assert tape.hessian(0.3).item() == pytest.approx(second, rel=1e-13)
    assert tape.third(0.3, 1.0).item() == pytest.approx(third, rel=1e-12)


def test_a_mixture_of_two_far_normals():
    tape = tg.trace(
        lambda m: np.log(0.5 * np.exp(-0.5 * (30 - m) ** 2) + 0.5 * np.exp(-0.5 * (35 - m) ** 2)), 1.0
    )
    assert tape.grad(0.0) == pytest.approx(30.0, rel=1e-14)
    # -1 is 900 - 901.
    assert tape.hessian(0.0).item() == pytest.approx(-1.0, abs=1e-12)


# With scales of the argument, f(x) = log(g(x)) is ordinary where g and its slope are not.
POWERS = {
    "reciprocal": (lambda x: np.log(1 / x), -1),
    "a square": (lambda x: np.log(np.square(x)), 2),
    "a constant power": (lambda x: np.log(x**-2.5), -2.5),
    "a cube": (lambda x: np.log(x**3), 3),
    "a root": (lambda x: np.log(np.sqrt(x)), 0.5),
    "a cube root": (lambda x: np.log(np.cbrt(x)), 1 / 3),
    "a quotient": (lambda x: np.log(3.0 / x), -1),
    "a product": (lambda x: np.log(x * np.square(x)), 3),
    "log10": (lambda x: np.log10(x) * np.log(10.0), 1),
    "log2": (lambda x: np.log2(x) * np.log(2.0), 1),
}


@pytest.mark.parametrize("name", POWERS)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("rows", [False, True])
def test_logarithms_of_powers_over_all_scales(name, backend, rows):
    f, p = POWERS[name]
    scales = 10.0 ** np.arange(-300, 301, 12.5)
    scales = scales[np.abs(np.log10(scales) * p) < 300] * 1.7
    # In units of its own: the parameter is the logarithm of x.
    sized = (lambda u: f(np.exp(u)).sum()) if rows else (lambda u: f(np.exp(u)))
    tape = tg.trace(sized, np.zeros(3) if rows else 0.3, backend=backend)
    for x in scales:
        u = np.full(3, np.log(x)) if rows else np.log(x)
        size = max(1.0, abs(p))
        np.testing.assert_allclose(tape.grad(u), p, rtol=1e-12)
        np.testing.assert_allclose(tape.hessian(u), 0.0, atol=2e-14 * size**2)
        np.testing.assert_allclose(tape.third(u, np.ones(np.size(u))), 0.0, atol=1e-12 * size**3)


@pytest.mark.parametrize("x", [1e-250, 1e-110, 1e-60, 0.7, 1e60, 1e110, 1e250])
def test_a_power_of_any_exponent_over_all_scales(x):
    p = 300.0 / np.log10(x) if abs(np.log10(x)) > 1 else 2.3
    for y in (p, -p, 0.5 * p, -0.3 * p):
        tape = tg.trace(lambda u, y: np.log(np.exp(u) ** y), dict(u=0.1, y=1.3))
        theta = dict(u=np.log(x), y=y)
        found = tape.grad(theta)
        assert found["u"] == pytest.approx(y, rel=1e-12)
        assert found["y"] == pytest.approx(np.log(x), rel=1e-12)
        size = abs(np.log(x) * y) + 1.0
        expected = np.array([[0.0, 1.0], [1.0, 0.0]])
        np.testing.assert_allclose(tape.hessian(theta), expected, atol=1e-13 * size**2)


def test_the_scale_of_a_sum_of_quotients_stays_with_its_terms():
    """log(sum(1 / x)) with all x near 1e200: 1 over the sum is 1e200, the square of 1 / x is 0."""
    x = 1e200 * np.linspace(1.0, 2.0, 300)
    tape = tg.trace(lambda a: np.log((1.0 / (a * x)).sum()) + np.log((a / (a * a * x)).sum()), 1.0)
    assert tape.grad(2.0) == pytest.approx(-1.0, rel=1e-13)
    assert tape.hessian(2.0).item() == pytest.approx(0.5, rel=1e-12)
    v = tg.trace(lambda v: np.log((1.0 / v).sum()), x)
    expected = -1.0 / (x / 1e200) ** 2 / (1e200 / x).sum() * 1e-200
    np.testing.assert_allclose(v.grad(x), expected, rtol=1e-13)


@pytest.mark.parametrize("year", [0.0, 2000.0])
def test_a_cox_likelihood_with_a_calendar_year(year):
    rng = np.random.default_rng(3)
    years = np.arange(2000, 2020)[rng.integers(0, 20, 200)] - 2000.0
    times = rng.exponential(np.exp(0.2 * (years - 10.0)))
    order = np.argsort(-times)

    def loglik(b, x):
        eta = x[order] * b
        return (eta - np.log(np.cumsum(np.exp(eta)))).sum()

    def stable(b):
        return loglik(b, years)

    shifted = tg.fit(lambda b: loglik(b, years + year), 0.0)
    expected = tg.fit(stable, 0.0)
    np.testing.assert_allclose(shifted.params, expected.params, rtol=1e-8)
    np.testing.assert_allclose(shifted.bse, expected.bse, rtol=1e-7)
