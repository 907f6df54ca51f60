"""Models of several kinds: copulas, volatilities, Markov models, filters, Gaussian processes, games."""

from __future__ import annotations

from typing import Any

import numpy as np
from table import Real, module, row

RNG = np.random.default_rng(5)
PAIRS = RNG.uniform(0.05, 0.95, size=(15, 2))
RETURNS = RNG.standard_t(5, size=60)
POINTS = RNG.normal(size=(15, 2))
XS = np.linspace(0.5, 5.0, 25)
YS = 2.0 * np.exp(-XS / 2.0) + 0.3 + 0.05 * RNG.normal(size=25)

for _name in ("Clayton", "Frank", "Gumbel"):
    for _method in ("log_probability_density", "cumulative_distribution", "partial_derivative"):

        @row(f"copulas: {_name}.{_method}", [1.8])
        def _(_package: Any, _name: str = _name, _method: str = _method) -> Any:
            kind = getattr(module(f"copulas.bivariate.{_name.lower()}"), _name)

            def f(theta: Any) -> Any:
                copula = kind()
                copula.theta, copula.tau = theta[0], 0.3
                return getattr(copula, _method)(PAIRS).sum()

            return f


MARGINS = {
    "GammaUnivariate": dict(a=2.0, loc=0.0, scale=3.0),
    "BetaUnivariate": dict(a=2.0, b=3.0, loc=0.0, scale=30.0),
    "GaussianUnivariate": dict(loc=5.0, scale=3.0),
    "StudentTUnivariate": dict(df=4.0, loc=5.0, scale=3.0),
}
for _name, _given in MARGINS.items():

    @row(
        f"copulas: {_name}.log_probability_density",
        list(_given.values()),
        [1.05 * v for v in _given.values()],
    )
    def _(_package: Any, _name: str = _name, _given: Any = _given) -> Any:
        kind = getattr(module("copulas.univariate"), _name)

        def f(theta: Any) -> Any:
            margin = kind()
            margin._params, margin.fitted = dict(zip(_given, theta, strict=True)), True
            return margin.log_probability_density(XS).sum()

        return f


for _name, _theta in (("Normal", []), ("StudentsT", [6.0]), ("SkewStudent", [6.0, -0.2])):

    @row(f"arch: {_name}.loglikelihood", [1.2, *_theta])
    def _(_package: Any, _name: str = _name) -> Any:
        distribution = getattr(module("arch.univariate"), _name)()
        return lambda theta: distribution.loglikelihood(theta[1:], RETURNS, theta[0] * np.ones(60))


@row("arch: garch_recursion_python", [0.1, 0.1, 0.8])
def _(_package: Any) -> Any:
    recursion = module("arch.univariate.recursions_python").garch_recursion_python
    bounds = np.ones((60, 2)) * [1e-6, 1e6]

    def f(theta: Any) -> Any:
        variances = np.zeros(60)
        recursion(theta, RETURNS**2, np.sign(RETURNS), variances, 1, 0, 1, 60, 1.0, bounds)
        return (np.log(variances) + RETURNS**2 / variances).sum()

    return f


@row("arch: GARCH by its compiled recursion", [0.05, 0.1, 0.1, 0.8], refused="compiled code")
def _(_package: Any) -> Any:
    univariate = module("arch.univariate")
    model = univariate.ConstantMean(RETURNS, volatility=univariate.GARCH())
    bounds = model.volatility.variance_bounds(RETURNS)
    return lambda theta: model._loglikelihood(theta, np.zeros(60), 1.0, bounds)


for _kind in ("diag", "full", "spherical", "tied"):

    @row(f"hmmlearn: log_multivariate_normal_density, {_kind}", [0.1, 0.2, 1.2, 0.3])
    def _(_package: Any, _kind: str = _kind) -> Any:
        f = module("hmmlearn.stats").log_multivariate_normal_density

        def total(theta: Any) -> Any:
            full = np.array([[theta[2], theta[3]], [theta[3], theta[2]]])
            covars = {"diag": full[:1], "full": full[None], "spherical": theta[2:3], "tied": full}[_kind]
            return f(POINTS, theta[None, :2], covars, _kind).sum()

        return total


@row("hmmlearn: PoissonHMM._compute_log_likelihood", [1.3, 4.6])
def _(_package: Any) -> Any:
    model = module("hmmlearn.hmm").PoissonHMM(2)
    model.n_features = 1
    counts = np.arange(20)[:, None] % 5

    def f(theta: Any) -> Any:
        model.lambdas_ = theta[:, None]
        return model._compute_log_likelihood(counts).sum()

    return f


@row("filterpy: KalmanFilter.log_likelihood", [0.8, 0.5, 1.2])
def _(_package: Any) -> Any:
    kind = module("filterpy.kalman").KalmanFilter

    def f(theta: Any) -> Any:
        model = kind(dim_x=1, dim_z=1)
        model.F, model.H = np.array([[theta[0]]]), np.array([[1.0]])
        model.Q, model.R = np.array([[theta[1]]]), np.array([[theta[2]]])
        total = 0.0
        for value in RETURNS[:10]:
            model.predict()
            model.update(value)
            total = total + model.log_likelihood
        return total

    return f


