"""The number of observations: right, or unknown."""

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import fit
from tapegrad.mle.transforms import positive
from tapegrad.special import logsumexp
from tapegrad.stats import norm, poisson

RNG = np.random.default_rng(3)
N, PATIENTS, NODES = 100, 226, 20
X = np.column_stack([np.ones(N), RNG.normal(size=(N, 2))])
Y = RNG.poisson(np.exp(X @ [0.5, 0.3, -0.2])).astype(float)
TIMES, DIED = RNG.exponential(size=N), (np.arange(N) % 3 == 0) * 1.0
GROUP = np.arange(N) % 7
TABLE = RNG.normal(size=(N, 4))
PICKED = RNG.integers(0, 3, N)
COV = np.cov(RNG.normal(size=(400, 13)).T)
NODE, WEIGHT = np.polynomial.hermite_e.hermegauss(NODES)
EVENTS = RNG.poisson(2.0, PATIENTS).astype(float)
TRANSITION, LOADING = np.array([[0.9, 0.1], [0.0, 0.8]]), np.array([1.0, 0.5])
B = dict(b=np.zeros(3))


def quadrature(mu, log_sd):
    rate = np.exp(mu + np.exp(log_sd) * NODE)
    given = poisson.logpmf(EVENTS[:, None], rate)
    return np.log((WEIGHT * np.exp(given)).sum(axis=1)).sum()


def quadrature_by_logsumexp(mu, log_sd):
    given = poisson.logpmf(EVENTS[:, None], np.exp(mu + np.exp(log_sd) * NODE))
    return logsumexp(given + np.log(WEIGHT), axis=1).sum()


def quadrature_in_a_loop(mu, log_sd):
    total = 0.0
    for count in EVENTS[:5]:
        total = total + np.log((WEIGHT * np.exp(poisson.logpmf(count, np.exp(mu + NODE)))).sum())
    return total + 0.0 * log_sd


def covariance_by_trace(load):
    sigma = np.outer(load, load) + np.eye(13)
    return -200.0 * (np.linalg.slogdet(sigma)[1] + np.trace(np.linalg.solve(sigma, COV)))


def covariance_by_product(load):
    sigma = np.outer(load, load) + np.eye(13)
    return -0.5 * (np.linalg.slogdet(sigma)[1] + (np.linalg.inv(sigma) * COV).sum())


def covariance_by_inverse(precision):
    return 0.5 * (np.linalg.slogdet(precision)[1] - np.trace(COV @ precision))


def covariance_of_one_variance(v):
    return -200.0 * (13.0 * np.log(v) + (np.diag(COV) / v).sum())


def kalman(phi, log_q):
    state, spread, total = np.zeros(2), np.eye(2), 0.0
    transition = phi * TRANSITION
    for value in Y[:6]:
        state, spread = transition @ state, transition @ spread @ transition.T + np.exp(log_q) * np.eye(2)
        scale = LOADING @ spread @ LOADING + 1.0
        gap = value - LOADING @ state
        gain = spread @ LOADING / scale
        state, spread = state + gain * gap, spread - np.outer(gain, LOADING @ spread)
        total = total - 0.5 * (np.log(scale) + gap**2 / scale)
    return total


def loop(mu):
    total = 0.0
    for value in Y[:5].tolist():
        total = total + norm.logpdf(value, mu, 1.0)
    return total


def loop_with_a_prior(b):
    total = 0.0
    for value in Y[:5].tolist():
        total = total + norm.logpdf(value, b[0], 1.0)
    return total - ((b - np.array([1.0, 2.0, 3.0])) ** 2).sum()


def growth_curves(a, b):
    years = np.array([0.0, 1.0, 2.0, 3.0])
    return sum(norm.logpdf(row, a + b * years, 1.0).sum() for row in TABLE[:5])


def groups(mu):
    return sum(norm.logpdf(part, mu, 1.0).sum() for part in np.split(Y, 5))


def assigned(mu):
    terms = np.zeros(N) + 0.0 * mu
    terms[Y > 1.0] = norm.logpdf(Y[Y > 1.0], mu, 1.0)
    terms[Y <= 1.0] = norm.logcdf(1.0, mu, 1.0)
    return terms.sum()


