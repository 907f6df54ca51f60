"""Fits that go wrong say what is wrong, in the names of the parameters, and give no number in silence."""

import warnings
from typing import Any

import numpy as np
import pytest
from scipy.special import expit

from tapegrad.errors import UnusedParameterWarning
from tapegrad.mle import ConvergenceWarning, FitResult, StandardErrorWarning, fit
from tapegrad.mle.transforms import interval, positive, unit
from tapegrad.stats import bernoulli, expon, norm, poisson

RNG = np.random.default_rng(5)
X = RNG.normal(size=80)
COUNTS = RNG.poisson(3.0, size=80).astype(float)


def quietly(*arguments: Any, **options: Any) -> FitResult:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", StandardErrorWarning)
        warnings.simplefilter("ignore", UnusedParameterWarning)
        return fit(*arguments, **options)


def assert_no_errors(result: FitResult) -> None:
    assert not result.converged
    assert not result.se_reliable
    assert np.isnan(result.bse).all()
    assert np.isnan(result.conf_int()).all()
    assert np.isnan(result.delta(lambda **params: next(iter(params.values()))).bse).all()
    with pytest.raises(ValueError, match="needs standard errors, and there are none"):
        result.wald_test(f"{result.names[0]} = 0")


def test_a_good_fit() -> None:
    result = fit(lambda mu, log_s: norm.logpdf(X, mu, np.exp(log_s)).sum(), {"mu": 0.0, "log_s": 0.0})
    assert result.diagnose().is_fine
    assert str(result.diagnose()) == "nothing found wrong with this fit"


def test_collinear_columns() -> None:
    x = np.column_stack([np.ones(80), RNG.normal(size=(80, 2))])
    x = np.column_stack([x, x[:, 0] - 2.0 * x[:, 2]])
    result = quietly(lambda beta: poisson.logpmf(COUNTS, np.exp(x @ beta)).sum(), {"beta": np.zeros(4)})
    assert_no_errors(result)
    diagnosis = result.diagnose()
    assert diagnosis.kinds == ("not converged", "flat")
    message = diagnosis.findings[1].message
    assert all(name in message for name in ("beta[0]", "beta[2]", "beta[3]"))
    assert "beta[1]" not in message
    assert "leave one out" in message


def test_nearly_collinear_columns() -> None:
    z = X + 1e-5 * RNG.normal(size=80)
    result = fit(lambda a, b: norm.logpdf(COUNTS, a * X + b * z).sum(), {"a": 0.0, "b": 0.0})
    assert result.converged
    assert not result.se_reliable
    (finding,) = result.diagnose().findings
    assert finding.kind == "nearly flat"
    assert "b - a" in finding.message or "a - b" in finding.message


def test_a_parameter_that_does_nothing() -> None:
    result = quietly(lambda mu, nothing: norm.logpdf(X, mu).sum(), {"mu": 0.0, "nothing": 1.0})
    assert_no_errors(result)
    assert "idle" in result.diagnose().kinds
    assert "does not bend with nothing" in str(result.diagnose())


def test_separation() -> None:
    x = np.array([-2.0, -1.0, 1.0, 3.0])
    y = (x > 0.0).astype(float)
    result = quietly(lambda slope: bernoulli.logpmf(y, expit(slope * x)).sum(), {"slope": 0.0})
    assert not result.converged
    assert "rising" in result.diagnose().kinds
    assert "keeps rising along slope" in str(result.diagnose())
    assert "separated" in str(result.diagnose())


def test_a_mixture_that_collapses_onto_one_observation() -> None:
    data = np.array([0.0, 0.3, 0.5, 1.1, 1.4, 2.2, 2.3, 3.1])

    def mixture(mu: Any, log_sigma: Any) -> Any:
        narrow = np.exp(norm.logpdf(data, mu, np.exp(log_sigma)))
        return np.log(0.5 * narrow + 0.5 * np.exp(norm.logpdf(data, 1.5, 1.0))).sum()

    result = quietly(mixture, {"mu": 0.0, "log_sigma": -3.0})
    assert not result.converged
    diagnosis = result.diagnose()
    assert {"rising", "not a maximum", "edge"} & set(diagnosis.kinds), diagnosis
    assert "log_sigma" in str(diagnosis)


