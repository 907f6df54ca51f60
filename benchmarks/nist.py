"""The 27 nonlinear regressions of NIST's Statistical Reference Datasets, as Gaussian likelihoods.

https://www.itl.nist.gov/div898/strd/nls/nls_main.shtml: data and certified values, in the public domain. Each
regression has two starts, the second one nearer to the solution. The certified standard deviations come from
the expected information, with the residual variance over n - p degrees of freedom.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from benchmarks.lre import Check, log_relative_error
from tapegrad.function.trace import trace
from tapegrad.mle import ConvergenceWarning, FitResult, fit
from tapegrad.stats import norm

FOLDER: Final = Path(__file__).parents[1] / "tests" / "data" / "nist"
Array = npt.NDArray[np.float64]
# From its first start, where the peak lies outside of the data, one of them needs a search that goes far.
METHODS: Final = {("Eckerle4", 0): "powell"}


def _rational(degree: int) -> Callable[..., Any]:
    def curve(x: Any, *b: Any) -> Any:
        above = b[0] + sum(b[i] * x**i for i in range(1, degree + 1))
        return above / (1.0 + sum(b[degree + i] * x**i for i in range(1, len(b) - degree)))

    return curve


def _gauss(x: Any, b1: Any, b2: Any, b3: Any, b4: Any, b5: Any, b6: Any, b7: Any, b8: Any) -> Any:
    peaks = b3 * np.exp(-((x - b4) ** 2) / b5**2) + b6 * np.exp(-((x - b7) ** 2) / b8**2)
    return b1 * np.exp(-b2 * x) + peaks


def _lanczos(x: Any, b1: Any, b2: Any, b3: Any, b4: Any, b5: Any, b6: Any) -> Any:
    return b1 * np.exp(-b2 * x) + b3 * np.exp(-b4 * x) + b5 * np.exp(-b6 * x)


def _chwirut(x: Any, b1: Any, b2: Any, b3: Any) -> Any:
    return np.exp(-b1 * x) / (b2 + b3 * x)


def _growth(x: Any, b1: Any, b2: Any) -> Any:
    return b1 * (1.0 - np.exp(-b2 * x))


def _enso(x: Any, b1: Any, b2: Any, b3: Any, b4: Any, b5: Any, b6: Any, b7: Any, b8: Any, b9: Any) -> Any:
    def wave(period: Any, cosine: Any, sine: Any) -> Any:
        return cosine * np.cos(2.0 * np.pi * x / period) + sine * np.sin(2.0 * np.pi * x / period)

    return b1 + wave(12.0, b2, b3) + wave(b4, b5, b6) + wave(b7, b8, b9)


CURVES: Final[dict[str, Callable[..., Any]]] = {
    "Bennett5": lambda x, b1, b2, b3: b1 * (b2 + x) ** (-1.0 / b3),
    "BoxBOD": _growth,
    "Chwirut1": _chwirut,
    "Chwirut2": _chwirut,
    "DanWood": lambda x, b1, b2: b1 * x**b2,
    "ENSO": _enso,
    "Eckerle4": lambda x, b1, b2, b3: (b1 / b2) * np.exp(-0.5 * ((x - b3) / b2) ** 2),
    "Gauss1": _gauss,
    "Gauss2": _gauss,
    "Gauss3": _gauss,
    "Hahn1": _rational(3),
    "Kirby2": _rational(2),
    "Lanczos1": _lanczos,
    "Lanczos2": _lanczos,
    "Lanczos3": _lanczos,
    "MGH09": lambda x, b1, b2, b3, b4: b1 * (x**2 + x * b2) / (x**2 + x * b3 + b4),
    "MGH10": lambda x, b1, b2, b3: b1 * np.exp(b2 / (x + b3)),
    "MGH17": lambda x, b1, b2, b3, b4, b5: b1 + b2 * np.exp(-x * b4) + b3 * np.exp(-x * b5),
    "Misra1a": _growth,
    "Misra1b": lambda x, b1, b2: b1 * (1.0 - (1.0 + b2 * x / 2.0) ** -2),
    "Misra1c": lambda x, b1, b2: b1 * (1.0 - (1.0 + 2.0 * b2 * x) ** -0.5),
    "Misra1d": lambda x, b1, b2: b1 * b2 * x / (1.0 + b2 * x),
    "Nelson": lambda x, b1, b2, b3: b1 - b2 * x[0] * np.exp(-b3 * x[1]),
    "Rat42": lambda x, b1, b2, b3: b1 / (1.0 + np.exp(b2 - b3 * x)),
    "Rat43": lambda x, b1, b2, b3, b4: b1 / (1.0 + np.exp(b2 - b3 * x)) ** (1.0 / b4),
    "Roszman1": lambda x, b1, b2, b3, b4: b1 - b2 * x - np.arctan(b3 / (x - b4)) / np.pi,
    "Thurber": _rational(3),
}


@dataclass(frozen=True)
class Problem:
    """One regression with its certified values.

    Attributes
    ----------
    curve : callable
        ``curve(x, *b)``, the expectation of `y`.
    starts : ndarray of shape (2, p)
    estimates, errors : ndarray of shape (p,)
        Certified estimates and their standard deviations.
    residual_sd : float
        Certified, with n - p degrees of freedom.
    y, x : ndarray of shape (n,), or (k, n) for `x` with k predictors
    """

    name: str
    curve: Callable[..., Any]
    starts: Array
    estimates: Array
    errors: Array
    residual_sd: float
    y: Array
    x: Array


def load(name: str) -> Problem:
    """Read one of the files of `FOLDER`; the places of the numbers in it are those that NIST documents."""
    lines = (FOLDER / f"{name}.dat").read_text(encoding="ascii").splitlines()
    rows = [line.split("=")[1].split() for line in lines[40:60] if re.match(r"\s*b\d+ =", line)]
    table = np.array(rows, dtype=np.float64)
    data = np.array([line.split() for line in lines[60:] if line.strip()], dtype=np.float64).T
    y = np.log(data[0]) if name == "Nelson" else data[0]  # whose model is that of log(y)
    (sd,) = (float(line.split(":")[1]) for line in lines if line.startswith("Residual Standard Dev"))
    x = data[1] if len(data) == 2 else data[1:]
    return Problem(name, CURVES[name], table[:, :2].T, table[:, 2], table[:, 3], sd, y, x)


def solve(problem: Problem, start: int) -> FitResult:
    """The Gaussian likelihood of ``b = start * units`` and of `log_sigma`, fitted from one of the starts.

    The coefficients of one curve differ by up to nine orders of magnitude: in units of where they start they
    are all near 1, and a trust region is round.
    """
    b = problem.starts[start]
    residuals = problem.y - problem.curve(problem.x, *b)

    def gaussian(units: Any, log_sigma: Any) -> Any:
        fitted = problem.curve(problem.x, *(b[i] * units[i] for i in range(b.size)))
        return norm.logpdf(problem.y, fitted, np.exp(log_sigma)).sum()

    log_sigma = 0.5 * float(np.log(np.mean(residuals**2)))
    with warnings.catch_warnings():
        if problem.name == "Lanczos1":
            # Its residuals are 1e-13 of data near 1: rounding alone is half a percent of a standard error,
            # and `fit` rightly says that it cannot come closer.
            warnings.simplefilter("ignore", ConvergenceWarning)
        return fit(
            gaussian,
            {"units": np.ones(b.size), "log_sigma": log_sigma},
            METHODS.get((problem.name, start), "trust-exact"),
            maxiter=5000,
        )


def expected_errors(problem: Problem, b: Array, residual_sd: float) -> Array:
    """Standard errors by the expected information of the coefficients, ``J'J / residual_sd**2``."""
    curve = trace(lambda b: problem.curve(problem.x, *(b[i] for i in range(problem.estimates.size))), b)
    jacobian = curve.jacobian(b)
    scale = np.linalg.norm(jacobian, axis=0)
    _, triangle = np.linalg.qr(jacobian / scale)
    inverse = np.linalg.inv(triangle)
    errors: Array = residual_sd * np.linalg.norm(inverse, axis=1) / scale
    return errors


