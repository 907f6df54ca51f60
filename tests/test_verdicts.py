"""One model, one verdict: whatever the start and the method, `converged` and `diagnose` say the same."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.special import gammaln

from tapegrad import trace
from tapegrad.mle import ConvergenceWarning, FitResult, StandardErrorWarning, fit
from tapegrad.mle.climb.climbing import polish
from tapegrad.stats import norm, poisson
from tests.endless import CASES, METHODS, negative_binomial

ROTATION, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))


def quietly(*arguments: Any, **options: Any) -> FitResult:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", StandardErrorWarning)
        return fit(*arguments, **options)


def verdicts(name: str, every: bool) -> dict[Any, list[Any]]:
    """What is said of a model from 20 starts by every method, or from 6 by one method after the other."""
    case = CASES[name]
    tape = trace(case.loglik, case.start)
    found: dict[Any, list[Any]] = {}
    first = 6 * list(CASES).index(name)  # so that each method has its turn at every second model
    for i, start in enumerate(case.starts(20 if every else 6)):
        methods = case.methods if every else [case.methods[(first + i) % len(case.methods)]]
        for method in methods:
            result = quietly(tape, start, method, transforms=case.transforms)
            kinds = set(result.diagnose().kinds) - {"not converged"}
            found.setdefault((result.converged, *sorted(kinds)), []).append((method, i))
    return found


@pytest.mark.parametrize("name", CASES)
def test_one_model_one_verdict(name: str) -> None:
    found = verdicts(name, every=False)
    assert list(found) == [(False, CASES[name].kind)], found


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_one_model_one_verdict_by_every_method_from_every_start(name: str) -> None:
    found = verdicts(name, every=True)
    assert not any(converged for converged, *_ in found), found
    others = {method for key, by in found.items() if key != (False, CASES[name].kind) for method, _ in by}
    # A known fault: Powell's method, which takes no gradients, can end beside the curved ridge of these two,
    # from 2 and 5 of the 20 starts, and other findings are added there.
    assert others <= ({"powell"} if name.startswith("capture and recapture") else set()), found


# Where slope and curvature vanish together, without a maximum -----------------------------------------------


def cubic(x: Any) -> Any:
    return x**3 - x**4 / 4.0  # level at 0, highest at 3


def turned(scale: Any) -> Callable[[Any], Any]:
    def loglik(v: Any) -> Any:
        u = ROTATION @ (v * scale)
        return -0.5 * (u[0] - 1.0) ** 2 - 2.0 * (u[1] + 0.5) ** 2 + cubic(u[2])

    return loglik


def methods(*without: str) -> list[str]:
    return [method for method in METHODS if method not in ("bhhh", *without)]


@pytest.mark.parametrize("method", methods())
@pytest.mark.parametrize("start", [-1.0, -0.01, -30.0])
def test_a_point_of_inflection_is_left_behind(start: float, method: str) -> None:
    result = fit(cubic, start, method)
    assert result.converged
    assert result.params == pytest.approx(3.0, rel=1e-9)
    assert result.bse[0] == pytest.approx(1.0 / 3.0, rel=1e-8)
    assert result.diagnose().is_fine


@pytest.mark.parametrize("method", ["bfgs", "newton", "gradient_ascent", "trust"])
@pytest.mark.parametrize("scale", [[1.0, 1.0, 1.0], [1e3, 1.0, 1e-4]])
def test_it_is_left_behind_in_rotated_coordinates_and_any_units(scale: list[float], method: str) -> None:
    start = ROTATION.T @ [0.0, 0.0, -1.0] / scale
    result = fit(turned(np.array(scale)), start, method)
    assert result.converged
    np.testing.assert_allclose(ROTATION @ (result.x * scale), [1.0, -0.5, 3.0], atol=1e-8)


@pytest.mark.parametrize("method", ["bfgs", "newton", "nelder-mead"])
@pytest.mark.parametrize(("height", "width"), [(1e-6, 1.0), (1e6, 1.0), (1.0, 1e6), (1.0, 1e-6)])
def test_it_is_left_behind_in_other_units(height: float, width: float, method: str) -> None:
    result = fit(lambda x: height * cubic(x / width), -width, method)
    assert result.converged
    assert result.params == pytest.approx(3.0 * width, rel=1e-8)


@pytest.mark.parametrize("method", methods())
def test_a_saddle_is_left_behind(method: str) -> None:
    result = fit(lambda v: v[0] ** 2 - v[1] ** 2 - v[0] ** 4, np.array([0.0, 1.0]), method)
    assert result.converged
    np.testing.assert_allclose(np.abs(result.x), [np.sqrt(0.5), 0.0], atol=1e-8)


@pytest.mark.parametrize("distance", [1e-2, 1e-4, 1e-6, 1e-8, 1e-10])
def test_close_to_a_point_of_inflection_no_distance_is_small_enough(distance: float) -> None:
    for loglik, start in (
        (lambda v: v[0] ** 3, np.array([-distance])),
        (turned(np.ones(3)), ROTATION.T @ [1.0, -0.5, -distance]),
    ):
        end = polish(trace(loglik, start), start)
        assert not end.converged
        assert end.distance < 1e-1


@pytest.mark.parametrize("method", methods())
@pytest.mark.parametrize("power", [4, 6])
def test_a_top_flatter_than_a_parabola_has_no_standard_errors(power: int, method: str) -> None:
    result = quietly(lambda a: -((a - 1.0) ** power), 3.0, method)
    assert not result.converged
    assert result.params == pytest.approx(1.0, abs=0.1)
    assert result.diagnose().kinds == ("not converged", "flat")


def test_a_maximum_that_is_small_against_its_standard_error_is_one() -> None:
    # Half a standard error away it is higher, and beyond there is nothing: still, these are maxima.
    result = fit(lambda a: np.exp(-50.0 * a * a), 0.05)
    assert result.converged
    assert result.bse[0] == pytest.approx(0.1)
    assert fit(lambda a: 1e-3 * np.cos(a), 0.5).converged


# Maxima made by rounding ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["bfgs", "newton", "lbfgs"])
def test_poisson_counts_have_no_dispersion(method: str) -> None:
    for seed in range(10):
        counts = np.random.default_rng(seed).poisson(4.0, size=200).astype(float)

        def loglik(log_mu: Any, log_alpha: Any, counts: Any = counts) -> Any:
            size, mean = np.exp(-log_alpha), np.exp(log_mu)
            ways = gammaln_naive(counts, size)
            return (ways + size * np.log(size / (size + mean)) + counts * np.log(mean / (size + mean))).sum()

        result = quietly(loglik, {"log_mu": 1.0, "log_alpha": 0.0}, method)
        excess = ((counts - counts.mean()) ** 2).sum() - counts.sum()
        assert result.converged == (excess > 0.0), (seed, result.message)
        bound = poisson.logpmf(counts, counts.mean()).sum()
        assert result.llf > bound - 1e-2
        if excess < 0.0:  # no dispersion is as good as none at all
            assert result.llf < bound + 1e-5  # the rounding that a search puts up with
            assert result.diagnose().kinds == ("not converged", "rising")
            assert "log_alpha falls" in str(result.diagnose())


def gammaln_naive(counts: Any, size: Any) -> Any:
    return gammaln(counts + size) - gammaln(size) - gammaln(counts + 1.0)


def test_the_error_bound_holds_where_it_matters() -> None:
    mpmath = pytest.importorskip("mpmath")
    case = CASES["size, positive"]
    tape = trace(lambda log_size: negative_binomial(np.exp(log_size), 3.0).sum(), 0.0)
    assert case.kind == "bound"
    with mpmath.workdps(60):
        for log_size in (2.0, 10.0, 20.0, 25.0, 29.2472, 33.0):
            size = mpmath.mpf(float(np.exp(log_size)))
            exact = sum(
                repeats
                * (
                    mpmath.loggamma(y + size)
                    - mpmath.loggamma(size)
                    - mpmath.loggamma(y + 1)
                    + size * mpmath.log(size / (size + 3))
                    + y * mpmath.log(3 / (size + 3))
                )
                for y, repeats in ((2, 16), (3, 48), (4, 16))
            )
            error = abs(float(tape.value_flat(np.array([log_size])) - exact))
            bound = tape.rounding_flat(np.array([log_size]))
            assert error <= 2.0 * bound + 1e-12, log_size
            assert bound < 1e-7 if log_size <= 10.0 else bound > 1e-4


def test_residuals_of_rounding_have_no_standard_errors() -> None:
    y = 1.0 + 0.1 * np.arange(12.0)
    with pytest.warns(StandardErrorWarning, match="no standard errors"):
        result = fit(
            lambda a, b, log_s: norm.logpdf(y, a + b * np.arange(12.0), np.exp(log_s)).sum(),
            {"a": 0.0, "b": 0.0, "log_s": 0.0},
        )
    assert np.isnan(result.bse).all()
    assert "log_s falls" in str(result.diagnose())


# What a clean fit pays --------------------------------------------------------------------------------------


def test_a_clean_fit_is_looked_at_once() -> None:
    x = np.random.default_rng(0).normal(size=200)
    tape = trace(lambda mu, log_s: norm.logpdf(x, mu, np.exp(log_s)).sum(), {"mu": 0.0, "log_s": 0.0})
    start = np.array([x.mean() + 1e-3, np.log(x.std())])
    seen = []

    class Watched:
        value_flat = tape.value_flat
        hessian_flat = tape.hessian_flat

        def value_and_grad_flat(self, vector: Any) -> Any:
            seen.append(vector)
            return tape.value_and_grad_flat(vector)

    end = polish(Watched(), start)
    assert end.converged
    assert len(seen) == 1 + end.steps + 1
