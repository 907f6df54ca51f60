"""Fits that go wrong say what is wrong, in the names of the parameters, and give no number in silence."""

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import expit

import tapegrad
from tapegrad.errors import UnusedParameterWarning
from tapegrad.mle import ConvergenceWarning, FitResult, StandardErrorWarning, fit
from tapegrad.mle.report.curvature import Finding
from tapegrad.mle.transforms import interval, positive, sum_to_zero, unit
from tapegrad.stats import bernoulli, expon, nbinom, norm, poisson

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
    x = np.column_stack([np.ones(80), np.random.default_rng(10).normal(size=(80, 2))])
    x = np.column_stack([x, x[:, 0] - 2.0 * x[:, 2]])
    result = quietly(lambda beta: poisson.logpmf(COUNTS, np.exp(x @ beta)).sum(), {"beta": np.zeros(4)})
    assert not result.converged
    # By leaving one of the three columns out, which changes nothing for the other one.
    fewer = fit(lambda b: poisson.logpmf(COUNTS, np.exp(x[:, :3] @ b)).sum(), {"b": np.zeros(3)})
    np.testing.assert_allclose(result.bse, [np.nan, fewer.bse[1], np.nan, np.nan], rtol=1e-8)
    diagnosis = result.diagnose()
    assert diagnosis.kinds == ("not converged", "flat")
    message = diagnosis.findings[1].message
    assert all(name in message for name in ("beta[0]", "beta[2]", "beta[3]"))
    assert "beta[1]" not in message
    assert "leave one out" in message


def test_nearly_collinear_columns() -> None:
    z = X + 1e-5 * np.random.default_rng(11).normal(size=80)
    result = fit(lambda a, b: norm.logpdf(COUNTS, a * X + b * z).sum(), {"a": 0.0, "b": 0.0})
    assert result.converged
    assert not result.se_reliable
    (finding,) = result.diagnose().findings
    assert finding.kind == "nearly flat"
    assert "b - a" in finding.message or "a - b" in finding.message


def test_a_parameter_that_does_nothing() -> None:
    result = quietly(lambda mu, nothing: norm.logpdf(X, mu).sum(), {"mu": 0.0, "nothing": 1.0})
    assert not result.converged
    np.testing.assert_allclose(result.bse, [1.0 / np.sqrt(len(X)), np.nan], rtol=1e-12)
    assert "idle" in result.diagnose().kinds
    assert "does not bend with nothing" in str(result.diagnose())


# A. Albert and J. A. Anderson 1984: separation is complete if a plane divides the classes, and quasi-complete
# if it does but for observations that lie on it.


@pytest.mark.parametrize("rows", [True, False])
def test_complete_separation(rows: bool) -> None:
    x = np.array([-2.0, -1.0, 1.0, 3.0])
    y = (x > 0.0).astype(float)

    def loglik(slope: Any) -> Any:
        values = bernoulli.logpmf(y, expit(slope * x))
        return values if rows else values.sum()

    result = quietly(loglik, {"slope": 0.0})
    assert not result.converged
    diagnosis = result.diagnose()
    assert diagnosis.kinds == ("not converged", "separation")
    count = "4 of 4 observations are" if rows else "all observations are"
    assert f"{count} predicted with certainty" in str(diagnosis)
    assert "keeps rising as slope grows" in str(diagnosis)


def test_quasi_complete_separation_counts_what_is_certain() -> None:
    group = np.repeat([0.0, 1.0], [12, 5])
    y = np.where(group == 1.0, 0.0, np.tile([0.0, 1.0, 1.0], 6)[: group.size])

    def loglik(a: Any, b: Any) -> Any:
        return bernoulli.logpmf(y, expit(a + b * group))

    diagnosis = quietly(loglik, {"a": 0.0, "b": 0.0}).diagnose()
    assert diagnosis.kinds == ("not converged", "separation")
    assert "5 of 17 observations are predicted with certainty" in str(diagnosis)
    assert "keeps rising as b falls" in str(diagnosis)
    # As one number, the log-likelihood does not say whose probabilities went to 1.
    whole = quietly(lambda a, b: loglik(a, b).sum(), {"a": 0.0, "b": 0.0}).diagnose()
    assert whole.kinds == ("not converged", "rising")
    assert "keeps rising as b falls" in str(whole)
    assert "separated classes" in str(whole)


