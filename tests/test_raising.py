"""Exceptions of the user's function in the middle of a search: outside the support, told once; no others."""

import inspect
import re
import warnings
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from tapegrad import fit, trace
from tapegrad.errors import NonFiniteWarning, RetraceWarning, TraceError
from tapegrad.mle import StandardErrorWarning, bootstrap
from tapegrad.stats import norm

RNG = np.random.default_rng(4)
X = RNG.normal(2.0, 1.5, size=50)
METHODS = ["bfgs", "newton", "lbfgs", "trust", "nelder-mead", "gradient_ascent", "slsqp", "cg"]


def raising(mu: Any, log_s: Any) -> Any:
    """A normal sample, with a check that a careful author writes."""
    if log_s < -0.5 or mu > 6.0:
        raise ValueError(f"the scale {log_s:.3g} is too small")
    return norm.logpdf(X, mu, np.exp(log_s)).sum()


def nan_instead(mu: Any, log_s: Any) -> Any:
    outside = np.logical_or(np.less(log_s, -0.5), np.greater(mu, 6.0))
    return np.where(outside, np.nan, norm.logpdf(X, mu, np.exp(log_s)).sum())


def line_of(f: Any, text: str) -> int:
    lines, first = inspect.getsourcelines(f)
    return first + next(i for i, line in enumerate(lines) if text in line)


def _starts(method: str) -> list[Any]:
    # Newton's method hangs at the edge from the second one, and traces again for seconds.
    marks = [pytest.mark.slow] if method == "newton" else []
    return [
        pytest.param(method, dict(mu=5.9, log_s=-0.4)),
        pytest.param(method, dict(mu=-3.0, log_s=-0.49), marks=marks),
        pytest.param(method, dict(mu=5.0, log_s=3.0)),
    ]


@pytest.mark.parametrize(("method", "start"), [case for method in METHODS for case in _starts(method)])
def test_the_search_goes_on(method: str, start: dict[str, float]) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = fit(raising, start, method)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        masked = fit(nan_instead, start, method)
    np.testing.assert_allclose(result.x, masked.x, atol=1e-7)
    assert result.converged == masked.converged
    if (method, start["mu"]) != ("newton", -3.0):  # which hangs at the edge, here as there
        assert result.converged
        np.testing.assert_allclose(result.x, [X.mean(), np.log(X.std())], atol=1e-7)
    # Where it raises there is no tape, and it is traced again each time; that is told as ever.
    others = (StandardErrorWarning, RetraceWarning)
    caught = [warning for warning in caught if warning.category not in others]
    told = [warning for warning in caught if "raised" in str(warning.message)]
    assert len(told) <= 1
    assert len(caught) == len(told)
    for warning in told:
        assert warning.category is NonFiniteWarning
        assert warning.filename == __file__
        assert f"test_raising.py:{line_of(raising, 'raise ValueError')}: `raise ValueError" in str(
            warning.message
        )
        assert "counts as outside the support" in str(warning.message)


def test_it_is_told_with_its_line() -> None:
    message = (
        r"raised ValueError at .*test_raising\.py:\d+: `raise ValueError.*: the scale -?\d.* is too small"
    )
    with pytest.warns(NonFiniteWarning, match=message):
        fit(raising, dict(mu=5.9, log_s=-0.4), "nelder-mead")


def test_the_best_point_is_kept_where_the_maximum_is_beyond() -> None:
    def cut(mu: Any) -> Any:
        if mu > 1.0:
            raise RuntimeError("no further")
        return norm.logpdf(X, mu, 1.0).sum()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = fit(cut, dict(mu=0.0))
    assert sum("no further" in str(warning.message) for warning in caught) == 1
    assert not result.converged
    assert 0.9 < result.params["mu"] <= 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NonFiniteWarning)
        assert "edge" in result.diagnose().kinds


