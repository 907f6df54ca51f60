"""What the data do not determine, and what they determine all the same."""

import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from numpy.typing import NDArray
from scipy.special import expit

from tapegrad import fit, load
from tapegrad.mle import ConvergenceWarning, FitResult, StandardErrorWarning
from tapegrad.mle.infer.flat import undetermined
from tapegrad.mle.transforms import positive, unit
from tapegrad.stats import norm, poisson

RNG = np.random.default_rng(1)


def quietly(*args: Any, **options: Any) -> FitResult:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StandardErrorWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        return fit(*args, **options)


# The last interval of a capture-recapture model -------------------------------------------------------------

OCCASIONS, RELEASED = 5, 100


def m_array() -> tuple[NDArray[Any], NDArray[Any]]:
    """Numbers first recaptured, by occasions of release and of recapture, and never."""
    seen, never = np.zeros((OCCASIONS, OCCASIONS)), np.zeros(OCCASIONS)
    for i in range(OCCASIONS):
        cells = [0.8 * 0.5 * (0.8 * 0.5) ** (j - i) for j in range(i, OCCASIONS)]
        *seen[i, i:], never[i] = RNG.multinomial(RELEASED, [*cells, 1.0 - sum(cells)])
    return seen, never


SEEN, NEVER = m_array()


def cormack_jolly_seber(phi: Any, p: Any) -> Any:
    """R. M. Cormack 1964: only the product of the last survival and the last recapture is identified."""
    total = 0.0
    for i in range(OCCASIONS):
        alive, left = 1.0, 1.0
        for j in range(i, OCCASIONS):
            cell = alive * phi[j] * p[j]
            total, left = total + SEEN[i, j] * np.log(cell), left - cell
            alive = alive * phi[j] * (1.0 - p[j])
        total = total + NEVER[i] * np.log(left)
    return total


def with_the_product(phi: Any, p: Any, last: Any) -> Any:
    """The same with that product for a parameter."""
    one = last / last
    return cormack_jolly_seber(
        [*(phi[j] for j in range(OCCASIONS - 1)), last], [*(p[j] for j in range(4)), one]
    )


IDENTIFIED = fit(with_the_product, dict(phi=np.full(4, 0.7), p=np.full(4, 0.5), last=0.4))


@pytest.mark.parametrize("method", ["bfgs", "newton", "lbfgs", "trust"])
@pytest.mark.parametrize("transforms", [None, dict(phi=unit, p=unit)], ids=["natural", "logit"])
@pytest.mark.parametrize("start", [0.5, 0.8])
def test_what_a_flat_direction_does_not_move_keeps_its_errors(
    method: str, transforms: Any, start: float
) -> None:
    params = dict(phi=np.full(5, start), p=np.full(5, 0.5))
    with pytest.warns(StandardErrorWarning, match=r"no standard errors of phi\[4\], p\[4\]: .* flat along"):
        result = fit(cormack_jolly_seber, params, method, transforms=transforms)
    assert not result.converged
    assert result.llf == pytest.approx(IDENTIFIED.llf, rel=1e-12)
    phi, p, last = IDENTIFIED.bse[:4], IDENTIFIED.bse[4:8], IDENTIFIED.bse[8]
    np.testing.assert_allclose(result.bse, [*phi, np.nan, *p, np.nan], rtol=1e-6)
    cov = IDENTIFIED.cov_params()[:8, :8]
    kept = np.r_[0:4, 5:9]
    np.testing.assert_allclose(result.cov_params()[np.ix_(kept, kept)], cov, atol=1e-9)
    product = result.delta(lambda phi, p: dict(last=phi[4] * p[4], first=phi[0] * p[0], alone=phi[4]))
    first = IDENTIFIED.delta(lambda phi, p, last: phi[0] * p[0]).bse[0]
    np.testing.assert_allclose(product.bse, [last, first, np.nan], rtol=1e-6)
    assert np.isnan(product.cov[2]).all()
    assert np.isfinite(product.cov[:2, :2]).all()
    assert product.names == ("last", "first", "alone")


def test_the_summary_says_which_and_why() -> None:
    result = quietly(cormack_jolly_seber, dict(phi=np.full(5, 0.5), p=np.full(5, 0.5)))
    text = str(result.summary())
    assert re.search(r"^phi\[4\] +0\.\d+ +nan +nan +nan$", text, re.M)
    assert re.search(r"^phi\[3\] +0\.\d+ +0\.0\d+ ", text, re.M)
    assert "no standard errors of phi[4], p[4]: the log-likelihood is flat along" in text
    assert "the others do not move along it" in text
    test = result.wald_test("phi[0] = p[0]")
    theirs = IDENTIFIED.wald_test("phi[0] = p[0]")
    assert test.statistic == pytest.approx(theirs.statistic, rel=1e-6)
    with pytest.raises(ValueError, match="a Wald test needs standard errors"):
        result.wald_test("phi[4] = p[4]")


