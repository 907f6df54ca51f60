"""Whole fits from a plain function, against SciPy with finite differences and against packages for the model.

Tapegrad's time has everything in it: tracing, compiling if it pays (with an empty cache), the fit, and
standard errors from the exact Hessian. SciPy's BFGS need not find any. The packages find theirs.
"""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from time import perf_counter
from typing import Any, Final

import numpy as np
from numpy.random import default_rng
from scipy.optimize import minimize
from scipy.special import gammaln

import tapegrad as tg
from benchmarks.compiled import empty_cache
from benchmarks.loops.model import Theta
from benchmarks.loops.recursions import hmm_log, local_level, returns
from benchmarks.measure import Mismatch
from benchmarks.models import MODELS
from benchmarks.report import duration, environment, line, titled
from benchmarks.targets import ratio
from tapegrad.backends.c.compiler import compiler
from tapegrad.datasets import load_randhie

ROUNDS: Final = 3
OF_SCIPY: Final = 1.0
OF_PACKAGE: Final = 2.0
WITHIN: Final = 1e-3  # of each other's log-likelihood, where both have arrived
COLUMNS: Final = ("tapegrad", "scipy", "ratio", "package", "ratio", "calls", "")
HEAD: Final = line("fit", "n", COLUMNS)

Loglik = Callable[..., Any]
# Fits the model, and gives the log-likelihood at the end.
Fitted = Callable[[], float]


@dataclass(frozen=True)
class Model:
    """A log-likelihood with its start, and how a package fits the same.

    Attributes
    ----------
    n : int
    loglik : callable
        In plain NumPy.
    start : dict
    package : str
        Its name; empty where there is none for the model.
    by_package : callable, optional
    is_same : bool
        Whether the package has the same log-likelihood; else it treats the first observations otherwise.
    """

    n: int
    loglik: Loglik
    start: Theta
    package: str = ""
    by_package: Fitted | None = None
    is_same: bool = True


def _rows(name: str, n: int, **more: Any) -> Model:
    """One of the models over rows, as a user writes it."""
    from scipy import special

    model = MODELS[name]
    data = model.data(n)
    return Model(n, lambda **theta: model.loglik(np, special, **data, **theta), model.start, **more)


def logistic() -> Model:
    """A logistic regression."""
    n = 20_000
    data = MODELS["logistic"].data(n)

    def by_statsmodels() -> float:
        sm: Any = import_module("statsmodels.api")
        found = sm.Logit(data["y"], data["X"]).fit(disp=0)
        assert np.isfinite(found.bse).all()
        return float(found.llf)

    return _rows("logistic", n, package="statsmodels", by_package=by_statsmodels)


def student_t() -> Model:
    """Location, scale and degrees of freedom."""
    return _rows("student_t", 20_000)


def mixture() -> Model:
    """Two normal distributions."""
    return _rows("mixture", 20_000)


def _visits() -> tuple[Any, Any]:
    data = load_randhie()
    columns = [np.asarray(column, dtype=float) for name, column in data.items() if name != "mdvis"]
    return np.column_stack([np.ones(len(columns[0])), *columns]), np.asarray(data["mdvis"], dtype=float)


def poisson() -> Model:
    """A Poisson regression on 20,190 real observations."""
    X, y = _visits()

    def loglik(beta: Any) -> Any:
        eta = X @ beta
        return (y * eta - np.exp(eta) - gammaln(y + 1.0)).sum()

    def by_statsmodels() -> float:
        sm: Any = import_module("statsmodels.api")
        found = sm.Poisson(y, X).fit(disp=0, maxiter=100)
        assert np.isfinite(found.bse).all()
        return float(found.llf)

    return Model(len(y), loglik, dict(beta=np.zeros(X.shape[1])), "statsmodels", by_statsmodels)


