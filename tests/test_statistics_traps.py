"""Defects that other libraries have had, one test each: none of them is here."""

from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import digamma

import tapegrad as tg
from tapegrad import special
from tapegrad.mle import fit
from tapegrad.stats import bernoulli, expon, nbinom, norm

RNG = np.random.default_rng(12)
X = RNG.normal(5.0, 2.0, size=100)


def normal(mu: Any, sigma: Any) -> Any:
    return norm.logpdf(X, mu, sigma).sum()


def test_a_probability_can_be_fitted_as_it_is() -> None:
    heads = np.array([1.0] * 13 + [0.0] * 7)
    result = fit(lambda p: bernoulli.logpmf(heads, p).sum(), {"p": 0.5})
    np.testing.assert_allclose([result.x[0], result.bse[0]], [0.65, np.sqrt(0.65 * 0.35 / 20)], rtol=1e-9)
    k, n = np.array([3.0, 5.0, 4.0]), np.array([10.0, 12.0, 8.0])
    binomial = fit(lambda p: (k * np.log(p) + (n - k) * np.log1p(-p)).sum(), {"p": 0.5})
    np.testing.assert_allclose([binomial.x[0], binomial.bse[0]], [0.4, np.sqrt(0.4 * 0.6 / 30)], rtol=1e-9)


def test_the_derivative_of_the_negative_binomial_in_its_size() -> None:
    k, r, p = np.array([0.0, 3.0, 7.0]), 2.5, 0.4
    tape = tg.trace(lambda r, p: nbinom.logpmf(k, r, p).sum(), {"r": r, "p": p})
    expected = (digamma(k + r) - digamma(r) + np.log(p)).sum()
    np.testing.assert_allclose(tape.grad({"r": r, "p": p})["r"], expected, rtol=1e-13)


def test_a_profile_is_a_profile_and_not_a_parabola() -> None:
    waits = np.array([0.8, 2.9, 0.3, 1.6, 4.4])
    profile = fit(lambda scale: expon.logpdf(waits, scale=scale).sum(), {"scale": 1.0}).profile("scale")
    np.testing.assert_allclose(profile.llf, -5.0 * np.log(profile.values) - 10.0 / profile.values, rtol=1e-12)
    low, high = profile.interval
    assert high - 2.0 > 3.0 * (2.0 - low)


def test_the_number_of_observations_is_known_to_bic() -> None:
    result = fit(normal, {"mu": 4.0, "sigma": 1.0})
    np.testing.assert_allclose(result.bic, 2.0 * np.log(100) - 2.0 * result.llf)


@pytest.mark.parametrize("method", ["newton", "bfgs", "lbfgs"])
def test_optimisers_find_the_normal_maximum_from_afar(method: str) -> None:
    by_log = fit(lambda mu, s: norm.logpdf(X, mu, np.exp(s)).sum(), {"mu": 0.0, "s": 0.0}, method)
    raw = fit(normal, {"mu": 0.0, "sigma": 0.3}, method)
    np.testing.assert_allclose(by_log.x, [X.mean(), np.log(X.std())], rtol=1e-8)
    np.testing.assert_allclose(raw.x, [X.mean(), X.std()], rtol=1e-8)


def test_standard_errors_are_not_those_of_bfgs() -> None:
    # The approximation that a quasi-Newton method has of the inverse Hessian is wrong by any factor.
    result = fit(normal, {"mu": 5.0, "sigma": 2.0})
    expected = [X.std() / 10.0, X.std() / np.sqrt(200.0)]
    np.testing.assert_allclose(result.bse, expected, rtol=1e-9)
    start = [X.mean() + 1e-7, X.std()]  # so near that BFGS hardly moves
    theirs = minimize(lambda b: -normal(*b), start, method="BFGS")
    assert (np.abs(np.sqrt(np.diag(theirs.hess_inv)) / expected - 1.0) > 0.5).any()


def test_stable_functions_stay_finite() -> None:
    assert special.softplus(1000.0) == 1000.0
    assert special.log_expit(-1000.0) == -1000.0


def test_gradients_do_not_add_up_from_call_to_call() -> None:
    tape = tg.trace(normal, {"mu": 4.0, "sigma": 1.0})
    first, second = tape.grad({"mu": 4.0, "sigma": 1.0}), tape.grad({"mu": 4.0, "sigma": 1.0})
    assert first == second


def test_a_garch_recursion_of_a_thousand_steps() -> None:
    errors = RNG.normal(size=1000)

    def garch(log_omega: Any, a: Any, b: Any) -> Any:
        variance, total = 1.0, 0.0
        for i in range(1, 1000):
            variance = np.exp(log_omega) + a * errors[i - 1] ** 2 + b * variance
            total = total - 0.5 * np.log(variance) - 0.5 * errors[i] ** 2 / variance
        return total

    tape = tg.trace(garch, {"log_omega": -1.0, "a": 0.1, "b": 0.5})
    theta = np.array([-1.0, 0.1, 0.5])
    gradient = tape.value_and_grad_flat(theta)[1]
    steps = 1e-6 * np.eye(3)
    numeric = [(garch(*(theta + step)) - garch(*(theta - step))) / 2e-6 for step in steps]
    np.testing.assert_allclose(gradient, numeric, rtol=1e-6)
    assert np.isfinite(tape.hessian(theta)).all()


def test_indexing_products_comparisons_and_vectors() -> None:
    A = RNG.normal(size=(5, 2))

    def loglik(b: Any) -> Any:
        mean = A @ b
        return -((mean[1:] - 1.0) ** 2).sum() - (b[0] ** 2 if b[1] > 0.0 else b[1] ** 2)

    theta = np.array([0.3, 0.4])
    expected = -2.0 * A[1:].T @ (A[1:] @ theta - 1.0) - [2.0 * theta[0], 0.0]
    np.testing.assert_allclose(tg.trace(loglik, theta).grad(theta), expected, rtol=1e-12)
