"""More packages: variograms, copulas, moments of samples, samplers, regularised models, test functions."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
from table import Real, module, row

RNG = np.random.default_rng(2)
XS = np.linspace(0.5, 5.0, 15)
YS = 2.0 * np.exp(-XS / 2.0) + 0.3 + 0.05 * RNG.normal(size=15)
UNITS = RNG.uniform(0.05, 0.95, size=(12, 2))
POINTS = RNG.normal(size=(12, 2))
X = np.column_stack([np.ones(40), RNG.normal(size=40), RNG.uniform(-1, 1, size=40)])
COUNTS = RNG.poisson(np.exp(X @ [0.6, 0.3, -0.2])).astype(float)
GROUPS = np.arange(40) // 5
B3 = [0.2, 0.1, -0.3]

for _name in ("Gaussian", "Matern", "Rational", "Cubic", "HyperSpherical", "JBessel"):

    @row(f"gstools: {_name}, its parameters set one by one", [1.3, 6.2])
    def _(package: Any, _name: str = _name) -> Any:
        model = getattr(package, _name)(dim=2, var=1.0, len_scale=6.0)

        def f(theta: Any) -> Any:
            model.var = theta[0]
            model.len_scale = theta[1]
            return ((model.variogram(XS) - YS) ** 2).sum()

        return f


for _name, _theta in (
    *((name, [1.4]) for name in ("clayton", "gumbel", "frank", "joe", "galambos", "plackett", "rclayton")),
    ("BB1", [0.7, 1.4]),
):

    @row(f"pycop: {_name}.get_pdf", _theta)
    def _(_package: Any, _name: str = _name) -> Any:
        copula = module("pycop.bivariate.archimedean").archimedean(_name)
        return lambda theta: np.log(copula.get_pdf(UNITS[:, 0], UNITS[:, 1], [*theta])).sum()


@row("pycop: gaussian.get_cdf", [0.4])
def _(_package: Any) -> Any:
    copula = module("pycop.bivariate.gaussian").gaussian()
    return lambda theta: copula.get_cdf(UNITS[0, 0], UNITS[0, 1], [theta[0]])


for _name, _theta in (
    ("glo", [0.2, 1.0, 2.0]),
    ("gno", [0.2, 1.0, 2.0]),
    ("kap", [0.2, 0.3, 1.0, 2.0]),
    ("gpa", [0.2, 0.1, 2.0]),
    ("gev", [0.2, 1.0, 2.0]),
    ("pe3", [0.4, 1.0, 2.0]),
    ("wei", [1.4, 0.2, 2.0]),
):

    @row(f"lmoments3: {_name}.logpdf", _theta)
    def _(_package: Any, _name: str = _name) -> Any:
        distribution = getattr(module("lmoments3.distr"), _name)
        return lambda t: distribution.logpdf(XS[:8], *t[:-2], loc=t[-2], scale=t[-1]).sum()


@row("emcee: EnsembleSampler.compute_log_prob", [1.1, 0.9, -1.0])
def _(package: Any) -> Any:
    def log_likelihood(theta: Any, x: Any, y: Any, error: Any) -> Any:
        slope, level, log_f = theta
        line = slope * x + level
        variance = error**2 + line**2 * np.exp(2 * log_f)
        return -0.5 * np.sum((y - line) ** 2 / variance + np.log(variance))

    sampler = package.EnsembleSampler(8, 3, log_likelihood, args=(XS, YS, 0.1))
    return lambda theta: sampler.compute_log_prob(theta[None])[0][0]


for _name in ("gaussian", "poisson", "softplus", "binomial", "probit", "gamma"):

    @row(f"pyglmnet: _L2loss, {_name}", B3)
    def _(_package: Any, _name: str = _name) -> Any:
        glm = module("pyglmnet.pyglmnet")
        y = (COUNTS > 1.0).astype(float) if _name in ("binomial", "probit") else COUNTS + 1.0
        known = dict(distr=_name, alpha=0.1, Tau=None, reg_lambda=0.1, X=X[:, 1:], y=y, eta=2.0, group=None)
        wanted = inspect.signature(glm._L2loss).parameters
        given = {name: value for name, value in known.items() if name in wanted}
        return lambda beta: glm._L2loss(beta=beta, **given)


@row("xlogit: MultinomialLogit._loglik_gradient", [0.3, -0.2, 0.1])
def _(_package: Any) -> Any:
    model = module("xlogit.multinomial_logit").MultinomialLogit()
    gaps = RNG.normal(size=(20, 2, 3))
    return lambda b: model._loglik_gradient(b, gaps, None, None, None, None, return_gradient=False)


for _name in ("adjiman", "beale", "easom", "goldstein_price", "himmelblau", "mccormick", "bird", "salomon"):

    @row(f"landscapes: {_name}", [0.63, 0.41])
    def _(_package: Any, _name: str = _name) -> Any:
        return getattr(module("landscapes.single_objective"), _name)


for _name in ("Ackley", "Griewank", "HappyCat", "Levy", "Michalewicz", "Powell", "Whitley", "Zakharov"):

    @row(f"niapy: {_name}._evaluate", [0.63, 0.41, 0.3, 0.2])
    def _(_package: Any, _name: str = _name) -> Any:
        return getattr(module("niapy.problems"), _name)(dimension=4)._evaluate


# More of packages that are in the other tables --------------------------------------------------------------


for _name, _count in (
    ("Constant * RBF + White", 3),
    ("Pairwise", 1),
    ("Exponentiation", 2),
    ("Matern 1.7", 1),
):

    @row(f"sklearn: GaussianProcessRegressor, {_name}", [0.2, 0.1, -0.3][:_count])
    def _(_package: Any, _name: str = _name) -> Any:
        gp = module("sklearn.gaussian_process")
        k = gp.kernels
        kernel = {
            "Constant * RBF + White": lambda: k.ConstantKernel() * k.RBF() + k.WhiteKernel(),
            "Pairwise": lambda: k.PairwiseKernel(metric="rbf"),
            "Exponentiation": lambda: k.Exponentiation(k.RationalQuadratic(), 2),
            "Matern 1.7": lambda: k.Matern(nu=1.7),
        }[_name]()
        model = gp.GaussianProcessRegressor(kernel, optimizer=None, alpha=0.3).fit(POINTS, YS[:12])
        return model.log_marginal_likelihood


@row("sklearn: GaussianProcessClassifier.log_marginal_likelihood", [0.2])
def _(_package: Any) -> Any:
    gp = module("sklearn.gaussian_process")
    model = gp.GaussianProcessClassifier(gp.kernels.RBF(), optimizer=None).fit(POINTS, YS[:12] > 0.8)
    return model.log_marginal_likelihood


@row("astropy: Gaussian1D + Const1D, its parameters set at once", [1.1, 0.9, 0.8, 0.3])
def _(_package: Any) -> Any:
    models = module("astropy.modeling.models")
    model = models.Gaussian1D() + models.Const1D()

    def f(theta: Any) -> Any:
        model.parameters = theta
        return ((model(XS) - YS) ** 2).sum()

    return f


@row("astropy: Voigt1D.evaluate", [1.1, 0.9, 0.8, 0.7], refused="complex numbers")
def _(_package: Any) -> Any:
    model = module("astropy.modeling.models").Voigt1D()
    return lambda theta: ((model.evaluate(XS, *theta) - YS) ** 2).sum()


def _of_discrete(name: str, build: Any, theta: list[float]) -> None:
    @row(f"statsmodels: {name}.loglike", theta)
    def _(_package: Any) -> Any:
        return build().loglike


_of_discrete(
    "HurdleCountModel negbin",
    lambda: module("statsmodels.discrete.truncated_model").HurdleCountModel(
        COUNTS, X, dist="negbin", zerodist="negbin"
    ),
    [*B3, 0.3, *B3, 0.4],
)
_of_discrete(
    "ProcessMLE",
    lambda: module("statsmodels.regression.process_regression").ProcessMLE(
        COUNTS, X[:, :2], X[:, :2], X[:, :2], X[:, :1], np.arange(40) % 5 * 1.0, GROUPS
    ),
    [0.2, 0.1, 0.2, 0.1, 0.3, 0.1, 0.3],
)


@row("statsmodels: SVAR.loglike", [0.3])
def _(_package: Any) -> Any:
    pattern = np.array([[1, 0], ["E", 1]])
    rows = np.column_stack([np.cumsum(COUNTS - COUNTS.mean()), X[:, 1]])
    model = module("statsmodels.tsa.vector_ar.svar_model").SVAR(rows, svar_type="A", A=pattern)
    model.fit(maxlags=1, maxiter=5)
    return model.loglike


@row("statsmodels: NonlinearIVGMM.gmmobjective", B3)
def _(_package: Any) -> Any:
    found = module("statsmodels.sandbox.regression.gmm").NonlinearIVGMM
    model = found(COUNTS, X, np.column_stack([X, X[:, 1] ** 2]), lambda b, x: np.exp(x.dot(b)))
    return lambda b: model.gmmobjective(b, np.eye(4))


@row("statsmodels: PoissonBayesMixedGLM.vb_elbo", [0.2, 0.1, -0.3, 0.1, *[0.1] * 8, *[0.5] * 12])
def _(_package: Any) -> Any:
    found = module("statsmodels.genmod.bayes_mixed_glm").PoissonBayesMixedGLM
    members = (GROUPS[:, None] == np.arange(8)).astype(float)
    model = found(COUNTS, X, members, np.zeros(8, dtype=int))
    return lambda v: model.vb_elbo(v[:12], v[12:])


@row("statsmodels: levinson_durbin", [0.4, 0.2])
def _(_package: Any) -> Any:
    found = module("statsmodels.tsa.stattools").levinson_durbin
    return lambda t: found(np.concatenate([np.ones(1), t]), 2, isacov=True)[0]


@row("statsmodels: power.ttest_power", [0.5])
def _(_package: Any) -> Any:
    found = module("statsmodels.stats.power").ttest_power
    return lambda t: found(t[0], 20, 0.05, alternative="larger")


@row("statsmodels: MarkovRegression.loglike", [0.3], refused="compiled code")
def _(_package: Any) -> Real:
    model = module("statsmodels.api").tsa.MarkovRegression(COUNTS, k_regimes=2)
    return Real(lambda t: model.loglike(np.concatenate([np.array([0.7, 0.2, 0.3, 0.6]), t])))