def negative_binomial() -> Model:
    """A negative binomial regression on the same data."""
    X, y = _visits()

    def loglik(beta: Any, log_alpha: Any) -> Any:
        size, eta = np.exp(-log_alpha), X @ beta
        log_share = -np.logaddexp(0.0, eta + log_alpha)
        counts = gammaln(y + size) - gammaln(size) - gammaln(y + 1.0)
        return (counts + size * log_share + y * (eta + log_alpha + log_share)).sum()

    def by_statsmodels() -> float:
        sm: Any = import_module("statsmodels.api")
        found = sm.NegativeBinomial(y, X).fit(disp=0, maxiter=200)
        assert np.isfinite(found.bse).all()
        return float(found.llf)

    start = dict(beta=np.zeros(X.shape[1]), log_alpha=0.0)
    return Model(len(y), loglik, start, "statsmodels", by_statsmodels)


def weibull() -> Model:
    """Survival times with censoring, and three covariates: Weibull's accelerated failure."""
    rng, n = default_rng(3), 2_000
    X = np.column_stack([np.ones(n), rng.normal(size=(n, 3))])
    times = np.exp(X @ np.array([1.0, 0.5, -0.3, 0.2])) * rng.weibull(1.5, n)
    ends = rng.exponential(6.0, n)
    died, times = (times <= ends).astype(float), np.minimum(times, ends)
    logs = np.log(times)

    def loglik(beta: Any, log_shape: Any) -> Any:
        z = np.exp(log_shape) * (logs - X @ beta)
        return (died * (log_shape + z - logs) - np.exp(z)).sum()

    def by_lifelines() -> float:
        lifelines: Any = import_module("lifelines")
        pd: Any = import_module("pandas")
        frame = pd.DataFrame(X[:, 1:], columns=["a", "b", "c"]).assign(time=times, died=died)
        fitter = lifelines.WeibullAFTFitter().fit(frame, "time", "died")
        assert np.isfinite(fitter.standard_errors_).all()
        return float(fitter.log_likelihood_)

    start = dict(beta=np.array([logs.mean(), 0.0, 0.0, 0.0]), log_shape=0.0)
    return Model(n, loglik, start, "lifelines", by_lifelines)


def garch() -> Model:
    """GARCH(1,1), as a plain loop."""
    n = 2_500
    y = returns(default_rng(20_190), n)

    def loglik(mu: Any, log_omega: Any, log_alpha: Any, log_beta: Any) -> Any:
        omega, alpha, beta = np.exp(log_omega), np.exp(log_alpha), np.exp(log_beta)
        h, ll, e = 1.0, 0.0, 0.0
        for t in range(n):
            h = omega + alpha * e * e + beta * h
            e = y[t] - mu
            ll -= 0.5 * (np.log(2.0 * np.pi * h) + e * e / h)
        return ll

    def by_arch() -> float:
        arch: Any = import_module("arch")
        found = arch.arch_model(y, rescale=False).fit(disp="off")
        assert np.isfinite(found.std_err).all()
        return float(found.loglikelihood)

    start = dict(mu=0.0, log_omega=-2.5, log_alpha=-2.3, log_beta=-0.2)
    return Model(n, loglik, start, "arch", by_arch, is_same=False)


def kalman() -> Model:
    """The local level, as a plain loop."""
    n = 1_000
    loop = local_level.data(n)

    def by_statsmodels() -> float:
        sm: Any = import_module("statsmodels.api")
        found = sm.tsa.UnobservedComponents(loop.y, "llevel").fit(disp=0)
        assert np.isfinite(found.bse).all()
        return float(found.llf)

    return Model(n, loop.loglik, loop.start, "statsmodels", by_statsmodels, is_same=False)


def hmm() -> Model:
    """Three hidden states, as a plain loop."""
    loop = hmm_log.data(1_000)
    return Model(1_000, loop.loglik, loop.start)


FITS: Final[dict[str, Callable[[], Model]]] = {
    make.__name__: make
    for make in (logistic, poisson, negative_binomial, student_t, mixture, weibull, garch, kalman, hmm)
}


