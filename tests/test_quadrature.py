"""Adaptive Gauss-Hermite quadrature, held against numerical integration, differences, and R's lme4."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from scipy.integrate import dblquad, quad
from scipy.special import gammaln
from scipy.stats import binom

import tapegrad as tg
from tapegrad.marginal.inner import InnerProblem
from tapegrad.marginal.quadrature import Quadrature
from tapegrad.marginal.shares import NoQuadrature, NoShares
from tapegrad.mle.transforms import positive
from tapegrad.stats import binom as tg_binom
from tapegrad.stats import norm, poisson

RNG = np.random.default_rng(3)
GROUP = np.repeat(np.arange(8), 5)
X = RNG.normal(size=40)
Y = RNG.poisson(np.exp(0.3 + 0.8 * RNG.normal(size=8)[GROUP] + 0.5 * X)).astype(float)


def counts(b, log_sd, u):
    effects = norm.logpdf(u, 0.0, np.exp(log_sd)).sum()
    return effects + poisson.logpmf(Y, np.exp(b[0] + b[1] * X + u[GROUP])).sum()


def mixed_sizes(b, log_sd, z, u, w):
    """Slopes that are correlated with intercepts, and in three groups a third random effect."""
    r = np.tanh(z)
    slope = r * u[:, 0] + np.sqrt(1.0 - r**2) * u[:, 1]
    eta = b[0] + b[1] * X + np.exp(log_sd[0]) * u[GROUP, 0] + np.exp(log_sd[1]) * slope[GROUP] * X
    eta = np.concatenate([eta[:15] + 0.3 * w[GROUP[:15]] * X[:15] ** 2, eta[15:]])
    return norm.logpdf(u).sum() + norm.logpdf(w).sum() + poisson.logpmf(Y, np.exp(eta)).sum()


MODELS = {
    "one": (counts, dict(b=np.zeros(2), log_sd=0.0, u=np.zeros(8)), ["u"], np.array([0.2, 0.4, -0.2])),
    "two and three": (
        mixed_sizes,
        dict(b=np.zeros(2), log_sd=np.zeros(2), z=0.2, u=np.zeros((8, 2)), w=np.zeros(3)),
        ["u", "w"],
        np.array([0.2, 0.4, -0.2, -0.6, 0.3]),
    ),
}


def marginals(name, nodes):
    joint, start, random, at = MODELS[name]
    return tg.laplace(joint, start, random=random, quadrature=nodes), at


def quadrature(name, nodes):
    """By the class itself, which takes one node, too."""
    joint, start, random, at = MODELS[name]
    laplace = tg.laplace(joint, start, random=random)._marginal
    return laplace, Quadrature(laplace.joint, laplace.start, nodes), at


@pytest.mark.parametrize("name", MODELS)
def test_one_node_is_laplace(name):
    laplace, one, at = quadrature(name, 1)
    assert one.value_flat(at) == pytest.approx(laplace.value_flat(at), rel=1e-13)
    expected = laplace.value_and_grad_flat(at)[1]
    assert one.value_and_grad_flat(at)[1] == pytest.approx(expected, rel=1e-11, abs=1e-11)
    assert one.hessian_flat(at) == pytest.approx(laplace.hessian_flat(at), rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("nodes", [2, 3])
@pytest.mark.parametrize("name", MODELS)
def test_derivatives_follow_the_nodes(name, nodes):
    """With few nodes their places matter: against differences of sixth order."""
    marginal, at = marginals(name, nodes)
    gradient, hessian = marginal.value_and_grad_flat(at)[1], marginal.hessian_flat(at)
    step = 3e-3
    for i, move in enumerate(step * np.eye(at.size)):
        ends = [marginal.value_and_grad_flat(at + k * move) for k in (3, 2, 1, -1, -2, -3)]
        weights = np.array([1.0, -9.0, 45.0, -45.0, 9.0, -1.0]) / (60.0 * step)
        assert gradient[i] == pytest.approx(weights @ [value for value, _ in ends], rel=1e-8, abs=1e-9)
        assert hessian[i] == pytest.approx(weights @ np.array([g for _, g in ends]), rel=1e-8, abs=1e-9)


def test_many_nodes_are_the_integral():
    def of_group(g):
        mine = g == GROUP

        def density(u):
            rates = np.exp(0.2 + 0.4 * X[mine] + u)
            terms = Y[mine] * np.log(rates) - rates - gammaln(Y[mine] + 1.0)
            return np.exp(terms.sum() - 0.5 * (u * np.exp(0.2)) ** 2 + 0.2 - 0.5 * np.log(2.0 * np.pi))

        return np.log(quad(density, -8.0, 8.0, epsabs=1e-15, epsrel=1e-12, limit=200)[0])

    exact = sum(map(of_group, range(8)))
    found = {n: marginals("one", n)[0].value_flat(MODELS["one"][3]) for n in (1, 7, 15, 25)}
    assert found[25] == pytest.approx(exact, rel=1e-10)
    assert abs(found[1] - exact) > 0.02
    assert abs(found[7] - exact) < 1e-3
    assert abs(found[15] - exact) < 1e-6


def test_two_random_effects_are_integrated_together():
    """One group with a correlated intercept and slope, against a double integral."""
    x, y = X[:5], Y[:5]

    def joint(b, z, u):
        eta = b + u[0] + (np.tanh(z) * u[0] + u[1]) * x
        return norm.logpdf(u).sum() + poisson.logpmf(y, np.exp(eta)).sum()

    def density(u1, u0):
        eta = 0.3 + u0 + (np.tanh(0.4) * u0 + u1) * x
        terms = (y * eta - np.exp(eta) - gammaln(y + 1.0)).sum() - 0.5 * (u0**2 + u1**2)
        return np.exp(terms) / (2.0 * np.pi)

    exact = np.log(dblquad(density, -7.0, 7.0, -7.0, 7.0, epsabs=1e-13, epsrel=1e-10)[0])
    start = dict(b=0.0, z=0.0, u=np.zeros(2))
    at = dict(b=0.3, z=0.4)
    assert tg.laplace(joint, start, random="u", quadrature=25)(at) == pytest.approx(exact, rel=1e-8)
    assert abs(tg.laplace(joint, start, random="u")(at) - exact) > 1e-3


def test_three_nodes_by_their_formula():
    """The rule of three nodes written out in mpmath, gradient by mpmath's differences in 40 digits."""
    mpmath.mp.dps = 40
    y, mp = 2, mpmath

    def log_integral(c, log_sd):
        sd = mp.exp(log_sd)

        def f(u):
            return (
                y * (c + u) - mp.exp(c + u) - mp.log(2) - u**2 / (2 * sd**2) - log_sd - mp.log(2 * mp.pi) / 2
            )

        u = mp.findroot(lambda u: y - mp.exp(c + u) - u / sd**2, 0.1)
        root = 1 / mp.sqrt(mp.exp(c + u) + 1 / sd**2)
        x, w = [-mp.sqrt(1.5), mp.mpf(0), mp.sqrt(1.5)], [mp.sqrt(mp.pi) / 6, 2 * mp.sqrt(mp.pi) / 3]
        nodes = zip(x, [w[0], w[1], w[0]], strict=True)
        return mp.log(
            sum(v * mp.exp(f(u + mp.sqrt(2) * root * t) + t**2) for t, v in nodes) * mp.sqrt(2) * root
        )

    def joint(c, log_sd, u):
        return norm.logpdf(u, 0.0, np.exp(log_sd)) + poisson.logpmf(2.0, np.exp(c + u))

    marginal = tg.laplace(joint, dict(c=0.0, log_sd=0.0, u=0.0), random="u", quadrature=3)
    at = (mp.mpf("0.3"), mp.mpf("-0.2"))
    value, gradient = marginal.value_and_grad_flat(np.array([0.3, -0.2]))
    assert value == pytest.approx(float(log_integral(*at)), rel=1e-14)
    expected = [float(mp.diff(log_integral, at, order)) for order in ((1, 0), (0, 1))]
    assert gradient == pytest.approx(expected, rel=1e-12)
    second = [float(mp.diff(log_integral, at, order)) for order in ((2, 0), (1, 1), (0, 2))]
    hessian = marginal.hessian_flat(np.array([0.3, -0.2]))
    assert hessian[np.triu_indices(2)] == pytest.approx(second, rel=1e-11)


