"""What simulated data say about a fit: expected information, consistency, and coverage of the intervals."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import chdtrc

from tapegrad.mle.hypotheses import HypothesisTest
from tapegrad.mle.inference import checked_alpha, covariance, is_definite, normal_intervals, solve

if TYPE_CHECKING:
    from tapegrad.mle.model import Model
    from tapegrad.mle.result import FitResult

Array: TypeAlias = npt.NDArray[np.float64]
Simulate: TypeAlias = Callable[..., Mapping[str, Any]]


def _draws(result: "FitResult", simulate: Simulate, draws: int, seed: int | None) -> Iterator["Model"]:
    """The model on data simulated at the estimates, again and again."""
    model = result.require_model("simulation")
    if not model.data:
        raise ValueError("simulation replaces the data: pass them as fit(loglik, params, data=dict(x=x))")
    if draws < 2:
        raise ValueError(f"draws must be 2 or more, not {draws}")
    rng = np.random.default_rng(seed)
    for _ in range(draws):
        yield model.with_data(**simulate(result.params, rng))


def _free(result: "FitResult") -> Array:
    return result.x if result.free is None else result.free


def expected_information(
    result: "FitResult", simulate: Simulate | None = None, draws: int = 200, seed: int | None = None
) -> Array:
    """The expected (Fisher) information of the free coordinates at the estimates.

    Parameters
    ----------
    result : FitResult
    simulate : callable, optional
        ``simulate(params, rng)`` gives new data as a mapping, under the names of `data`. The observed
        information is then averaged over such data. Without it, the outer products of the scores of the
        observations are added up, which needs a log-likelihood of one value per observation: their
        expectation is the information (Berndt, Hall, Hall and Hausman 1974).
    draws : int
        Number of simulated data sets.
    seed : int, optional

    Returns
    -------
    ndarray of shape (q, q)

    Raises
    ------
    ValueError
        If there is neither, or the fit has no data to replace.
    """
    free = _free(result)
    if simulate is None:
        from tapegrad.mle.rows import scores

        found = scores(result.require_model("the expected information"), free)
        return np.asarray(found.T @ found)
    total = np.zeros((free.size, free.size))
    for model in _draws(result, simulate, draws, seed):
        total -= model.tape.hessian(free)
    return total / draws


def check_consistency(
    result: "FitResult", simulate: Simulate, draws: int = 200, *, seed: int | None = None
) -> HypothesisTest:
    """Test whether the log-likelihood is that of the data which `simulate` makes.

    At the parameters from which data are simulated, the expectation of the gradient of the right
    log-likelihood is zero. Hotelling's statistic of the gradients' mean over the draws is compared with that
    (as TMB's ``checkConsistency``). A small p-value means a mistake in one of the two.

    Parameters
    ----------
    result : FitResult
    simulate : callable
        ``simulate(params, rng)`` gives new data as a mapping, under the names of `data`.
    draws : int
        More than the number of parameters.
    seed : int, optional

    Returns
    -------
    HypothesisTest

    Raises
    ------
    ValueError
        If there are too few draws, or the gradients are not finite or depend on each other.
    """
    free = _free(result)
    gradients = np.array(
        [model.tape.value_and_grad_flat(free)[1] for model in _draws(result, simulate, draws, seed)]
    )
    if draws <= free.size:
        raise ValueError(f"{free.size} parameters need more than {free.size} draws, not {draws}")
    mean, spread = gradients.mean(axis=0), np.atleast_2d(np.cov(gradients.T)) / draws
    if not is_definite(spread):
        raise ValueError(
            "the gradients on simulated data are not finite, or depend on each other: check simulate, and "
            "that the log-likelihood depends on all parameters"
        )
    statistic = float(mean @ solve(spread, mean))
    hypothesis = "the log-likelihood fits the simulated data"
    return HypothesisTest("score", hypothesis, statistic, free.size, float(chdtrc(free.size, statistic)))


@dataclass(frozen=True, eq=False)
class Study:
    """Fits of simulated data; print it.

    Attributes
    ----------
    names : tuple of str
    truth : ndarray of shape (p,)
        The parameters that the data were simulated with.
    estimates, errors : ndarray of shape (r, p)
        Estimates and standard errors of the r fits that converged.
    alpha : float
        One minus the level of the intervals.
    failed : int
        How many fits did not converge.
    """

    names: tuple[str, ...]
    truth: Array
    estimates: Array
    errors: Array
    alpha: float
    failed: int

    @property
    def bias(self) -> Array:
        """Mean of the estimates less the truth, of shape (p,)."""
        return np.asarray(self.estimates.mean(axis=0) - self.truth)

    @property
    def sd(self) -> Array:
        """Standard deviation of the estimates, of shape (p,): what the standard errors estimate."""
        return np.asarray(self.estimates.std(axis=0, ddof=1))

    @property
    def coverage(self) -> Array:
        """Share of the Wald intervals that hold the truth, of shape (p,)."""
        inside = []
        for x, bse in zip(self.estimates, self.errors, strict=True):
            low, high = normal_intervals(x, bse, self.alpha).T
            inside.append((low <= self.truth) & (self.truth <= high))
        return np.asarray(np.mean(inside, axis=0))

    def __str__(self) -> str:
        from tapegrad.mle.summary import text_table

        rows = [("", "truth", "bias", "sd", "mean se", "coverage")]
        columns = (self.names, self.truth, self.bias, self.sd, self.errors.mean(axis=0), self.coverage)
        rows += [
            (name, *(f"{value:.4g}" for value in values), f"{share:.3f}")
            for name, *values, share in zip(*columns, strict=True)
        ]
        count = f"{len(self.estimates)} fits of simulated data, {self.failed} more did not converge"
        return "\n".join([f"{count}; {100 * (1 - self.alpha):g}% Wald intervals", *text_table(rows)])


def coverage(
    result: "FitResult", simulate: Simulate, draws: int = 200, *, alpha: float = 0.05, seed: int | None = None
) -> Study:
    """Fit data simulated at the estimates: bias, true errors, and coverage of Wald's intervals.

    Parameters
    ----------
    result : FitResult
    simulate : callable
        ``simulate(params, rng)`` gives new data as a mapping, under the names of `data`.
    draws : int
        Number of simulated data sets.
    alpha : float
        One minus the confidence level.
    seed : int, optional

    Returns
    -------
    Study

    Raises
    ------
    ValueError
        If fewer than two of the fits converge.
    """
    from tapegrad.mle.fit import refit

    checked_alpha(alpha)
    free = _free(result)
    estimates, errors = [], []
    for model in _draws(result, simulate, draws, seed):
        found = refit(model, free)
        if not found.converged:
            continue
        cov = covariance(-model.tape.hessian(found.free))
        jacobian = model.space.jacobian(found.free)
        estimates.append(model.space.natural(found.free))
        errors.append(np.sqrt(np.diag(jacobian @ cov @ jacobian.T)))
    if len(estimates) < 2:
        raise ValueError(f"only {len(estimates)} of {draws} fits of simulated data converged: check simulate")
    return Study(result.names, result.x, np.array(estimates), np.array(errors), alpha, draws - len(estimates))
