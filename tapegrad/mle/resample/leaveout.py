"""Leaving observations out: the jackknife, and cross-validation."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.mle.estimate import Estimate
from tapegrad.mle.model.model import Model
from tapegrad.mle.model.rows import group_index, labels_of
from tapegrad.mle.resample.maxima import (
    Reweighted,
    base_weights,
    maxima,
    natural_rows,
    require_converged,
    warn_of_failures,
)
from tapegrad.mle.tables import Table, Tabled

Array: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class Jackknife(Tabled):
    """The estimates without each observation, or group, in turn.

    Attributes
    ----------
    x : ndarray, shape (p,)
        The estimates of the fit.
    names : tuple of str
    draws : ndarray, shape (k, p)
        The estimates without each; ``nan`` where the refit has not converged, and all that follows then is.
    """

    x: Array
    names: tuple[str, ...]
    draws: Array

    @property
    def bias(self) -> Array:
        """Quenouille's estimate of the bias, ``(k - 1) (mean of the draws - x)``, shape (p,)."""
        return np.asarray((len(self.draws) - 1.0) * (self.draws.mean(axis=0) - self.x))

    @property
    def bse(self) -> Array:
        """Tukey's standard errors, ``sqrt((k - 1) / k * sum of squares about the mean)``, shape (p,)."""
        return np.sqrt(np.diag(self.cov_params()))

    def cov_params(self) -> Array:
        """Covariance matrix, ``(k - 1) / k`` times the sum of products about the mean, shape (p, p)."""
        centred = self.draws - self.draws.mean(axis=0)
        k = len(self.draws)
        return np.asarray((k - 1.0) / k * (centred.T @ centred))

    def table(self) -> Table:
        """Estimates, bias and errors: print it, or take its HTML, LaTeX or Markdown."""
        columns = zip(self.names, self.x, self.bias, self.bse, strict=True)
        rows = tuple((name, f"{x:.6g}", f"{bias:.4g}", f"{error:.4g}") for name, x, bias, error in columns)
        return Table(("", "estimate", "bias", "std. error"), rows, notes=(f"{len(self.draws)} refits",))

    def __str__(self) -> str:
        return str(self.table())

    __repr__ = __str__


def jackknife(result: Estimate, *, groups: Any = None, progress: bool = False) -> Jackknife:
    """Refit a model without each observation in turn, or without each group.

    Parameters
    ----------
    result : FitResult
        A fit that has converged, of a log-likelihood that returns one value for each observation.
    groups : array_like, shape (n,), or str, optional
        Clusters, or the column of the data that has them, to be left out as a whole.
    progress : bool
        Whether to show a progress bar on standard error.

    Raises
    ------
    ValueError
        If the fit has not converged, or if its log-likelihood is one number.

    Warns
    -----
    ConvergenceWarning
        If some refits have not converged: the results are then ``nan``.

    Examples
    --------
    >>> import numpy as np
    >>> from tapegrad import fit
    >>> from tapegrad.mle import jackknife
    >>> from tapegrad.stats import norm
    >>> x = np.array([1.0, 2.0, 4.0, 5.0])
    >>> result = fit(lambda mu: norm.logpdf(x, mu, 1.0), dict(mu=0.0))
    >>> jackknife(result).bse.round(6), (x.std(ddof=1) / 2.0).round(6)
    (array([0.912871]), np.float64(0.912871))
    """
    model, start = require_converged(result)
    model.require_rows("jackknife refits")
    index, count = group_index(labels_of(model, groups), model.n_rows)
    ends, converged = maxima(_without(model, index, count), start, "jackknife", count, progress)
    warn_of_failures(converged, "refits", "the jackknife is NaN")
    draws = natural_rows(model, ends)
    draws[~converged] = np.nan
    return Jackknife(result.x, result.names, draws)


@dataclass(frozen=True, eq=False, repr=False)
class CrossValidation(Tabled):
    """How well a model predicts observations that it was not fitted to.

    Attributes
    ----------
    pointwise : ndarray, shape (n,)
        Log-likelihood of each observation at the estimates from the other folds, unweighted; ``nan`` where
        that refit has not converged.
    folds : ndarray of int, shape (n,)
        The fold of each observation.
    """

    pointwise: Array
    folds: npt.NDArray[np.intp]

    @property
    def elpd(self) -> float:
        """Their sum, the expected log predictive density of as many new observations."""
        return float(self.pointwise.sum())

    @property
    def se(self) -> float:
        """Standard error of `elpd`, ``sqrt(n)`` times the standard deviation of the pointwise values."""
        return float(np.sqrt(self.pointwise.size) * self.pointwise.std(ddof=1))

    def table(self) -> Table:
        """The predictive density with its error: print it, or take its HTML, LaTeX or Markdown."""
        row = ("elpd", f"{self.elpd:.6g}", f"{self.se:.4g}")
        count = f"{self.pointwise.size:,} observations in {int(self.folds.max()) + 1} folds"
        return Table(("", "value", "std. error"), (row,), notes=(count,))

    def __str__(self) -> str:
        return str(self.table())

    __repr__ = __str__


def cross_validate(
    result: Estimate, k: int = 10, *, groups: Any = None, seed: int | None = None, progress: bool = False
) -> CrossValidation:
    """Refit a model without each of k random folds, and predict the fold.

    Parameters
    ----------
    result : FitResult
        A fit that has converged, of a log-likelihood that returns one value for each observation.
    k : int
        The number of folds; the number of observations (or groups) leaves out one at a time.
    groups : array_like, shape (n,), or str, optional
        Clusters, or the column of the data that has them, that stay in one fold.
    seed : int, optional
        Of the assignment to folds.
    progress : bool
        Whether to show a progress bar on standard error.

    Raises
    ------
    ValueError
        If the fit has not converged, if its log-likelihood is one number, or if `k` is less than 2 or more
        than there are observations or groups.

    Warns
    -----
    ConvergenceWarning
        If some refits have not converged: the results are then ``nan``.
    """
    model, start = require_converged(result)
    rows = model.require_rows("cross-validated predictions")
    index, count = group_index(labels_of(model, groups), model.n_rows)
    if not 2 <= k <= count:
        raise ValueError(f"k is a number of folds from 2 to {count}, not {k}")
    fold_of_group = np.random.default_rng(seed).permutation(np.arange(count) % k)
    folds = fold_of_group[index]
    ends, converged = maxima(_without(model, folds, k), start, "cross-validation", k, progress)
    warn_of_failures(converged, "refits", "their predictions are NaN")
    values = np.full(folds.size, np.nan)
    for fold in np.flatnonzero(converged):
        held_out = folds == fold
        values[held_out] = rows(ends[fold])[held_out]
    return CrossValidation(values, folds)


def _without(model: Model, index: npt.NDArray[np.intp], count: int) -> Iterator[Reweighted]:
    base = base_weights(model)
    for i in range(count):
        yield Reweighted(model, np.where(index == i, 0.0, base))