# Of lme4's data set cbpp; the numbers are those of lme4 1.1-31 in R 4.2.2, with tolPwrss=1e-13 for one node

SIZE = np.fromstring(
    "14 12 9 5 22 18 21 22 16 16 20 10 10 9 6 18 25 24 4 17 17 18 20 16 10 9 5 34 9 6 8 6 22 22 18 22 25 27 "
    "22 22 10 8 6 5 21 24 19 23 19 2 3 2 19 15 15 15",
    sep=" ",
)
SICK = np.fromstring(
    "2 3 4 0 3 1 1 8 2 0 2 2 0 2 0 5 0 0 1 3 0 0 1 8 1 3 0 12 2 0 0 0 1 1 0 2 0 5 3 1 2 1 0 0 1 2 0 0 11 0 0 "
    "0 1 1 1 0",
    sep=" ",
)
PERIOD = np.array([0, 1, 2, 3, 0, 1, 2, *[0, 1, 2, 3] * 5, 0, *[0, 1, 2, 3] * 7])
HERD = np.cumsum(PERIOD == 0) - 1
DESIGN = np.column_stack([np.ones(56), *(k == PERIOD for k in (1, 2, 3))]).astype(float)


def herds(beta, sd, u):
    p = 1.0 / (1.0 + np.exp(-(DESIGN @ beta + sd * u[HERD])))
    return norm.logpdf(u).sum() + tg_binom.logpmf(SICK, SIZE, p).sum()


