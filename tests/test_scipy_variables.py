"""Random variables of scipy.stats as objects, its multivariate distributions, and quantiles and moments."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from test_scipy_stats import CASES, LOC, SCALE, is_discrete, slopes

import tapegrad as tg

pytestmark = [
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::tapegrad.UnusedParameterWarning"),
]
X = np.array([0.3, 0.5, 0.9])


def agrees(f, *at, rtol=1e-6):
    """Trace `f`, and hold value and slopes against plain calls."""
    at = np.array(at, dtype=float)
    traced = tg.trace(f, at)
    assert traced(at) == pytest.approx(f(at), rel=1e-11, abs=1e-13)
    expected = slopes(f, at)
    np.testing.assert_allclose(traced.grad(at), expected, rtol=rtol, atol=1e-7 * np.abs(expected).max())


# Random variables as objects --------------------------------------------------------------------------------


def normal(v):
    return stats.Normal(mu=v[0], sigma=v[1])


def mixture(v):
    shares = np.array([v[0] / 2.0, 1.0 - v[0] / 2.0])
    return stats.Mixture([normal(v), stats.Normal(mu=0.0, sigma=2.0)], weights=shares)


class Decay:
    """A distribution of the user's."""

    __make_distribution_version__ = "1.16.0"
    parameters = {"k": (0, np.inf)}  # noqa: RUF012
    support = (0, np.inf)

    def pdf(self, x, k):
        return k * np.exp(-k * x)

    def cdf(self, x, k):
        return 1.0 - np.exp(-k * x)


Gamma, Weibull = stats.make_distribution(stats.gamma), stats.make_distribution(stats.weibull_min)
Own = stats.make_distribution(Decay())
VARIABLES = {
    "normal": normal,
    "shifted and scaled": lambda v: stats.Normal() * v[1] + v[0],
    "uniform": lambda v: stats.Uniform(a=-v[0], b=v[1]),
    "logistic": lambda v: stats.Logistic() * v[1] + v[0],
    "gamma": lambda v: Gamma(a=v[0]) * v[1] + 0.1,
    "weibull": lambda v: Weibull(c=v[0]) * v[1],
    "of one's own": lambda v: Own(k=v[0] + v[1]),
    "mixture": mixture,
    "truncated": lambda v: stats.truncate(normal(v), lb=-v[1], ub=2.0),
    "largest but two": lambda v: stats.order_statistic(normal(v), r=2, n=4),
    "log-normal": lambda v: stats.exp(normal(v)),
    "log-gamma": lambda v: stats.log(Gamma(a=v[0] + v[1])),
    "folded": lambda v: abs(normal(v)),
    "inverse gamma": lambda v: 1.0 / Gamma(a=v[0] + v[1]),
    "negative": lambda v: -normal(v),
}
METHODS = {
    **{name: lambda d, name=name: getattr(d, name)(X) for name in ("logpdf", "pdf", "cdf", "logcdf", "ccdf")},
    "logccdf": lambda d: d.logccdf(X),
    "cdf of two": lambda d: d.cdf(X - 0.17, X + 0.3),
    "logcdf of two": lambda d: np.real(d.logcdf(X - 0.17, X + 0.3)),
    "icdf": lambda d: d.icdf(X),
}
NO_FORMULA = {
    ("of one's own", "logccdf"): "integrals",
    ("of one's own", "icdf"): "a search",
    ("mixture", "icdf"): "a search",
    ("folded", "icdf"): "a search",
}
NOT_IN_SCIPY = {("mixture", "logcdf of two")}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", VARIABLES)
def test_random_variables_as_objects(name, method):
    if (name, method) in NOT_IN_SCIPY:
        return

    def f(v):
        return METHODS[method](VARIABLES[name](v)).sum()

    if (name, method) in NO_FORMULA:
        with pytest.raises(tg.TraceError, match=rf"no formula.*{NO_FORMULA[name, method]}"):
            tg.trace(f, np.array([0.6, 1.3]))
        return
    agrees(f, 0.6, 1.3)


def test_a_random_variable_made_outside_takes_traced_points():
    made = stats.Normal(mu=0.4, sigma=1.7)
    agrees(lambda v: made.logpdf(v).sum() + made.cdf(v[0], v[1] + 1.0), 0.6, 1.3)
    assert made.logpdf(0.2) == stats.norm.logpdf(0.2, 0.4, 1.7)


def test_points_in_the_wrong_order():
    agrees(lambda v: normal(v).cdf(X + 0.4, X - 0.2).sum() + normal(v).ccdf(X + 0.4, X).sum(), 0.6, 1.3)


# Vectors and matrices ---------------------------------------------------------------------------------------