def test_a_file_keeps_the_directions(tmp_path: Any) -> None:
    result = quietly(cormack_jolly_seber, dict(phi=np.full(5, 0.5), p=np.full(5, 0.5)))
    result.save(tmp_path / "fit.json")
    again = load(tmp_path / "fit.json")
    np.testing.assert_array_equal(again.bse, result.bse)
    assert str(again) == str(result)


# An intercept and all levels of a factor --------------------------------------------------------------------

N = 200
LEVELS = np.eye(3)[np.arange(N) % 3]
DESIGN = np.column_stack([np.ones(N), LEVELS, RNG.normal(size=N)])
EVENTS = (RNG.random(N) < expit(DESIGN @ [-0.5, 0.5, 0.0, -0.2, 0.3])) * 1.0


def logistic(b: Any) -> Any:
    eta = DESIGN @ b
    return EVENTS * eta - np.logaddexp(0.0, eta)


@pytest.mark.parametrize("method", ["bfgs", "newton"])
def test_contrasts_of_a_factor_that_is_aliased(method: str) -> None:
    result = quietly(logistic, dict(b=np.zeros(5)), method)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The design matrix is rank-deficient")
        theirs = sm.GLM(EVENTS, DESIGN, sm.families.Binomial()).fit(tol=1e-14)  # by the pseudoinverse
    assert result.llf == pytest.approx(theirs.llf, rel=1e-12)
    np.testing.assert_allclose(result.bse, [np.nan] * 4 + [theirs.bse[4]], rtol=1e-6)
    contrasts = np.array([[0, 1, -1, 0, 0], [1, 0, 1, 0, 0], [0, 0, 1, -1, 2.0], [0, 1, 0, 0, 0]])
    derived = result.delta(lambda b: contrasts @ b)
    expected = np.sqrt(np.diag(contrasts @ theirs.cov_params() @ contrasts.T))
    np.testing.assert_allclose(derived.bse, [*expected[:3], np.nan], rtol=1e-6)
    np.testing.assert_allclose(derived.x[:3], (contrasts @ theirs.params)[:3], atol=1e-6)


@pytest.mark.parametrize("cov_type", ["HC0", "opg"])
def test_robust_errors_of_what_is_determined(cov_type: str) -> None:
    result = quietly(logistic, dict(b=np.zeros(5)), cov_type=cov_type)

    def fewer(b: Any) -> Any:
        eta = DESIGN[:, 1:] @ b
        return EVENTS * eta - np.logaddexp(0.0, eta)

    whole = fit(fewer, dict(b=np.zeros(4)), cov_type=cov_type)
    np.testing.assert_allclose(result.bse[4], whole.bse[3], rtol=1e-6)
    assert np.isnan(result.bse[:4]).all()


def test_two_flat_directions() -> None:
    def loglik(a: Any, b: Any, c: Any, d: Any, e: Any) -> Any:
        return norm.logpdf(EVENTS, a + b, np.exp(c * d)).sum() - (e - 1.0) ** 2

    result = quietly(loglik, dict(a=0.0, b=0.3, c=1.0, d=-0.5, e=0.0))
    sd = EVENTS.std()
    np.testing.assert_allclose(result.bse, [np.nan] * 4 + [np.sqrt(0.5)], rtol=1e-9)
    derived = result.delta(lambda a, b, c, d, e: [a + b, c * d, a - b])
    np.testing.assert_allclose(derived.bse, [sd / np.sqrt(N), 1.0 / np.sqrt(2.0 * N), np.nan], rtol=1e-6)
    assert str(result).count("flat along") == 1
    assert "and along" in str(result)


@pytest.mark.parametrize("gap", [1e-7, 1e-8, 1e-9])
def test_nearly_collinear_is_not_flat(gap: float) -> None:
    # Other coefficients share in the error of the difference, as much as they are correlated with it.
    z = RNG.normal(size=N)
    columns = np.column_stack([np.ones(N), z, z + gap * RNG.normal(size=N), RNG.normal(size=N)])
    result = quietly(
        lambda b: poisson.logpmf(EVENTS, np.exp(columns @ b)).sum(), dict(b=np.zeros(4)), "newton"
    )
    assert result.flat is None
    assert np.isnan(result.bse).all() or np.isfinite(result.bse).all()