def checks() -> Iterator[Check]:
    """Every regression from both starts."""
    for name in CURVES:
        problem = load(name)
        for start in range(2):
            yield from compare(problem, start)


def compare(problem: Problem, start: int) -> Iterator[Check]:
    """Estimates, residual standard deviation and standard errors of one fit against the certified ones."""
    case = f"{problem.name} start {start + 1}"
    result = solve(problem, start)
    p = problem.estimates.size
    b = problem.starts[start] * result.x[:p]
    unbiased = np.sqrt(problem.y.size / (problem.y.size - p))
    residual_sd = unbiased * float(np.exp(result.x[p]))
    expected = expected_errors(problem, b, residual_sd)
    observed = unbiased * np.abs(problem.starts[start]) * result.bse[:p]
    needed = 1.5 if problem.name == "Lanczos1" else 8.0  # the data have more digits than float64
    right = log_relative_error(expected, problem.errors)
    yield Check(case, "estimates", log_relative_error(b, problem.estimates), 8.0)
    yield Check(case, "residual sd", log_relative_error(residual_sd, problem.residual_sd), needed)
    yield Check(case, "errors, expected", right, needed)
    agreement = log_relative_error(observed, expected)
    if agreement >= 3.0:
        digits = log_relative_error(observed, problem.errors)
        yield Check(case, "errors, observed", digits, min(agreement, right) - 0.5)
