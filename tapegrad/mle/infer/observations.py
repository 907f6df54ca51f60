"""A fit, observation by observation: log-likelihoods, scores and influences of a result, and Vuong's test."""

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from tapegrad.mle.estimate import Estimate
from tapegrad.mle.infer.hypotheses import require_maximum
from tapegrad.mle.matrices import is_definite, solve
from tapegrad.mle.model.model import Model
from tapegrad.mle.model.rows import weighted_scores
from tapegrad.mle.tables import Table, Tabled

Array: TypeAlias = npt.NDArray[np.float64]

CORRECTIONS: Final = ("none", "aic", "bic")


def pointwise(result: Estimate, draws: Any = None) -> Array:
    """Log-likelihood of each observation, at the estimates or at draws of the parameters.

    Parameters
    ----------
    result : FitResult
        A fit of a log-likelihood that returns one value for each observation.
    draws : array_like, shape (s, p), optional
        Natural parameter vectors, from a posterior for example.

    Returns
    -------
    ndarray, shape (n,) or (s, n)
        Without weights. With draws it is the matrix that WAIC and PSIS-LOO are computed from.

    Raises
    ------
    ValueError
        If the log-likelihood is one number, if a draw breaks a constraint or moves a parameter that the fit
        held fixed or tied, or if `draws` has another shape.

    Examples
    --------
    >>> import numpy as np
    >>> from tapegrad import fit
    >>> from tapegrad.mle import pointwise
    >>> from tapegrad.stats import norm
    >>> x = np.array([1.0, 2.0, 3.0])
    >>> result = fit(lambda mu: norm.logpdf(x, mu, 1.0), dict(mu=0.0))
    >>> pointwise(result).round(4)
    array([-1.4189, -0.9189, -1.4189])
    >>> pointwise(result, [[2.0], [1.0]]).shape
    (2, 3)
    """
    model = result.require_model("pointwise log-likelihoods")
    if draws is None:
        return _pointwise(model, result.free_estimates)
    vectors = np.asarray(draws, dtype=np.float64)
    if vectors.ndim != 2 or vectors.shape[1] != result.x.size:
        raise ValueError(f"draws must have shape (s, {result.x.size}), not {vectors.shape}")
    free = [model.space.free(vector) for vector in vectors]
    _check_ties(result, vectors, np.array([model.space.natural(one) for one in free]))
    return np.array([_pointwise(model, one) for one in free])


def _pointwise(model: Model, free: Array) -> Array:
    values: Array = model.require_rows("pointwise values")(free)
    return values


def _check_ties(result: Estimate, draws: Array, back: Array) -> None:
    """Whether draws survive the way through free coordinates, which fixed and tied parameters do not have."""
    apart = np.abs(back - draws) > 1e-6 * (1.0 + np.abs(draws))
    if apart.any():
        draw, place = np.argwhere(apart)[0]
        raise ValueError(
            f"{result.names[place]} is {draws[draw, place]:.6g} in draw {draw}, but fixed at, or tied to, "
            f"{back[draw, place]:.6g} in the fit"
        )


def scores(result: Estimate) -> Array:
    """Derivative of each observation's log-likelihood (times its weight) at the estimates, shape (n, q).

    With respect to the free coordinates, which without transforms are the parameters.

    Raises
    ------
    ValueError
        If the log-likelihood is one number.
    """
    return weighted_scores(result.require_model("scores"), result.free_estimates)


def influence(result: Estimate) -> Array:
    """How far each observation moves the estimates, to first order, shape (n, p).

    Row i is about the estimates minus those without observation i (times its weight); exactly, it is the
    derivative of the estimates with respect to the observation's weight, times the weight: the natural
    Jacobian times ``information^-1 score_i`` (the infinitesimal jackknife; L. A. Jaeckel 1972). All are
    ``nan`` where the information is not positive definite.

    Raises
    ------
    ValueError
        If the log-likelihood is one number.
    """
    model = result.require_model("influences")
    found = weighted_scores(model, result.free_estimates)
    jacobian = model.space.jacobian(result.free_estimates)
    if not is_definite(result.observed_info):
        return np.full((found.shape[0], jacobian.shape[0]), np.nan)
    moved: Array = (jacobian @ solve(result.observed_info, found.T)).T
    return moved


@dataclass(frozen=True)
class VuongTest(Tabled):
    """Which of two models is closer to the truth.

    Attributes
    ----------
    statistic : float
        Standard normal if both are equally close; positive in favour of the first.
    pvalue : float
        Probability of a larger size of the statistic if both are equally close.
    correction : str
    """

    statistic: float
    pvalue: float
    correction: str

    def table(self) -> Table:
        """Whom it favours, the statistic and the p-value: print it, or take its HTML, LaTeX or Markdown."""
        better = f"in favour of the {'first' if self.statistic > 0.0 else 'second'} model"
        row = (better, f"{self.statistic:.6g}", f"{self.pvalue:.4g}")
        return Table(("", "z", "p"), (row,), title="Vuong's test")

    def __str__(self) -> str:
        ((better, z, p),) = self.table().rows
        return f"Vuong's test: z = {z} {better}, p = {p}"


def vuong_test(first: Estimate, second: Estimate, correction: str = "none") -> VuongTest:
    """Vuong's test of two models, neither of which contains the other, on the same observations.

    The statistic is ``sum(m_i) / (sqrt(n) s)`` with m_i the difference of the log-likelihoods of observation
    i and s their standard deviation (with divisor n; Q. H. Vuong, Econometrica 57, 1989, 307-333). "aic" and
    "bic" take the difference of the numbers of parameters off the sum, once or times ``log(n) / 2``.

    Parameters
    ----------
    first, second : FitResult
        Converged fits of log-likelihoods that return one value for each observation.
    correction : str
        "none", "aic" or "bic".

    Raises
    ------
    ValueError
        If a fit has not converged, has weights, a prior or no rows, if their numbers of observations differ,
        or if the log-likelihoods do not differ from one observation to the next.
    """
    if correction not in CORRECTIONS:
        raise ValueError(f"no correction {correction!r}: choose one of {', '.join(CORRECTIONS)}")
    for result in (first, second):
        require_maximum(result)
        if result.require_model("Vuong's test").weights is not None:
            raise ValueError("Vuong's test is not defined for weighted observations")
    values, others = pointwise(first), pointwise(second)
    if values.size != others.size:
        raise ValueError(
            f"the models have {values.size} and {others.size} observations; fit both to the same"
        )
    differences = values - others
    n = differences.size
    spread = float(differences.std())
    if not spread > 1e-12 * (1.0 + float(np.abs(values).max())):
        raise ValueError("the models give all observations the same log-likelihood: there is nothing to test")
    extra = first.free_estimates.size - second.free_estimates.size
    penalty = {"none": 0.0, "aic": extra, "bic": 0.5 * extra * np.log(n)}[correction]
    statistic = float((differences.sum() - penalty) / (np.sqrt(n) * spread))
    return VuongTest(statistic, float(2.0 * ndtr(-abs(statistic))), correction)