def survival(shape, b):
    scaled = (TIMES / np.exp(X @ b)) ** shape
    return (DIED * np.log(shape * scaled / TIMES)).sum() - scaled.sum()


def normal(mu, log_sigma):
    return -0.5 * (((Y - mu) / np.exp(log_sigma)) ** 2).sum() - N * log_sigma


def choices(b):
    utility = X @ b
    return (utility - logsumexp(utility, axis=1)[:, None])[np.arange(N), PICKED].sum()


KNOWN = {
    "a plain sum": (lambda mu: norm.logpdf(Y, mu, 1.0).sum(), dict(mu=0.0), N),
    "a sum and a term in n": (normal, dict(mu=0.0, log_sigma=0.0), N),
    "a sum over a scale": (lambda t: -((Y - t[0]) ** 2).sum() / np.exp(t[1]) ** 2 - N * t[1], np.zeros(2), N),
    "a regression": (lambda b: poisson.logpmf(Y, np.exp(X @ b)).sum(), B, N),
    "by dot": (lambda b: Y @ (X @ b) - np.exp(X @ b).sum(), B, N),
    "by einsum": (lambda b: np.einsum("i,i->", Y, np.einsum("ij,j->i", X, b)), B, N),
    "by einsum, columns last": (lambda b: np.einsum("i,ij,j->", np.exp(X @ b), X, b), B, None),
    "by einsum of what NumPy has added up": (lambda b: np.einsum("i,ij,j->", Y, X, b), B, None),
    "a mean": (lambda mu: norm.logpdf(Y, mu, 1.0).mean() * N, dict(mu=0.0), N),
    "a prior of numbers": (lambda mu: norm.logpdf(mu, 0.0, 5.0) + norm.logpdf(Y, mu, 1.0).sum(), 0.0, N),
    "a prior of a vector": (
        lambda b: poisson.logpmf(Y, np.exp(X @ b)).sum() + norm.logpdf(b, np.zeros(3), 5.0).sum(),
        B,
        N,
    ),
    "a prior by dot": (lambda b: -((X @ b - Y) ** 2).sum() - np.array([1.0, 2.0, 3.0]) @ b, B, N),
    "random effects": (
        lambda u, s: norm.logpdf(Y, u[GROUP], 1.0).sum() + norm.logpdf(u, 0.0, s).sum(),
        dict(u=np.zeros(7), s=1.0),
        N,
    ),
    "weights": (lambda mu: (DIED * norm.logpdf(Y, mu, 1.0)).sum(), dict(mu=0.0), N),
    "weights by dot": (lambda mu: DIED @ norm.logpdf(Y, mu, 1.0), dict(mu=0.0), N),
    "only some": (lambda mu: norm.logpdf(Y, mu, 1.0)[Y > 1.0].sum(), dict(mu=0.0), int((Y > 1.0).sum())),
    "assigned": (assigned, dict(mu=0.0), N),
    "censored": (survival, dict(shape=1.0, b=np.zeros(3)), N),
    "choices": (choices, np.zeros((3, 3)), N),
    "one-hot choices": (
        lambda b: (np.eye(3)[PICKED] * (X @ b - logsumexp(X @ b, axis=1)[:, None])).sum(),
        np.zeros((3, 3)),
        N,
    ),
    "several outcomes": (
        lambda b, low: -0.5 * ((TABLE - X @ b) @ np.linalg.inv(low @ low.T) * (TABLE - X @ b)).sum(),
        dict(b=np.zeros((3, 4)), low=np.eye(4)),
        N,
    ),
    "rows": (lambda mu: norm.logpdf(Y, mu, 1.0), dict(mu=0.0), N),
    "quadrature": (quadrature, dict(mu=0.0, log_sd=0.0), PATIENTS),
    "quadrature by logsumexp": (quadrature_by_logsumexp, dict(mu=0.0, log_sd=0.0), PATIENTS),
}
UNKNOWN = {
    "no data": (lambda a: -a * a, 0.0),
    "parameters alone": (lambda b: -(b**2).sum(), np.ones(3)),
    "quadrature in a loop": (quadrature_in_a_loop, dict(mu=0.0, log_sd=0.0)),
    "covariance by trace": (covariance_by_trace, np.ones(13)),
    "covariance by product": (covariance_by_product, np.ones(13)),
    "covariance by inverse": (covariance_by_inverse, np.eye(13)),
    "covariance of one variance": (covariance_of_one_variance, 1.0),
    "kalman": (kalman, dict(phi=1.0, log_q=0.0)),
    "loop": (loop, dict(mu=0.0)),
    "growth curves": (growth_curves, dict(a=0.0, b=0.0)),
    "groups": (groups, dict(mu=0.0)),
    "a table": (lambda mu: norm.logpdf(TABLE, mu, 1.0).sum(), 0.0),
    "a mean for each row": (lambda mu: norm.logpdf(Y, mu, 1.0).sum(), np.zeros(N)),
    "proportions": (
        lambda p: (
            np.array([30.0, 50.0, 20.0]) * np.log(np.stack([p * p, 2 * p * (1 - p), (1 - p) ** 2]))
        ).sum(),
        0.4,
    ),
    "concentrated": (lambda mu: -0.5 * N * np.log(((Y - mu) ** 2).sum()), 0.0),
    "two samples": (lambda mu: norm.logpdf(Y, mu, 1.0).sum() + norm.logpdf(Y[:40], mu, 2.0).sum(), 0.0),
}