S = np.array([[2.0, 0.3], [0.3, 1.0]])
THREE = np.array([[1.0, 0.2, 0.1], [0.2, 2.0, 0.1], [0.1, 0.1, 0.5]])
SHARES = np.array([0.2, 0.3, 0.5])
MULTIVARIATE = {
    "multivariate_normal": lambda d, v: d(v, THREE).logpdf(X) + d.pdf(X, v, np.eye(3)),
    "multivariate_t": lambda d, v: d(X, THREE * v[0], df=v[1] + 2.0).logpdf(v) + d.logpdf(X, v, THREE, 4),
    "matrix_normal": lambda d, v: d.logpdf(S, np.eye(2) * v[0], S * v[1], S) + d(S * v[0], S).logpdf(S),
    "matrix_t": lambda d, v: d.logpdf(THREE[:, :2], np.ones((3, 2)) * v[0], THREE * v[1], S, 5.0 + v[2]),
    "dirichlet": lambda d, v: d(v).logpdf(SHARES) + d.pdf(SHARES, v),
    "wishart": lambda d, v: d(v[0] + 4.0, S * v[1]).logpdf(S) + d.pdf(S, 5.0, S * v[2]),
    "invwishart": lambda d, v: d(v[0] + 4.0, S * v[1]).logpdf(S) + d.logpdf(1.3, 5.0, v[2]),
    "vonmises_fisher": lambda d, v: (
        d.logpdf(np.array([0.6, 0.8]), np.array([1.0, 0.0]), v[0])
        + d(v / np.sqrt(np.sum(v**2)), v[0]).logpdf(np.array([0.0, 0.6, 0.8]))
    ),
    "normal_inverse_gamma": lambda d, v: (
        d.logpdf(0.3, v[0], v[1], v[2], 2.0, v[1]) + d(v[0], v[1], v[2]).logpdf(0.1, 0.7)
    ),
    "multinomial": lambda d, v: d.logpmf([1, 2, 3], 6, v / v.sum()) + d(3, v / v.sum()).pmf([1, 1, 1]),
    "dirichlet_multinomial": lambda d, v: d(v, 6).logpmf([1, 2, 3]),
}


@pytest.mark.parametrize("name", MULTIVARIATE)
def test_distributions_of_vectors_and_matrices(name):
    dist = getattr(stats, name, None)
    if dist is not None:
        agrees(lambda v: MULTIVARIATE[name](dist, v), 0.3, 1.2, 0.7)


# Quantiles and moments --------------------------------------------------------------------------------------

Q = np.array([0.12, 0.4, 0.85])
SEARCHED = {
    *("argus", "dpareto_lognorm", "foldcauchy", "foldnorm", "gausshyper", "genhyperbolic"),
    *("geninvgauss", "irwinhall", "kappa4", "ksone", "kstwo", "levy_stable", "ncf", "nct", "ncx2"),
    *("norminvgauss", "recipinvgauss", "rel_breitwigner", "rice", "studentized_range"),
    "vonmises_line",
}
SEARCHED_TOO = {"pearson3"}


@pytest.mark.parametrize("name", [n for n in sorted(CASES) if not is_discrete(n) and n not in SEARCHED])
def test_quantiles(name):
    dist, count = getattr(stats, name), len(CASES[name])

    def f(v):
        shapes, loc, scale = [v[i] for i in range(count)], v[count], v[count + 1]
        return dist.ppf(Q, *shapes, loc, scale).sum() + dist.isf(Q[:2], *shapes, loc=loc, scale=scale).sum()

    at = [*CASES[name], LOC, SCALE]
    if name in SEARCHED_TOO:
        with pytest.raises(tg.TraceError):
            tg.trace(f, np.array(at))
        return
    agrees(f, *at, rtol=1e-5)


def test_quantiles_at_their_ends():
    q = np.array([0.0, 0.5, 1.0, 1.2, np.nan])
    for f in (lambda v: stats.gamma.ppf(q, v[0], 0.5, v[1]), lambda v: stats.gamma(v[0], 0.5, v[1]).isf(q)):
        at = np.array([2.5, 0.3])
        np.testing.assert_allclose(tg.trace(f, at)(at), f(at), rtol=1e-13)
    with pytest.raises(tg.TraceError, match=r"gives counts.*constant between steps"):
        tg.trace(lambda mu: stats.poisson.ppf(0.3, mu), 2.0)


def test_moments_medians_intervals_entropies_and_nnlf():
    for name, at in (("gamma", (2.5,)), ("t", (6.5,)), ("beta", (1.5, 2.5)), ("weibull_min", (1.4,))):
        dist = getattr(stats, name)

        def f(v, dist=dist, at=at):
            params = [*[v[i] for i in range(len(at))], v[-2], v[-1]]
            frozen = dist(*params)
            low, high = frozen.interval(0.8)
            spread = frozen.std() + dist.var(*params) + dist.mean(*params)
            return low - 2.0 * high + spread + frozen.median() + dist.entropy(*params)

        agrees(f, *at, 0.3, 1.4)
    agrees(lambda v: stats.gamma.nnlf((v[0], 0.1, v[1]), X) + stats.norm.nnlf((v[0], v[1]), X), 2.0, 1.3)
    agrees(lambda v: stats.binom.mean(10, v[0]) + stats.poisson(v[1]).std(), 0.3, 1.2)