def test_units_far_apart_are_not_flat() -> None:
    units = np.array([1e-9, 1.0, 1e12])
    result = fit(
        lambda b: -0.5 * (((b - 1.0 * units) / units) ** 2).sum() - b.sum() * 0.0, units * 1.1, "newton"
    )
    assert result.converged
    assert result.flat is None
    np.testing.assert_allclose(result.bse, units)


@pytest.mark.parametrize(
    "loglik",
    [
        lambda a, b: -(a**4) - b * b,  # no curvature, but not flat
        lambda a, b: a**3 - a**4 / 4.0 - b * b,  # a point of inflection
        lambda a, b: b * b - a * a - b**4,  # a saddle
        lambda a, b: -np.abs(a) - b * b,
    ],
)
def test_what_has_no_curvature_is_not_flat(loglik: Callable[..., Any]) -> None:
    from tapegrad import trace

    tape = trace(loglik, dict(a=0.1, b=0.1))
    x = np.zeros(2)
    assert undetermined(tape, x, -tape.hessian(x)) is None


# A variance estimated at 0 ----------------------------------------------------------------------------------

GROUPS, SIZE = 20, 6
DATA = RNG.normal(1.0, 1.0, (GROUPS, SIZE))
DATA = DATA - 0.9 * (DATA.mean(axis=1, keepdims=True) - DATA.mean())  # groups more alike than by chance


def one_way(mu: Any, between: Any, within: Any) -> Any:
    """Normal groups with means that vary, in standard deviations."""
    away = DATA - mu
    spread = within**2 + SIZE * between**2
    share = between**2 / spread
    squares, sums = (away**2).sum(axis=1), away.sum(axis=1)
    logdet = (SIZE - 1) * np.log(within**2) + np.log(spread)
    return -0.5 * (logdet + (squares - share * sums**2) / within**2)


def one_way_by_logs(mu: Any, log_between: Any, log_within: Any) -> Any:
    return one_way(mu, np.exp(log_between), np.exp(log_within))


@pytest.mark.parametrize("method", ["bfgs", "newton", "lbfgs"])
@pytest.mark.parametrize("by_logs", [False, True])
def test_a_variance_at_zero_is_at_the_boundary(method: str, by_logs: bool) -> None:
    if by_logs:
        model, start, transforms = one_way_by_logs, dict(mu=0.0, log_between=0.0, log_within=0.0), None
        told = r"at infinity: log_between = -\d+"
    else:
        model, start = one_way, dict(mu=0.0, between=1.0, within=1.0)
        transforms = dict(between=positive, within=positive)
        told = r"at the boundary: between = \d.*e-\d+, the log-likelihood levels off in log\(between\)"
    result = quietly(model, start, method, transforms=transforms)
    assert re.search(told, str(result))
    assert re.search(told, result.message)
    assert not result.converged
    # Without the variance this is a normal sample.
    sd, n = DATA.std(), DATA.size
    error_within = 1.0 / np.sqrt(2.0 * n) * (1.0 if by_logs else sd)
    np.testing.assert_allclose(result.bse, [sd / np.sqrt(n), np.nan, error_within], rtol=1e-5)
    assert result.x[0] == pytest.approx(DATA.mean(), rel=1e-7)


def test_the_whole_variance_keeps_its_error() -> None:
    transforms = dict(between=positive, within=positive)
    result = quietly(one_way, dict(mu=0.0, between=1.0, within=1.0), transforms=transforms)
    whole = result.delta(lambda mu, between, within: between**2 + within**2)
    np.testing.assert_allclose(whole.bse, DATA.var() * np.sqrt(2.0 / DATA.size), rtol=1e-5)


def test_a_variance_that_is_not_zero_has_its_error() -> None:
    spread = DATA + RNG.normal(0.0, 1.0, (GROUPS, 1))
    theirs = sm.MixedLM(spread.ravel(), np.ones(spread.size), np.repeat(np.arange(GROUPS), SIZE))
    expected = theirs.fit(reml=False)

    def loglik(mu: Any, between: Any, within: Any) -> Any:
        return one_way(mu - spread + DATA, between, within)

    transforms = dict(between=positive, within=positive)
    result = fit(loglik, dict(mu=0.0, between=1.0, within=1.0), transforms=transforms)
    assert result.converged
    assert result.flat is None
    np.testing.assert_allclose(result.x[0], expected.fe_params[0], rtol=1e-4)
    np.testing.assert_allclose(result.bse[0], expected.bse_fe[0], rtol=1e-3)