@row("filterpy: UnscentedKalmanFilter.log_likelihood", [0.8, 0.5, 1.2])
def _(_package: Any) -> Any:
    kalman = module("filterpy.kalman")

    def f(theta: Any) -> Any:
        points = kalman.MerweScaledSigmaPoints(2, 0.5, 2.0, 0.0)
        model = kalman.UnscentedKalmanFilter(
            *(2, 1, 1.0),
            hx=lambda x: x[:1],
            fx=lambda x, dt: np.array([x[0] + theta[0] * np.sin(x[1]), x[1]]),
            points=points,
        )
        model.Q, model.R = np.eye(2) * theta[1], np.eye(1) * theta[2]
        total = 0.0
        for value in RETURNS[:4]:
            model.predict()
            model.update(value)
            total = total + model.log_likelihood
        return total

    return f


@row("pykalman: KalmanFilter.loglikelihood", [0.8, 0.5, 1.2], refused="masked arrays")
def _(package: Any) -> Any:
    def f(theta: Any) -> Any:
        model = package.KalmanFilter(
            [[theta[0]]], [[1.0]], [[theta[1]]], [[theta[2]]], [0.0], [0.0], [0.0], [[1.0]]
        )
        return model.loglikelihood(RETURNS[:20])

    return f


for _name, _theta in (("Power_Law", [2.3]), ("Exponential", [0.2])):

    @row(f"powerlaw: {_name}.loglikelihoods", _theta)
    def _(package: Any, _name: str = _name) -> Any:
        kind = getattr(package, _name)
        return lambda theta: kind(xmin=0.5, parameters=[*theta]).loglikelihoods(XS).sum()


for _name, _count in (("RBF", 1), ("Matern", 1), ("RationalQuadratic", 2), ("ExpSineSquared", 2)):

    @row(f"sklearn: GaussianProcessRegressor.log_marginal_likelihood, {_name}", [0.2, 0.3][:_count])
    def _(_package: Any, _name: str = _name) -> Real:
        gp = module("sklearn.gaussian_process")
        model = gp.GaussianProcessRegressor(getattr(gp.kernels, _name)(), optimizer=None, alpha=0.1)
        model.fit(XS[:, None], YS)
        return Real(
            model.log_marginal_likelihood,
            lambda theta: model.log_marginal_likelihood(theta, eval_gradient=True)[1],
        )


for _name in ("mean_squared_error", "mean_poisson_deviance", "mean_gamma_deviance", "r2_score", "log_loss"):

    @row(f"sklearn: metrics.{_name}", [0.2, 0.08], [0.15, 0.1])
    def _(_package: Any, _name: str = _name) -> Any:
        metric = getattr(module("sklearn.metrics"), _name)
        y = (YS > 1.0).astype(int) if _name == "log_loss" else YS
        return lambda theta: metric(y, theta[0] + theta[1] * XS)


@row("sklearn: HalfPoissonLoss", [0.2, 0.1], refused="compiled code")
def _(_package: Any) -> Any:
    loss = module("sklearn._loss.loss").HalfPoissonLoss()
    return lambda theta: loss.loss(YS, theta[0] + theta[1] * XS).sum()


PLAYED = [(0, 1), (1, 2), (2, 0), (0, 2), (1, 0), (2, 3), (3, 0)]
for _name, _given in (("PairwiseFcts", PLAYED), ("Top1Fcts", [(0, [1, 2]), (3, [0, 1]), (2, [0])])):

    @row(f"choix: {_name}.objective", [0.1, 0.3, -0.2, 0.05])
    def _(_package: Any, _name: str = _name, _given: Any = _given) -> Real:
        functions = getattr(module("choix.opt"), _name)(_given, 0.1)
        return Real(functions.objective, functions.gradient, functions.hessian)


@row("pyhf: uncorrelated_background.logpdf", [1.1, 0.9, 1.05])
def _(package: Any) -> Any:
    package.set_backend("numpy")
    model = package.simplemodels.uncorrelated_background([5.0, 10.0], [50.0, 40.0], [5.0, 6.0])
    data = np.array([55.0, 48.0, *model.config.auxdata])
    return lambda theta: model.logpdf(theta, data)[0]


@row("pyhf: correlated_background.logpdf", [1.1, 0.4])
def _(package: Any) -> Any:
    package.set_backend("numpy")
    given = ([5.0, 10.0], [50.0, 40.0], [55.0, 43.0], [46.0, 37.0])
    model = package.simplemodels.correlated_background(*given)
    data = np.array([55.0, 48.0, *model.config.auxdata])
    return lambda theta: model.logpdf(theta, data)[0]


@row("causalinference: propensity.neg_loglike", [0.2, -0.4])
def _(_package: Any) -> Real:
    propensity = module("causalinference.core.propensity")
    rest = (POINTS[:8], POINTS[8:])
    return Real(lambda b: propensity.neg_loglike(b, *rest), lambda b: propensity.neg_gradient(b, *rest))


@row("factor_analyzer: FactorAnalyzer._fit_ml_objective", [0.5, 0.6, 0.4, 0.55])
def _(package: Any) -> Any:
    corr = (
        np.full((4, 4), 0.4)
        + np.diag([0.6] * 4)
        + 0.1 * np.outer([1, -1, 0, 0], [1, -1, 0, 0]) * (1 - np.eye(4))
    )
    return lambda psi: package.FactorAnalyzer._fit_ml_objective(psi, corr, 1)
