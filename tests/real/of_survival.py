"""Log-likelihoods of lifetimes: lifelines, surpyval, reliability, lifetimes."""

from __future__ import annotations

from typing import Any

import numpy as np
from table import Real, module, row

RNG = np.random.default_rng(3)
N = 40
TIMES = RNG.weibull(1.4, N) * 10.0 + 0.2
SEEN = RNG.uniform(size=N) < 0.7
ONES = np.ones(N)
ENTRY = np.where(np.arange(N) < 5, 0.1, 0.0)
X = RNG.normal(size=(N, 2))
FITTERS = {
    "Weibull": [8.0, 1.3],
    "Exponential": [9.0],
    "LogNormal": [2.0, 0.8],
    "LogLogistic": [8.0, 1.5],
    "GeneralizedGamma": [2.0, -0.3, 0.7],
}

for _name, _theta in FITTERS.items():
    for _kind in ("right", "left", "interval"):

        @row(f"lifelines: {_name}Fitter, {_kind} censoring", _theta, rtol=1e-6)
        def _(package: Any, _name: str = _name, _kind: str = _kind) -> Any:
            fitter = getattr(package, f"{_name}Fitter")()
            f = getattr(fitter, f"_negative_log_likelihood_{_kind}_censoring")
            times = {
                "right": (TIMES, None),
                "left": (None, TIMES),
                "interval": (TIMES, np.where(SEEN, TIMES, TIMES + 3.0)),
            }[_kind]
            return lambda theta: f(theta, times, SEEN, ENTRY, ONES)


@row("lifelines: PiecewiseExponentialFitter", [5.0, 8.0, 9.0])
def _(package: Any) -> Any:
    fitter = package.PiecewiseExponentialFitter([4.0, 9.0])
    return lambda theta: fitter._negative_log_likelihood_right_censoring(
        theta, (TIMES, None), SEEN, ENTRY, ONES
    )


@row("lifelines: SplineFitter", [-2.0, 1.0, 0.1])
def _(package: Any) -> Any:
    fitter = package.SplineFitter(np.array([1.0, 6.0, 15.0]))
    return lambda theta: fitter._negative_log_likelihood_right_censoring(
        theta, (TIMES, None), SEEN, ENTRY, ONES
    )


@row("lifelines: CoxPHFitter, Efron's ties", [0.3, -0.2])
def _(package: Any) -> Real:
    import pandas as pd

    fitter = package.fitters.coxph_fitter.SemiParametricPHFitter()
    order = np.argsort(-TIMES)
    frame = pd.DataFrame(X[order], columns=["a", "b"])
    rest = (pd.Series(np.ceil(TIMES[order])), pd.Series(SEEN[order]), pd.Series(ONES), None)
    parts = fitter._get_efron_values_single
    return Real(
        lambda b: parts(frame, *rest, b)[2],
        lambda b: parts(frame, *rest, b)[1],
        lambda b: parts(frame, *rest, b)[0],
    )


DISTRIBUTIONS = {
    "Weibull": [8.0, 1.3],
    "Exponential": [0.1],
    "LogNormal": [2.0, 0.8],
    "Gamma": [2.0, 0.2],
    "LogLogistic": [8.0, 1.5],
    "Normal": [8.0, 5.0],
    "Gumbel": [8.0, 5.0],
    "Logistic": [8.0, 3.0],
    "Rayleigh": [8.0],
}
for _name, _theta in DISTRIBUTIONS.items():
    for _method in ("df", "sf", "Hf"):

        @row(f"surpyval: {_name}.{_method}", _theta)
        def _(package: Any, _name: str = _name, _method: str = _method) -> Any:
            f = getattr(getattr(package, _name), _method)
            return lambda theta: np.log(f(TIMES, *theta)).sum()


RELIABILITY = {
    "Weibull_2P": [8.0, 1.3],
    "Normal_2P": [8.0, 5.0],
    "Lognormal_2P": [2.0, 0.8],
    "Exponential_1P": [0.1],
    "Loglogistic_2P": [8.0, 1.5],
    "Gumbel_2P": [8.0, 4.0],
    "Weibull_3P": [8.0, 1.3, 0.05],
}
for _name, _theta in RELIABILITY.items():

    @row(f"reliability: Fit_{_name}.LL", _theta)
    def _(_package: Any, _name: str = _name) -> Any:
        fitter = getattr(module("reliability.Fitters"), f"Fit_{_name}")
        return lambda theta: fitter.LL(theta, TIMES[SEEN], TIMES[~SEEN])


COUNTS = RNG.integers(1, 6, N).astype(float)
LAST = RNG.uniform(1.0, 20.0, N)
AGE = LAST + RNG.uniform(1.0, 10.0, N)


@row("lifetimes: BetaGeoFitter", [0.1, 0.5, -0.2, 0.3])
def _(package: Any) -> Any:
    f = package.BetaGeoFitter._negative_log_likelihood
    return lambda theta: f(theta, COUNTS, LAST, AGE, ONES, 0.01)


@row("lifetimes: ModifiedBetaGeoFitter", [0.1, 0.5, -0.2, 0.3])
def _(package: Any) -> Any:
    f = package.ModifiedBetaGeoFitter._negative_log_likelihood
    return lambda theta: f(theta, COUNTS, LAST, AGE, ONES, 0.01)


@row("lifetimes: GammaGammaFitter", [0.1, 0.5, -0.2])
def _(package: Any) -> Any:
    f = package.GammaGammaFitter._negative_log_likelihood
    return lambda theta: f(theta, COUNTS, LAST, ONES, 0.01)


@row("lifetimes: ParetoNBDFitter", [0.9, 1.5, 0.7, 2.3])
def _(package: Any) -> Any:
    f = package.ParetoNBDFitter._negative_log_likelihood
    return lambda theta: f(theta, COUNTS, LAST, AGE, ONES, 0.01)
