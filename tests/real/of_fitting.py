"""Curves, cost functions and test functions: SciPy, iminuit, lmfit, pints, bilby, astropy and others."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
from scipy import stats
from table import Real, module, row

RNG = np.random.default_rng(6)
XS = np.linspace(0.5, 5.0, 20)
YS = 2.0 * np.exp(-XS / 2.0) + 0.3 + 0.05 * RNG.normal(size=20)


def decay(x: Any, a: Any, b: Any) -> Any:
    return a * np.exp(-x / b)


@row("scipy: optimize.rosen", [0.5, 0.3, 0.2])
def _(_package: Any) -> Real:
    optimize = module("scipy.optimize")
    return Real(optimize.rosen, optimize.rosen_der, optimize.rosen_hess)


COSTS = {
    "UnbinnedNLL": lambda c: c.UnbinnedNLL(XS, stats.norm.pdf),
    "BinnedNLL": lambda c: c.BinnedNLL([3, 5, 8, 4], [0, 1, 2, 3, 4], stats.norm.cdf),
    "ExtendedBinnedNLL": lambda c: c.ExtendedBinnedNLL(
        [3, 5, 8, 4], [0, 1, 2, 3, 4], lambda x, m, s: 20.0 * stats.norm.cdf(x, m, s)
    ),
    "Template": lambda c: c.Template([3, 5, 8, 4], [0, 1, 2, 3, 4], ([1, 2, 3, 2], [2, 3, 1, 2])),
    "LeastSquares": lambda c: c.LeastSquares(XS, YS, 0.1, decay),
    "LeastSquares soft_l1": lambda c: c.LeastSquares(XS, YS, 0.1, decay, loss="soft_l1"),
    "NormalConstraint": lambda c: c.NormalConstraint(("a", "b"), (1, 2), (0.5, 0.3)),
}
for _name, _build in COSTS.items():

    @row(f"iminuit: cost.{_name}", [2.0, 1.2])
    def _(_package: Any, _build: Any = _build) -> Any:
        cost = _build(module("iminuit.cost"))
        return lambda theta: cost(*theta)


for _name in ("rosenbrock", "ackley", "beale", "matyas"):

    @row(f"iminuit: testing.{_name}", [0.6, 0.4])
    def _(_package: Any, _name: str = _name) -> Any:
        f = getattr(module("iminuit.testing"), _name)
        return lambda theta: f(*theta)


SHAPES = (
    "gaussian",
    "lorentzian",
    "pvoigt",
    "moffat",
    "pearson7",
    "breit_wigner",
    "damped_oscillator",
    "dho",
)
SHAPES += ("logistic", "lognormal", "students_t", "expgaussian", "doniach", "skewed_gaussian", "exponential")
for _name in SHAPES:

    @row(f"lmfit: lineshapes.{_name}", [1.2, 2.1, 0.8, 0.6, 0.4])
    def _(_package: Any, _name: str = _name) -> Any:
        f = getattr(module("lmfit.lineshapes"), _name)
        count = len(inspect.signature(f).parameters) - 1
        return lambda theta: ((f(XS, *theta[:count]) - YS) ** 2).sum() + (theta**2).sum()


@row("lmfit: lineshapes.voigt", [1.2, 2.1, 0.8, 0.6], refused="complex numbers")
def _(_package: Any) -> Any:
    f = module("lmfit.lineshapes").voigt
    return lambda theta: f(XS, *theta).sum()


NOISES: dict[str, Any] = {
    "GaussianLogLikelihood": [0.2],
    "GaussianKnownSigmaLogLikelihood": [],
    "GaussianIntegratedLogUniformLogLikelihood": [],
    "AR1LogLikelihood": [0.3, 0.2],
    "ARMA11LogLikelihood": [0.3, 0.2, 0.2],
    "CauchyLogLikelihood": [0.2],
    "LogNormalLogLikelihood": [0.2],
    "MultiplicativeGaussianLogLikelihood": [0.5, 0.1],
    "StudentTLogLikelihood": [4.0, 0.2],
    "MeanSquaredError": [],
}
for _name, _theta in NOISES.items():

    @row(f"pints: {_name}", [2.0, 2.1, *_theta])
    def _(package: Any, _name: str = _name) -> Any:
        class Decay(package.ForwardModel):
            def n_parameters(self) -> int:
                return 2

            def simulate(self, q: Any, t: Any) -> Any:
                return decay(np.asarray(t), q[0], q[1])

        problem = package.SingleOutputProblem(Decay(), XS, YS)
        return getattr(package, _name)(problem, *[0.1][: "KnownSigma" in _name])


PRIORS = {
    "BetaLogPrior": (2.0, 3.0),
    "GammaLogPrior": (2.0, 3.0),
    "HalfCauchyLogPrior": (0.0, 1.0),
    "InverseGammaLogPrior": (2.0, 3.0),
    "LogNormalLogPrior": (0.0, 1.0),
    "StudentTLogPrior": (0.0, 3.0, 1.0),
    "UniformLogPrior": (0.0, 1.0),
}
for _name, _given in PRIORS.items():

    @row(f"pints: {_name}", [0.4])
    def _(package: Any, _name: str = _name, _given: Any = _given) -> Any:
        return getattr(package, _name)(*_given)


@row("pints: toy.LogisticModel", [0.1, 5.0])
def _(package: Any) -> Any:
    toy = module("pints.toy")
    problem = package.SingleOutputProblem(toy.LogisticModel(2), np.linspace(0, 50, 20), np.linspace(0, 5, 20))
    return package.SumOfSquaresError(problem)


BILBY = {
    "Gaussian": dict(mu=0.0, sigma=1.0),
    "LogNormal": dict(mu=0.0, sigma=1.0),
    "Exponential": dict(mu=1.0),
    "StudentT": dict(df=3.0),
    "Beta": dict(alpha=2.0, beta=3.0),
    "Logistic": dict(mu=0.0, scale=1.0),
    "Gamma": dict(k=2.0, theta=1.0),
    "FermiDirac": dict(sigma=1.0, mu=2.0),
}
for _name, _kwargs in BILBY.items():

    @row(f"bilby: prior.{_name}.ln_prob", [0.7])
    def _(_package: Any, _name: str = _name, _kwargs: Any = _kwargs) -> Any:
        prior = getattr(module("bilby.core.prior"), _name)(**_kwargs)
        return lambda theta: prior.ln_prob(theta[0])


@row("bilby: PoissonLikelihood", [2.0, 2.0])
def _(_package: Any) -> Any:
    found = module("bilby.core.likelihood").PoissonLikelihood(XS, np.arange(20) % 5, decay)
    return lambda theta: found.log_likelihood({"a": theta[0], "b": theta[1]})


CURVES = {
    "Gaussian1D": [1.5, 2.0, 0.8],
    "Lorentz1D": [1.5, 2.0, 0.8],
    "PowerLaw1D": [1.5, 2.0, 0.8],
    "BrokenPowerLaw1D": [1.5, 2.1, 0.8, 1.4],
    "Sine1D": [1.5, 0.3, 0.2],
    "Moffat1D": [1.5, 2.0, 0.8, 1.5],
    "Sersic1D": [1.5, 2.0, 1.5],
    "Drude1D": [1.0, 2.0, 3.0],
    "Exponential1D": [1.5, 2.0],
}
for _name, _theta in CURVES.items():

    @row(f"astropy: {_name}, its parameters set one by one", _theta)
    def _(_package: Any, _name: str = _name) -> Any:
        model = getattr(module("astropy.modeling.models"), _name)()

        def f(theta: Any) -> Any:
            for name, value in zip(model.param_names, theta, strict=True):
                setattr(model, name, value)
            return ((model(XS) - YS) ** 2).sum()

        return f


for _name in ("rosen", "griewangk", "fosc3d", "peaks", "schwefel", "rastrigin", "ackley", "branins"):

    @row(f"mystic: models.{_name}", [0.6, 0.4])
    def _(_package: Any, _name: str = _name) -> Any:
        return getattr(module("mystic.models"), _name)


for _name in ("rosen", "elli", "cigar", "rastrigin"):

    @row(f"cma: ff.{_name}", [0.6, 0.4])
    def _(package: Any, _name: str = _name) -> Any:
        return getattr(package.ff, _name)


for _name in ("NelsonSiegelCurve", "NelsonSiegelSvenssonCurve"):

    @row(f"nelson_siegel_svensson: {_name}", [0.1, 0.2, 0.3, 1.7, 2.5, 1.2][: 4 if "Sv" not in _name else 6])
    def _(package: Any, _name: str = _name) -> Any:
        return lambda theta: getattr(package, _name)(*theta)(XS).sum()


@row("nelson_siegel_svensson: errorfn_ns_ols", [1.7])
def _(_package: Any) -> Any:
    f = module("nelson_siegel_svensson.calibrate").errorfn_ns_ols
    return lambda theta: f(theta[0], XS, YS)