@pytest.mark.parametrize(("loglik", "params", "n"), KNOWN.values(), ids=KNOWN)
def test_the_number_of_observations(loglik, params, n):
    assert tg.trace(loglik, params).nobs == n


@pytest.mark.parametrize(("loglik", "params"), UNKNOWN.values(), ids=UNKNOWN)
def test_what_is_not_known_is_not_guessed(loglik, params):
    assert tg.trace(loglik, params).nobs is None


def test_a_prior_of_other_length_beside_a_loop():
    # The three prior means are no observations, nor are they five.
    assert tg.trace(loop_with_a_prior, dict(b=np.zeros(3))).nobs is None


def test_data_tell_by_their_rows_if_all_agree():
    def by_row(mu, y, x):
        return sum(norm.logpdf(y[i], mu * x[i, 0], 1.0) for i in range(6))

    def centred(mu, y, s):
        return norm.logpdf(y, mu, s).sum()

    assert tg.trace(by_row, dict(mu=0.0), data=dict(y=Y[:6], x=X[:6])).nobs == 6
    assert tg.trace(by_row, dict(mu=0.0), data=dict(y=Y[:6], x=X[:7])).nobs is None
    assert tg.trace(centred, dict(mu=0.0), data=dict(y=Y, s=2.0)).nobs == N
    nodes = dict(node=NODE, weight=WEIGHT)
    by_nodes = tg.trace(
        lambda mu, node, weight: np.log(
            (weight * np.exp(norm.logpdf(EVENTS[:, None], mu + node, 1.0))).sum(axis=1)
        ).sum(),
        dict(mu=0.0),
        data=nodes,
    )
    assert by_nodes.nobs is None  # 20 nodes, and sums over 226 patients


def test_a_square_matrix_alone_may_be_a_covariance_matrix():
    def loglik(v, s):
        return -0.5 * (np.linalg.slogdet(v * np.eye(13))[1] + np.trace(s) / v)

    assert tg.trace(loglik, dict(v=1.0), data=dict(s=COV)).nobs is None


def test_constraints_do_not_hide_the_rows():
    def loglik(mu, sigma):
        return norm.logpdf(Y, mu, sigma).sum()

    assert fit(loglik, dict(mu=1.0, sigma=1.0), transforms=dict(sigma=positive)).nobs == N
    traced = tg.trace(loglik, dict(mu=1.0, sigma=1.0))
    assert fit(traced, dict(mu=1.0, sigma=1.0), transforms=dict(sigma=positive)).nobs == N


def test_frequency_weights_count_rows():
    weights = np.where(Y > 0.0, 2.0, 1.0)
    result = fit(lambda mu: norm.logpdf(Y, mu, 1.0), dict(mu=0.0), weights=weights)
    assert result.nobs == N