def test_a_prior_ends_separation() -> None:
    x = np.array([-2.0, -1.0, 1.0, 3.0])
    y = (x > 0.0).astype(float)
    result = fit(
        lambda slope: bernoulli.logpmf(y, expit(slope * x)),
        {"slope": 0.0},
        logprior=lambda slope: norm.logpdf(slope, 0.0, 2.5),
    )
    assert result.converged
    assert not {"separation", "rising"} & set(result.diagnose().kinds)


def test_a_group_without_events_is_separation_too() -> None:
    counts, group = np.array([0.0, 0.0, 3.0, 5.0, 2.0]), np.array([1.0, 1.0, 0.0, 0.0, 0.0])
    result = quietly(lambda a, b: poisson.logpmf(counts, np.exp(a + b * group)), {"a": 0.0, "b": 0.0})
    assert "2 of 5 observations are predicted with certainty" in str(result.diagnose())


def test_a_component_that_collapses_onto_one_observation() -> None:
    data = np.array([0.0, 0.3, 0.5, 1.1, 1.4, 2.2, 2.3, 3.1])

    def mixture(mu: Any, log_sigma: Any) -> Any:
        narrow = np.exp(norm.logpdf(data, mu, np.exp(log_sigma)))
        return np.log(0.5 * narrow + 0.5 * np.exp(norm.logpdf(data, 1.5, 1.0)))

    start = {"mu": 0.5, "log_sigma": -3.0}
    result = quietly(mixture, start)
    assert not result.converged
    diagnosis = result.diagnose()
    assert "collapse" in diagnosis.kinds, diagnosis
    assert "the density of observation 2 (counted from 0) is e^" in str(diagnosis)
    whole = quietly(lambda mu, log_sigma: mixture(mu, log_sigma).sum(), start).diagnose()
    assert {"rising", "edge"} & set(whole.kinds), whole
    assert "log_sigma falls" in str(whole)


def test_a_scale_that_overflows_is_named() -> None:
    rng = np.random.default_rng(1)
    data = np.concatenate([rng.normal(54.0, 6.0, 60), rng.normal(80.0, 6.0, 110)])

    def mixture(share: Any, mu: Any, sigma: Any) -> Any:
        first = np.log(share) + norm.logpdf(data, mu[0], sigma[0])
        return np.logaddexp(first, np.log(1.0 - share) + norm.logpdf(data, mu[1], sigma[1]))

    start = {"share": 0.01, "mu": np.array([data[0], 70.0]), "sigma": np.array([1e-3, 10.0])}
    result = quietly(mixture, start, transforms={"share": unit, "sigma": positive})
    assert not result.converged
    assert "collapse" in result.diagnose().kinds
    assert "the density of observation 0 (counted from 0)" in str(result.diagnose())


def test_data_that_do_not_vary() -> None:
    data = np.full(10, 3.0)
    result = quietly(lambda mu, log_s: norm.logpdf(data, mu, np.exp(log_s)).sum(), {"mu": 0.0, "log_s": 0.0})
    assert not result.converged
    assert result.diagnose().kinds == ("not converged", "rising")
    assert "keeps rising as log_s falls" in str(result.diagnose())
    assert "data that do not vary" in str(result.diagnose())


def test_a_saddle() -> None:
    result = quietly(lambda a, b: b * b - a * a - b**4, {"a": 1.0, "b": 0.0}, maxiter=0)
    assert_no_errors(result)
    assert "not a maximum" in result.diagnose().kinds
    assert "curves upwards along b" in str(result.diagnose())


def test_a_maximum_at_the_edge_of_the_support() -> None:
    data = np.array([1.0, 2.0, 4.0])
    result = quietly(lambda loc: expon.logpdf(data, loc).sum(), {"loc": 0.0})
    assert not result.converged
    kinds = result.diagnose().kinds
    assert "edge" in kinds
    assert "rises as loc grows, up to where it stops being finite, near 1" in str(result.diagnose())


def test_a_maximum_at_the_lower_edge() -> None:
    data = np.array([1.0, 2.0, 4.0])
    result = quietly(
        lambda top: np.where(data.max() <= top, -3.0 * np.log(np.abs(top)), -np.inf).sum(), {"top": 9.0}
    )
    diagnosis = result.diagnose()
    assert "edge" in diagnosis.kinds
    assert "rises as top falls, up to where it stops being finite, near 4" in str(diagnosis)
    assert "not a maximum" not in diagnosis.kinds  # that it curves upwards there is no further news