LME4 = {
    1: ([-1.3985321480, -0.9923326545, -1.1286720113, -1.5803139264, 0.6422614396], -92.0262818715),
    9: ([-1.3992301787, -0.9914038736, -1.1278197030, -1.5794710239, 0.6475177029], -50.0050180310),
    25: ([-1.3992304526, -0.9914036771, -1.1278194565, -1.5794707541, 0.6475184750], -50.0050152684),
}


@pytest.mark.parametrize("nodes", LME4)
def test_fits_are_those_of_lme4(nodes):
    estimates, llf = LME4[nodes]
    start = dict(beta=np.zeros(4), sd=1.0, u=np.zeros(15))
    found = tg.fit(herds, start, random="u", quadrature=nodes, transforms=dict(sd=positive), nobs=56)
    assert found.converged
    assert found.x == pytest.approx(estimates, abs=2e-5)
    if nodes > 1:  # lme4 then leaves out the log-likelihood of the saturated model
        llf += binom.logpmf(SICK, SIZE, SICK / SIZE).sum()
    assert found.llf == pytest.approx(llf, abs=1e-5)
    assert found.quadrature == nodes


# What belongs to the fit ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted():
    start = dict(b=np.zeros(2), log_sd=0.0, u=np.zeros(8))
    return tg.fit(counts, start, random="u", quadrature=9, nobs=40)


def test_summary_and_storage_tell_of_the_nodes(fitted, tmp_path):
    told = "Integrated out by adaptive Gauss-Hermite quadrature, 9 nodes along each random effect"
    assert told in str(fitted.summary())
    fitted.save(tmp_path / "fit.json")
    stored = tg.load(tmp_path / "fit.json")
    assert stored.quadrature == 9
    assert told in str(stored.summary())


def test_intervals_by_profile_and_scores_go_with_it():
    def rows(b, log_sd, u):
        return norm.logpdf(u, 0.0, np.exp(log_sd)) + poisson.logpmf(
            Y.reshape(8, 5), np.exp(b[0] + b[1] * X.reshape(8, 5) + u[:, None])
        ).sum(axis=1)

    start = dict(b=np.zeros(2), log_sd=0.0, u=np.zeros(8))
    found = tg.fit(rows, start, random="u", quadrature=5, cov_type="opg")
    scores = np.zeros((8, 3))
    for g in range(8):
        x, y = X[5 * g : 5 * g + 5], Y[5 * g : 5 * g + 5]

        def one(b, log_sd, u, x=x, y=y):
            effect = norm.logpdf(u, 0.0, np.exp(log_sd))
            return effect + poisson.logpmf(y, np.exp(b[0] + b[1] * x + u)).sum()

        alone = tg.laplace(one, dict(b=np.zeros(2), log_sd=0.0, u=0.0), random="u", quadrature=5)
        scores[g] = alone.value_and_grad_flat(found.x)[1]
    assert found.cov_params() == pytest.approx(np.linalg.inv(scores.T @ scores), rel=1e-8)
    low, high = found.conf_int(method="profile")[1]
    assert low < found.x[1] < high
    plain = tg.fit(rows, start, random="u", quadrature=5)
    held = [tg.fit(rows, start, random="u", quadrature=5, fixed={"b[1]": end}).llf for end in (low, high)]
    assert 2.0 * (plain.llf - np.array(held)) == pytest.approx([3.841459] * 2, rel=1e-5)


def test_a_mean_by_the_epsilon_method_is_that_of_laplace_alone(fitted):
    with pytest.raises(ValueError, match="bias_correct is by Laplace's method"):
        fitted.delta(lambda u: np.exp(u), bias_correct=True)
    assert fitted.delta(lambda u: u).x == pytest.approx(fitted.random.x)


# Where the shares of the groups are found -------------------------------------------------------------------


