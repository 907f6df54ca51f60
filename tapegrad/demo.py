"""The demonstration behind `tapegrad demo`: a regression on real data, written as a user would write it."""

import inspect
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import numpy as np

from tapegrad import graph
from tapegrad.datasets import load_randhie
from tapegrad.function import TracedFunction, trace
from tapegrad.mle import FitResult, fit
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
    names : tuple of str
        What the parameters stand for, in the order of the flat vector.
    """

    loglik: Callable[..., Any]
    start: dict[str, Any]
    names: tuple[str, ...]


def visits_model() -> Model:
    """Negative binomial regression (NB2) of the visits to a doctor on all the covariates of `load_randhie`.

    The mean is ``exp(X @ beta)``, the variance ``mean + alpha * mean**2``; see A. C. Cameron and P. K. Trivedi,
    *Regression Analysis of Count Data*, 2nd edition, Cambridge University Press, 2013, section 3.3.
    """
    covariates = load_randhie()
    y = covariates.pop("mdvis")
    X = np.column_stack([np.ones(y.size), *covariates.values()])

    def loglik(beta: Any, log_alpha: Any) -> Any:
        mu = np.exp(X @ beta)
        n = np.exp(-log_alpha)
        return nbinom.logpmf(y, n, n / (n + mu)).sum()

    start = {"beta": np.zeros(X.shape[1]), "log_alpha": 0.0}
    return Model(loglik, start, ("const", *covariates, "log_alpha"))


def fit_visits(model: Model, tape: TracedFunction) -> FitResult:
    """The fit of `visits_model`, under the covariates' names."""
    return replace(fit(tape, model.start), names=model.names)


def report() -> Iterator[str]:
    """The demonstration, in paragraphs as they are ready."""
    model = visits_model()
    yield (
        "Visits to a doctor, 20,190 person-years of the RAND Health Insurance Experiment, and what they depend\n"
        f"on: a negative binomial regression with {len(model.names) - 1} coefficients and a dispersion, by "
        "maximum likelihood."
    )
    yield "The log-likelihood is plain NumPy:\n\n" + _source(model.loglik)

    tape, seconds = _timed(lambda: trace(model.loglik, model.start))
    lines = str(tape).splitlines()
    head = "\n".join(lines[:_LISTED])
    yield f"tapegrad ran it once, in {1e3 * seconds:.0f} ms, and recorded this tape:\n\n{head}\n ..."

    result, seconds = _timed(lambda: fit_visits(model, tape))
    yield str(result.summary())
    yield (
        f"The fit took {seconds:.2f} s: {result.nfev} replays for value and gradient, and exact Hessians for the "
        "last steps\nand the standard errors."
    )
    yield _timings(model, tape, result.x)


def _source(function: Callable[..., Any]) -> str:
    return textwrap.indent(textwrap.dedent(inspect.getsource(function)).rstrip(), "    ")


def _timed(action: Callable[[], Any]) -> tuple[Any, float]:
    begin = time.perf_counter()
    result = action()
    return result, time.perf_counter() - begin


def _timings(model: Model, tape: TracedFunction, x: Any) -> str:
    """Median times of value and gradient, by the tape and by a graph for every call."""
    rng = np.random.default_rng(1)
    by_tape, by_graph = [], []
    for _ in range(_TIMED_CALLS):  # in turn, so that whatever else the machine does strikes both
        theta = x * (1.0 + 1e-3 * rng.standard_normal(x.size))
        structured = tape.unravel(theta)
        (value, gradient), seconds = _timed(lambda theta=theta: tape.value_and_grad_flat(theta))
        by_tape.append(seconds)
        graphs, seconds = _timed(lambda at=structured: graph.value_and_grad(model.loglik, at))
        by_graph.append(seconds)
        _check_equal(value, gradient, graphs[0], tape.ravel(graphs[1]))
    ours, theirs = 1e3 * median(by_tape), 1e3 * median(by_graph)
    return (
        f"Value and gradient at changing parameters, median of {_TIMED_CALLS}, the numbers checked equal:\n\n"
        f"    replaying the tape        {ours:7.2f} ms\n"
        f"    building a graph per call {theirs:7.2f} ms    {theirs / ours:.1f} times as long"
    )


def _check_equal(value: float, gradient: Any, graphs_value: float, graphs_gradient: Any) -> None:
    np.testing.assert_allclose(value, graphs_value, rtol=1e-9)
    np.testing.assert_allclose(gradient, graphs_gradient, rtol=1e-6, atol=1e-6)