@pytest.mark.parametrize("transform", [unit, interval(0.0, 1.0)])
def test_a_parameter_at_the_end_of_its_range(transform: Any) -> None:
    y = np.ones(5)
    result = quietly(lambda p: bernoulli.logpmf(y, p).sum(), {"p": 0.5}, transforms={"p": transform})
    assert not result.converged
    assert result.diagnose().kinds == ("not converged", "bound")
    assert "p = 1 is at the end of its range (logit(p" in str(result.diagnose())


def test_a_dispersion_that_is_not_there() -> None:
    counts = np.tile([3.0, 3.0, 3.0, 2.0, 4.0], 16)  # less dispersed than Poisson counts

    def loglik(log_mu: Any, alpha: Any) -> Any:
        return nbinom.logpmf(counts, 1.0 / alpha, 1.0 / (1.0 + alpha * np.exp(log_mu)))

    result = quietly(loglik, {"log_mu": 0.0, "alpha": 1.0}, transforms={"alpha": positive})
    assert "bound" in result.diagnose().kinds
    assert "is at the end of its range (log(alpha) = -" in str(result.diagnose())


@pytest.mark.parametrize("size", [1e-60, 1e-50, 1e50, 1e60])
def test_a_scale_in_units_beyond_all_exponentials_is_no_bound(size: float) -> None:
    waits = size * np.array([0.8, 2.9, 0.3, 1.6, 4.4])
    result = fit(lambda s: expon.logpdf(waits, scale=s).sum(), {"s": size}, transforms={"s": positive})
    assert result.converged
    assert result.params["s"] == pytest.approx(2.0 * size, rel=1e-9)
    assert "bound" not in result.diagnose().kinds


def test_a_maximum_with_a_wide_parabola_is_no_bound() -> None:
    # A gamma density of shape 0.05 in log(scale) has a standard error of 1 / sqrt(0.05) = 4.5.
    result = fit(lambda s: -0.05 * np.log(s) - 0.05e6 / s, {"s": 3e5}, transforms={"s": positive})
    assert result.converged
    assert result.params["s"] == pytest.approx(1e6, rel=1e-7)
    assert "bound" not in result.diagnose().kinds


@pytest.mark.parametrize("size", [1e-8, 1e8])
def test_small_and_large_units_are_no_bounds(size: float) -> None:
    result = fit(
        lambda mu, s: norm.logpdf(size * X, mu, s), {"mu": 0.0, "s": size}, transforms={"s": positive}
    )
    assert result.diagnose().is_fine, result.diagnose()
    apart = {"w": sum_to_zero}
    noise = np.random.default_rng(8).normal(size=60)
    y = size * (1.0 + np.repeat([3.0, -1.0, -2.0], 20) + noise)
    design = np.repeat(np.eye(3), 20, axis=0)
    result = fit(lambda w: norm.logpdf(y, size + design @ w, size), {"w": np.zeros(3)}, transforms=apart)
    assert result.diagnose().is_fine, result.diagnose()


def test_fewer_observations_than_parameters() -> None:
    x, y = np.random.default_rng(9).normal(size=(3, 5)), np.array([1.0, 0.0, 2.0])
    result = quietly(lambda beta: norm.logpdf(y, x @ beta).sum(), {"beta": np.zeros(5)}, nobs=3)
    assert_no_errors(result)
    assert "few data: 3 observations cannot determine 5 parameters" in str(result.diagnose())
    one = np.array([3.0])
    result = quietly(lambda mu, log_s: norm.logpdf(one, mu, np.exp(log_s)), {"mu": 0.0, "log_s": 0.0})
    assert result.diagnose().kinds == ("not converged", "few data", "rising")
    assert "1 observation cannot determine 2 parameters" in str(result.diagnose())