def sums_by_dot(c, log_sd, u):
    rest = u - c
    return -0.5 * (rest @ rest) / np.exp(2.0 * log_sd) - 6.0 * log_sd - np.exp(u).sum()


def scaled_and_shifted(c, log_sd, u):
    total = (-((u - c) ** 2) / np.exp(2.0 * log_sd) - 2.0 * np.exp(u)).sum() - 12.0 * log_sd
    return total / 2.0 + 3.0 * c - 3.0 * c


def from_a_table(c, log_sd, u):
    table = np.stack([-0.5 * (u - c) ** 2 / np.exp(2.0 * log_sd) - log_sd, -np.exp(u)])
    return (table.sum(axis=1) * np.array([1.0, 1.0])).sum()


def by_loop(c, log_sd, u):
    total = 0.0
    for i in range(6):
        total = total - 0.5 * ((u[i] - c) / np.exp(log_sd)) ** 2 - log_sd - np.exp(u[i])
    return total


@pytest.mark.parametrize("joint", [sums_by_dot, scaled_and_shifted, from_a_table, by_loop])
def test_shares_are_found_however_the_sum_is_written(joint):
    def one(u):
        return np.exp(-0.5 * ((u - 0.4) / np.exp(-0.3)) ** 2 + 0.3 - np.exp(u))

    exact = 6.0 * np.log(quad(one, -12.0, 6.0, epsabs=1e-14, epsrel=1e-12)[0])
    start = dict(c=0.0, log_sd=0.0, u=np.zeros(6))
    found = tg.laplace(joint, start, random="u", quadrature=40)
    assert found(dict(c=0.4, log_sd=-0.3)) == pytest.approx(exact, rel=1e-9)


def test_what_mixes_the_groups_is_named():
    def joint(c, u):
        return norm.logpdf(u, c).sum() - np.abs(np.exp(u).sum())

    marginal = tg.laplace(joint, dict(c=0.0, u=np.zeros(3)), random="u", quadrature=3)
    with pytest.raises(NoShares, match=r"mixed by abs at .*test_quadrature.py:\d+: `return norm"):
        marginal(dict(c=0.0))


def test_groups_that_are_too_large_are_named():
    def joint(c, u):
        return norm.logpdf(u[0]) + norm.logpdf(u[1:], u[:-1]).sum() - np.exp(c + u).sum()

    with pytest.raises(NoQuadrature, match=r"5 of them meet: u\[0\], u\[1\], u\[2\], u\[3\] and 1 more"):
        tg.fit(joint, dict(c=0.0, u=np.zeros(5)), random="u", quadrature=3)


@pytest.mark.parametrize("nodes", [0, 101, 2.5, True])
def test_numbers_of_nodes_are_checked(nodes):
    with pytest.raises(ValueError, match="a number of nodes, from 1 to 100"):
        tg.laplace(counts, MODELS["one"][1], random="u", quadrature=nodes)


def test_nodes_need_random_effects():
    with pytest.raises(ValueError, match="name them as random="):
        tg.fit(lambda s: -(s**2), dict(s=1.0), quadrature=3)


def test_outside_the_support_a_node_counts_nothing():
    """An effect with a gamma density, whose nodes reach below 0."""

    def joint(a, u):
        inside = u > 0.0
        safe = np.where(inside, u, 1.0)
        terms = np.where(inside, (np.exp(a) + 2.0) * np.log(safe) - 2.0 * safe, -np.inf)
        return terms.sum()

    marginal = tg.laplace(joint, dict(a=0.0, u=np.array([1.0, 2.0])), random="u", quadrature=60)
    shape = np.exp(0.1) + 3.0
    exact = 2.0 * (gammaln(shape) - shape * np.log(2.0))
    value, gradient = marginal.value_and_grad_flat(np.array([0.1]))
    assert value == pytest.approx(exact, rel=1e-3)  # the integrand has a kink
    step = 1e-4
    up, down = (marginal.value_flat(np.array([0.1 + s])) for s in (step, -step))
    assert gradient == pytest.approx([(up - down) / (2.0 * step)], rel=1e-6)


def test_a_node_that_is_no_number_is_named():
    def joint(a, u):
        with np.errstate(invalid="ignore"):
            return (np.exp(a) * np.log(u) - u).sum()

    marginal = tg.laplace(joint, dict(a=1.0, u=np.array([1.0, 2.0])), random="u", quadrature=15)
    with pytest.raises(InnerProblem, match=r"is nan at u\[0\] = -\d.*, a node of the quadrature"):
        marginal(dict(a=0.0))
