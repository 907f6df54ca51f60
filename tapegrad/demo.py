"""The demonstration behind `tapegrad demo`: a regression on real data, written as a user would write it."""

import inspect
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from tapegrad import FitResult, TracedFunction, fit, graph, trace
from tapegrad.datasets import load_randhie
from tapegrad.stats import nbinom

_LISTED = 12
_TIMED_CALLS = 50


@dataclass(frozen=True)
class Model:
    """A log-likelihood with what it takes to fit it.

    Attributes
    ----------
    loglik : callable
        The log-likelihood, in plain NumPy.
    start : dict
        Parameters to start from.
    columns : tuple of str
        What the coefficients belong to.
    """

    loglik: Callable[..., Any]
    start: dict[str, Any]
    columns: tuple[str, ...]


def visits_model() -> Model:
    """Negative binomial regression (NB2) of the visits to a doctor on all the covariates of `load_randhie`.

    The mean is ``exp(X @ beta)`` and the variance ``mean + alpha * mean**2``; see A. C. Cameron and
    P. K. Trivedi, *Regression Analysis of Count Data*, Cambridge University Press.
    """
    covariates = load_randhie()
    y = covariates.pop("mdvis")
    X = np.column_stack([np.ones(y.size), *covariates.values()])

    def loglik(beta: Any, log_alpha: Any) -> Any:
        mu = np.exp(X @ beta)
        n = np.exp(-log_alpha)
        return nbinom.logpmf(y, n, n / (n + mu)).sum()

    start = {"beta": np.zeros(X.shape[1]), "log_alpha": 0.0}
    return Model(loglik, start, ("const", *covariates))


def fit_visits(model: Model, function: TracedFunction) -> FitResult:
    """The fit of `visits_model`, under the covariates' names."""
    return fit(function, model.start).renamed(beta=model.columns)


def report() -> Iterator[str]:
    """The demonstration, in paragraphs as they are ready."""
    model = visits_model()
    yield (
        "What do visits to a doctor depend on? A negative binomial regression by maximum likelihood, "
        f"{len(model.columns)} coefficients\nand a dispersion, on 20,190 person-years of the RAND Health "
        "Insurance Experiment."
    )
    yield "The log-likelihood is plain NumPy:\n\n" + _source(model.loglik)

    function, seconds = _timed(trace, model.loglik, model.start)
    lines = str(function).splitlines()
    yield "\n".join(
        [
            f"tapegrad ran it once, in {1e3 * seconds:.0f} ms, and recorded it as a tape:\n",
            *lines[:_LISTED],
            f" ... and {len(lines) - _LISTED} more",
        ]
    )
    result, seconds = _timed(fit_visits, model, function)
    yield str(result.summary())
    yield (
        f"The fit took {seconds:.2f} s: {result.nfev} replays for value and gradient, and the exact Hessian "
        "for the last\nsteps and the standard errors."
    )
    yield _timings(model, function, result.x)


def _source(function: Callable[..., Any]) -> str:
    return textwrap.indent(textwrap.dedent(inspect.getsource(function)).rstrip(), "    ")


def _timed(action: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    begin = time.perf_counter()
    result = action(*arguments)
    return result, time.perf_counter() - begin


def _timings(model: Model, function: TracedFunction, x: Any) -> str:
    """Median times of value and gradient, by the tape and by a graph for every call."""
    rng = np.random.default_rng(1)
    by_tape, by_graph = [], []
    for _ in range(_TIMED_CALLS):  # in turn, so that whatever else the machine does strikes both
        theta = x * (1.0 + 1e-3 * rng.standard_normal(x.size))
        (value, gradient), seconds = _timed(function.value_and_grad_flat, theta)
        by_tape.append(seconds)
        graphs, seconds = _timed(graph.value_and_grad, model.loglik, function.unravel(theta))
        by_graph.append(seconds)
        np.testing.assert_allclose(value, graphs[0], rtol=1e-9)
        np.testing.assert_allclose(gradient, function.ravel(graphs[1]), rtol=1e-6, atol=1e-6)
    ours, theirs = 1e3 * median(by_tape), 1e3 * median(by_graph)
    return (
        f"Value and gradient at changing parameters (median of {_TIMED_CALLS}, all checked equal):\n\n"
        f"    replaying the tape        {ours:7.2f} ms\n"
        f"    building a graph per call {theirs:7.2f} ms    {theirs / ours:.1f} times as long"
    )