# Measuring --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fit:
    """Median seconds of each way to fit a model, and what is compiled in the end."""

    name: str
    model: Model
    tape_s: float
    scipy_s: float
    package_s: float | None
    calls: int
    lower: float
    is_compiled: bool

    def __str__(self) -> str:
        model, package = self.model, "-" if self.package_s is None else duration(self.package_s)
        cells = [duration(self.tape_s), duration(self.scipy_s), ratio(self.tape_s, self.scipy_s, OF_SCIPY)]
        cells += [package, ratio(self.tape_s, self.package_s, OF_PACKAGE), f"{self.calls:,}"]
        notes = [
            model.package if self.package_s is not None else "",
            "compiled" if self.is_compiled else "",
            f"scipy ends lower by {self.lower:.2g}" if self.lower > WITHIN else "",
        ]
        return f"{line(self.name, f'{model.n:,}', cells)}   {', '.join(filter(None, notes))}"


def fitted(name: str) -> Fit:
    """Fit a model in all ways, in turns; raises `Mismatch` where tapegrad ends lower."""
    model = FITS[name]()
    package = model.by_package if model.package and find_spec(model.package) is not None else None
    times: dict[str, list[float]] = {"tape": [], "scipy": [], "package": []}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiler()
        for _ in range(ROUNDS):
            with empty_cache():
                result = _timed(times["tape"], lambda: by_tapegrad(model))
            found = _timed(times["scipy"], lambda: by_differences(model))
            other = None if package is None else _timed(times["package"], package)
    ends = {"SciPy": -float(found.fun)}
    if other is not None and model.is_same:
        ends[model.package] = other
    for who, llf in ends.items():
        if not result.llf >= llf - WITHIN:
            raise Mismatch(f"{name}: tapegrad ends at {result.llf}, {who} at {llf}")
    medians = {who: statistics.median(spent) if spent else None for who, spent in times.items()}
    assert medians["tape"] is not None
    assert medians["scipy"] is not None
    source = result.require_model("the source").function.source()
    return Fit(
        name,
        model,
        medians["tape"],
        medians["scipy"],
        medians["package"],
        int(found.nfev),
        float(result.llf + found.fun),
        "#include" in source,
    )


def _timed(times: list[float], fit: Callable[[], Any]) -> Any:
    began = perf_counter()
    found = fit()
    times.append(perf_counter() - began)
    return found


def by_tapegrad(model: Model) -> Any:
    """A fit of a function that is new to tapegrad, with standard errors."""
    result = tg.fit(tg.trace(model.loglik, model.start, backend="auto"), model.start)
    assert np.isfinite(result.bse).all()
    return result


def by_differences(model: Model) -> Any:
    """SciPy's BFGS, which takes finite differences of plain calls."""
    shapes = {key: np.shape(item) for key, item in model.start.items()}
    start = np.concatenate([np.ravel(item) for item in model.start.values()])

    def negative(x: Any) -> float:
        theta, first = {}, 0
        for key, shape in shapes.items():
            size = int(np.prod(shape))
            theta[key] = x[first : first + size].reshape(shape) if shape else x[first]
            first += size
        return -float(model.loglik(**theta))

    return minimize(negative, start, method="BFGS")


def print_fits(names: list[str]) -> None:
    """Print the table."""
    print(*(f"{name} {value}" for name, value in environment().items()), sep=", ")
    print("", *titled("whole fits from a plain function", HEAD), sep="\n")
    for name in names:
        print(fitted(name), flush=True)
    print(line("at most", "", ["", "", f"{OF_SCIPY:.2f}x", "", f"{OF_PACKAGE:.2f}x"]))
    unlike = [name for name in names if not FITS[name]().is_same]
    if unlike:
        print(f"{', '.join(unlike)}: the package begins the recursion otherwise")