def test_bad_units() -> None:
    rng = np.random.default_rng(7)
    x = 1e6 * rng.normal(size=60)
    counts = rng.poisson(np.exp(1.0 + 3e-7 * x)).astype(float)

    def loglik(a: Any, b: Any) -> Any:
        return poisson.logpmf(counts, np.exp(a + b * x))

    def no_more(_: Any) -> None:
        raise StopIteration("the test")

    result = quietly(loglik, {"a": 0.0, "b": 0.0}, "gradient_ascent", callback=no_more)
    assert result.diagnose().kinds == ("not converged", "scaling")
    assert "use units in which they are nearer to each other" in str(result.diagnose())
    better = fit(loglik, {"a": 0.0, "b": 0.0}, "newton")
    assert better.diagnose().is_fine  # which the units have not kept from its maximum
    same_units = quietly(lambda a, b: loglik(a, 1e-6 * b), {"a": 0.0, "b": 0.0}, callback=no_more)
    assert same_units.diagnose().kinds == ("not converged",)


def test_straight_pieces() -> None:
    result = quietly(lambda m: -np.abs(X - m).sum(), {"m": 0.3})
    assert_no_errors(result)
    assert result.diagnose().kinds == ("not converged", "straight")


def test_a_likelihood_far_from_a_parabola() -> None:
    y = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 0.0])
    result = fit(lambda p: bernoulli.logpmf(y, p).sum(), {"p": 0.5}, transforms={"p": interval(0.0, 1.0)})
    flat = fit(lambda b: -2.5 * b * b / (1.0 + b * b), {"b": 0.3})
    assert flat.diagnose().kinds == ("not quadratic",)
    assert "conf_int(method='profile')" in str(flat.diagnose())
    assert result.converged


def test_a_hessian_that_is_not_finite() -> None:
    result = quietly(lambda a: -(np.abs(a - 1.0) ** 1.5), {"a": 1.0}, "nelder-mead")
    assert_no_errors(result)
    assert "not finite" in result.diagnose().kinds
    assert "the Hessian is not finite in a" in str(result.diagnose())


def test_other_names_are_kept_to() -> None:
    x = np.column_stack([np.ones(80), X, 2.0 * X])
    result = quietly(lambda beta: poisson.logpmf(COUNTS, np.exp(x @ beta)).sum(), {"beta": np.zeros(3)})
    finding = result.renamed(beta=["const", "dose", "twice"]).diagnose().findings[-1]
    assert finding.kind == "flat"
    assert "dose" in finding.message
    assert "twice" in finding.message
    assert "beta" not in finding.message
    zeros = quietly(lambda s: norm.logpdf(np.zeros(3), 0.0, s), {"s": 1.0}, transforms={"s": positive})
    assert "the end of its range (log(spread) = -" in str(zeros.renamed(s="spread").diagnose())


def test_as_html() -> None:
    good = fit(lambda mu: norm.logpdf(X, mu).sum(), {"mu": 0.0})
    assert good.diagnose()._repr_html_() == "<div>nothing found wrong with this fit</div>"
    bad = quietly(lambda **p: -((p["<a>"] - p["b"]) ** 2), {"<a>": 1.0, "b": 0.0})
    html = bad.diagnose()._repr_html_()
    assert html.startswith("<ul><li><b>not converged</b>: ")
    assert "&lt;a&gt;" in html
    assert "<a>" not in html


# Bad input --------------------------------------------------------------------------------------------------


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


def test_few_data_are_not_looked_for_where_their_number_is_unknown() -> None:
    def loop(a: Any, b: Any) -> Any:
        return sum(norm.logpdf(value, a + b, 1.0) for value in (1.0, 2.0, 4.0))

    told = "whether there are few data is not known: pass nobs= to fit"
    assert str(quietly(loop, {"a": 0.0, "b": 0.0}).diagnose()).endswith(f"\n{told}")
    assert told not in str(quietly(loop, {"a": 0.0, "b": 0.0}, nobs=3).diagnose())
    assert str(fit(lambda a: loop(a, 0.0), {"a": 0.0}).diagnose()) == "nothing found wrong with this fit"


def test_every_kind_of_finding_has_a_section_of_its_page() -> None:
    root = Path(tapegrad.__file__).parents[1]
    text = "".join(path.read_text(encoding="utf-8") for path in (root / "tapegrad/mle/report").glob("*.py"))
    kinds = set(re.findall(r'Finding\(\s*"([a-z ]+)"', text))
    page = (root / "docs/diagnosis.md").read_text(encoding="utf-8")
    sections = set(re.findall(r"^## (.+)$", page, re.M))
    assert len(kinds) > 10
    assert kinds <= sections
    assert Finding("not a maximum", "").page == "diagnosis.html#not-a-maximum"
