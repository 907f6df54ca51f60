"""Functions that are minus a log-likelihood are recognised, and no others; tables stay narrow."""

import re
import warnings
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize

from tapegrad import fit, trace
from tapegrad.mle import ConvergenceWarning, StandardErrorWarning, compare
from tapegrad.mle.transforms import positive
from tapegrad.stats import norm, poisson

RNG = np.random.default_rng(12)
N = 60
Z = RNG.normal(size=N)
X = np.column_stack([np.ones(N), Z])
COUNTS = RNG.poisson(np.exp(0.5 + 0.3 * Z)).astype(float)
SAMPLE = RNG.normal(3.0, 2.0, N)
EITHER = (ConvergenceWarning, StandardErrorWarning)


def nll_normal(mu: Any, log_s: Any) -> Any:
    return -norm.logpdf(SAMPLE, mu, np.exp(log_s)).sum()


def nll_normal_with_a_scale(mu: Any, s: Any) -> Any:
    return -norm.logpdf(SAMPLE, mu, s).sum()


def nll_poisson(beta: Any) -> Any:
    return -poisson.logpmf(COUNTS, np.exp(X @ beta))


def nll_cauchy(mu: Any) -> Any:
    return np.log1p((SAMPLE - mu) ** 2).sum()


def rss(beta: Any) -> Any:
    return ((SAMPLE - X @ beta) ** 2).sum()


NEGATED: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
    "normal": (nll_normal, dict(mu=0.0, log_s=0.0), {}),
    "a scale": (nll_normal_with_a_scale, dict(mu=0.0, s=1.0), {}),
    "transformed": (nll_normal_with_a_scale, dict(mu=0.0, s=1.0), dict(transforms=dict(s=positive))),
    "rows": (nll_poisson, dict(beta=np.zeros(2)), {}),
    "logarithmic": (nll_cauchy, dict(mu=2.5), {}),
    "least squares": (rss, dict(beta=np.zeros(2)), {}),
}


def longest_number(text: str) -> int:
    return max(map(len, re.findall(r"[-+]?\d[-+.\de]*", text)))


@pytest.mark.parametrize("method", ["bfgs", "newton", "lbfgs", "nelder-mead"])
@pytest.mark.parametrize(("loglik", "start", "options"), NEGATED.values(), ids=NEGATED)
def test_minus_the_log_likelihood_is_asked_about(
    loglik: Any, start: Any, options: dict[str, Any], method: str
) -> None:
    line = loglik.__code__.co_firstlineno
    asked = rf"did you return minus the log-likelihood\? .*{loglik.__name__} \(.*test_negated.py:{line}\)"
    with pytest.warns(EITHER, match=asked):
        result = fit(loglik, start, method, **options)
    assert not result.converged
    assert "did you return minus the log-likelihood?" in str(result.summary())
    tables = [line for line in str(result.summary()).splitlines() if re.match(r"(mu|s|log_s|beta)\b", line)]
    assert tables
    assert all(len(line) < 75 for line in tables)
    assert longest_number(str(result.summary())) < 16


def test_the_minimum_is_named() -> None:
    with pytest.warns(EITHER) as caught:
        fit(nll_normal, dict(mu=0.0, log_s=0.0))
    best = minimize(lambda t: nll_normal(*t), [0.0, 0.0]).x
    assert f"has a minimum at mu = {best[0]:.4g}, log_s = {best[1]:.4g} instead" in str(caught[0].message)


def test_a_traced_function_is_named_by_its_last_line() -> None:
    traced = trace(nll_normal, dict(mu=0.0, log_s=0.0))
    with pytest.warns(EITHER, match=r"nll_normal at .*test_negated.py:\d+: `return -norm.logpdf"):
        fit(traced, dict(mu=0.0, log_s=0.0))


def no_question(loglik: Any, start: Any, **options: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", StandardErrorWarning)
        assert "did you return" not in fit(loglik, start, **options).message


def test_a_log_likelihood_without_a_maximum_is_not_asked_about() -> None:
    separated = (Z > 0.1) * 1.0

    def logistic(b: Any) -> Any:
        return (separated * (X @ b) - np.logaddexp(0.0, X @ b)).sum()

    def collapsing(mu: Any, log_s: Any) -> Any:
        return np.logaddexp(norm.logpdf(SAMPLE, mu, np.exp(log_s)), norm.logpdf(SAMPLE, 0.0, 5.0)).sum()

    no_question(logistic, dict(b=np.zeros(2)))
    no_question(collapsing, dict(mu=SAMPLE[0], log_s=-6.0))
    no_question(lambda mu, log_s: norm.logpdf(0.0 * SAMPLE, mu, np.exp(log_s)).sum(), dict(mu=1.0, log_s=0.0))
    no_question(
        lambda mu: norm.logpdf(SAMPLE, mu, 1.0).sum(), dict(mu=0.0), maxiter=0, method="gradient_ascent"
    )
    no_question(lambda a, b: norm.logpdf(SAMPLE, a + b, 1.0).sum(), dict(a=0.0, b=0.0))


# Tables -----------------------------------------------------------------------------------------------------


def columns(text: str) -> list[tuple[str, ...]]:
    rows = [line.split()[1:5] for line in text.splitlines() if re.match(r"[abc] ", line)]
    return list(zip(*rows, strict=True))


def test_one_format_for_each_column() -> None:
    small = fit(
        lambda a, b, c: -(((a - 2e-7) / 3e-9) ** 2) - ((b - 3.0) / 0.4) ** 2 - (c - 4e9) ** 2 / 1e16,
        dict(a=0.0, b=1.0, c=1e9),
        "newton",
    )
    estimates, errors, _, _ = columns(str(small))
    assert all(re.fullmatch(r"-?\d\.\d{5}e[-+]\d\d", text) for text in (*estimates, *errors))
    assert estimates[0] == "2.00000e-07"
    plain = fit(
        lambda a, b, c: -((a - 5.0) ** 2) - (b - 0.25) ** 2 - (c + 3e3) ** 2, dict(a=0.0, b=0.0, c=0.0)
    )
    estimates, errors, z, _ = columns(str(plain))
    assert all(re.fullmatch(r"-?\d+\.\d{6}", text) for text in (*estimates, *errors))
    assert all(re.fullmatch(r"-?\d+\.\d{3}", text) for text in z)
    mixed = fit(lambda a, b: -((a - 4.5) ** 2) - (b - 0.25) ** 2, dict(a=0.0, b=0.0))
    assert columns(str(mixed))[3] == ("1.97e-10", "7.24e-01")


def test_numbers_do_not_outgrow_their_columns() -> None:
    huge = fit(lambda a: -((a - 1e120) ** 2) / 1e230, dict(a=9e119), "newton")
    other = fit(lambda a: 1e300 - (a - 1.0) ** 2, dict(a=1.0 + 1e-9), "newton", nobs=10)
    for text in (str(huge), str(other), str(compare(huge, other, names=["huge", "other"]))):
        assert longest_number(text) < 16