def test_a_linear_algebra_error_of_the_users_own() -> None:
    def correlated(r: Any) -> Any:
        if abs(r) >= 1.0:
            raise np.linalg.LinAlgError("Matrix is not positive definite")
        a, b = X[:25], X[25:]
        return -0.5 * 25 * np.log(1.0 - r**2) - 0.5 * (
            ((a - r * b) ** 2).sum() / (1.0 - r**2) + (b * b).sum()
        )

    def plain(r: float) -> float:
        return -float(correlated(r))

    best = minimize_scalar(plain, bounds=(-0.9999, 0.9999), method="bounded", options=dict(xatol=1e-12)).x
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NonFiniteWarning)
        result = fit(correlated, dict(r=0.0))
    assert result.params["r"] == pytest.approx(best, abs=1e-6)


def test_profiles_and_refits_go_on() -> None:
    result = fit(lambda mu, log_s: np.where(True, raising(mu, log_s), 0.0), dict(mu=2.0, log_s=0.4))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NonFiniteWarning)
        low, high = result.profile("log_s").interval
    by_where = fit(lambda mu, log_s: norm.logpdf(X, mu, np.exp(log_s)).sum(), dict(mu=2.0, log_s=0.4))
    np.testing.assert_allclose([low, high], by_where.profile("log_s").interval, rtol=1e-6)


def test_random_starts_may_raise() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NonFiniteWarning)
        result = fit(raising, dict(mu=2.0, log_s=0.0), n_starts=6, seed=1)
    assert result.converged
    assert result.x[0] == pytest.approx(X.mean())


# What is not the user's -------------------------------------------------------------------------------------


def test_an_exception_at_the_start_is_raised() -> None:
    with pytest.raises(ValueError, match="is too small"):
        fit(raising, dict(mu=0.0, log_s=-1.0))


def test_what_cannot_be_traced_on_another_branch_is_raised() -> None:
    def untraceable(mu: Any) -> Any:
        if mu > 1.0:
            return (1j * mu).real
        return norm.logpdf(X, mu, 1.0).sum()

    with pytest.raises(TraceError, match="complex"):
        fit(untraceable, dict(mu=0.0))


def test_an_error_inside_tapegrad_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def branching(mu: Any) -> Any:
        return norm.logpdf(X, mu, 1.0).sum() if mu < 1.0 else norm.logpdf(X, mu, 1.0).sum() + 0.0

    traced = trace(branching, dict(mu=0.0))

    def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("a defect of the library")

    monkeypatch.setattr("tapegrad.function.router.witnessed", broken)
    with pytest.raises(ZeroDivisionError, match="a defect"):
        fit(traced, dict(mu=0.0))


def test_an_error_in_a_function_of_tapegrad_is_raised() -> None:
    def misused(mu: Any) -> Any:
        if mu > 1.0:
            return norm.logpdf(X, mu, np.ones((3, 7))).sum()
        return norm.logpdf(X, mu, 1.0).sum()

    with pytest.raises(ValueError, match="broadcast"):
        fit(misused, dict(mu=0.0))


def test_an_interrupt_is_no_exception_of_the_function() -> None:
    def interrupted(mu: Any) -> Any:
        if mu > 1.0:
            raise KeyboardInterrupt
        return norm.logpdf(X, mu, 1.0).sum()

    with pytest.warns(
        Warning, match=re.escape("not converged: stopped early (the optimiser stopped with: inter")
    ):
        result = fit(interrupted, dict(mu=0.0))
    assert not result.converged


def test_an_exception_of_the_callback_is_raised() -> None:
    def callback(iteration: Any) -> None:
        raise LookupError("of the callback")

    with pytest.raises(LookupError, match="of the callback"):
        fit(lambda mu: norm.logpdf(X, mu, 1.0).sum(), dict(mu=0.0), callback=callback)


def test_bootstrap_refits_go_on() -> None:
    def rows(mu: Any) -> Any:
        if mu > 2.6:
            raise ValueError("too far")
        return norm.logpdf(X, mu, 1.5)

    result = fit(rows, dict(mu=1.0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = bootstrap(result, 50, seed=1)
    assert found.bse[0] == pytest.approx(X.std() / np.sqrt(X.size), rel=0.3)