def test_a_saddle() -> None:
    result = quietly(lambda a, b: b * b - a * a - b**4, {"a": 1.0, "b": 0.0})
    assert_no_errors(result)
    assert "not a maximum" in result.diagnose().kinds
    assert "curves upwards along b" in str(result.diagnose())


def test_a_maximum_at_the_edge_of_the_support() -> None:
    data = np.array([1.0, 2.0, 4.0])
    result = quietly(lambda loc: expon.logpdf(data, loc).sum(), {"loc": 0.0})
    assert not result.converged
    kinds = result.diagnose().kinds
    assert "edge" in kinds
    assert "loc up to where it stops being finite, near 1" in str(result.diagnose())


def test_a_parameter_at_the_end_of_its_range() -> None:
    y = np.ones(5)
    result = quietly(lambda p: bernoulli.logpmf(y, p).sum(), {"p": 0.5}, transforms={"p": unit})
    assert not result.converged
    text = str(result.diagnose())
    assert "bound: p = 1 is at the end of its range" in text or "keeps rising along logit(p)" in text


def test_fewer_observations_than_parameters() -> None:
    x, y = RNG.normal(size=(3, 5)), np.array([1.0, 0.0, 2.0])
    result = quietly(lambda beta: norm.logpdf(y, x @ beta).sum(), {"beta": np.zeros(5)}, nobs=3)
    assert_no_errors(result)
    assert "few data: 3 observations cannot determine 5 parameters" in str(result.diagnose())


def test_bad_units() -> None:
    result = fit(
        lambda a, b: norm.logpdf(X, 1e6 * a).sum() + norm.logpdf(X, 1e-6 * b).sum(),
        {"a": 0.0, "b": 0.0},
        "newton",
    )
    assert "scaling" in result.diagnose().kinds
    assert "b moves in steps of 1e+05" in str(result.diagnose())


def test_a_likelihood_far_from_a_parabola() -> None:
    y = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 0.0])
    result = fit(lambda p: bernoulli.logpmf(y, p).sum(), {"p": 0.5}, transforms={"p": interval(0.0, 1.0)})
    flat = fit(lambda b: -2.5 * b * b / (1.0 + b * b), {"b": 0.3})
    assert flat.diagnose().kinds == ("not quadratic",)
    assert "conf_int(method='profile')" in str(flat.diagnose())
    assert result.converged


# Bad input --------------------------------------------------------------------------------------------------


def test_constant_data() -> None:
    data = np.full(10, 3.0)
    result = quietly(lambda mu, log_s: norm.logpdf(data, mu, np.exp(log_s)).sum(), {"mu": 0.0, "log_s": 0.0})
    assert not result.converged
    assert not result.diagnose().is_fine


def test_nan_in_the_data_is_told_with_the_line() -> None:
    data = np.array([1.0, np.nan])
    with pytest.raises(ValueError, match=r"log-likelihood is nan at the start"):
        fit(lambda mu: norm.logpdf(data, mu).sum(), {"mu": 1.0})


def test_no_rows() -> None:
    data = np.empty(0)
    with pytest.raises(ValueError, match=r"constant around the start|no rows|no observations"):
        fit(lambda mu: norm.logpdf(data, mu).sum(), {"mu": 1.0})


def test_a_start_outside_of_a_transform() -> None:
    with pytest.raises(ValueError, match=r"sigma must be greater than 0 \(positive\), not -1"):
        fit(
            lambda mu, sigma: norm.logpdf(X, mu, sigma).sum(),
            {"mu": 0.0, "sigma": -1.0},
            transforms={"sigma": positive},
        )


def test_names_that_clash() -> None:
    with pytest.raises(ValueError, match="x"):
        fit(lambda x: norm.logpdf(X, x).sum(), {"x": 0.0}, data={"x": X})
