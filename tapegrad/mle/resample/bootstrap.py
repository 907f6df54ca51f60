"""The bootstrap: refits on resampled observations, or on simulated data."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from tapegrad.mle.climb.surfaces import Surface
from tapegrad.mle.estimate import Estimate
from tapegrad.mle.infer.observations import influence
from tapegrad.mle.levels import checked_alpha, normal_intervals
from tapegrad.mle.model.model import Model
from tapegrad.mle.model.rows import group_index, labels_of, sums_by_group
from tapegrad.mle.resample.maxima import (
    Reweighted,
    base_weights,
    maxima,
    natural_rows,
    require_converged,
    warn_of_failures,
)
from tapegrad.mle.resample.simulation import Simulate, simulated
from tapegrad.mle.tables import Table, Tabled

Array: TypeAlias = npt.NDArray[np.float64]

KINDS = ("case", "wild", "parametric")
INTERVALS = ("percentile", "bca", "basic", "normal")


def checked_interval(method: str) -> str:
    """`method`, if it is a kind of interval from draws."""
    if method not in INTERVALS:
        raise ValueError(f"no interval {method!r}: choose one of {', '.join(INTERVALS)}")
    return method


@dataclass(frozen=True, eq=False, repr=False)
class Bootstrap(Tabled):
    """The estimates of many refits.

    Attributes
    ----------
    x : ndarray, shape (p,)
        The estimates of the fit.
    names : tuple of str
    draws : ndarray, shape (b, p)
        The estimates of the refits that have converged.
    failed : int
        How many have not.
    influence : ndarray, shape (k, p), or None
        The influence of each observation, or group, on the estimates; BCa takes its acceleration from them.
    """

    x: Array
    names: tuple[str, ...]
    draws: Array
    failed: int
    influence: Array | None

    @property
    def bias(self) -> Array:
        """Mean of the draws minus the estimates, shape (p,)."""
        return np.asarray(self.draws.mean(axis=0) - self.x)

    @property
    def bse(self) -> Array:
        """Standard deviation of the draws, shape (p,)."""
        return np.asarray(self.draws.std(axis=0, ddof=1))

    def cov_params(self) -> Array:
        """Covariance matrix of the draws, shape (p, p)."""
        return np.cov(self.draws, rowvar=False).reshape(self.x.size, self.x.size)

    def conf_int(self, alpha: float = 0.05, method: str = "percentile") -> Array:
        """Confidence intervals, shape (p, 2).

        Parameters
        ----------
        alpha : float
            One minus the confidence level, between 0 and 1.
        method : str
            "percentile": quantiles of the draws. "bca": those with bias and acceleration corrected (B. Efron
            1987), the acceleration from the skewness of the influences. "basic": twice the estimate minus
            the quantiles. "normal": the estimate minus the bias, plus and minus normal quantiles times `bse`.

        Raises
        ------
        ValueError
            If `alpha` or `method` is none of these, or if "bca" has no influences to go by.
        """
        levels = np.array([checked_alpha(alpha) / 2.0, 1.0 - alpha / 2.0])
        if checked_interval(method) == "normal":
            return normal_intervals(self.x - self.bias, self.bse, alpha)
        if method == "bca":
            return self._bca(levels)
        quantiles = np.quantile(self.draws, levels, axis=0).T
        return np.asarray(quantiles if method == "percentile" else 2.0 * self.x[:, None] - quantiles[:, ::-1])

    def _bca(self, levels: Array) -> Array:
        """Efron's intervals: quantiles of the draws at levels moved by bias and acceleration."""
        if self.influence is None:
            raise ValueError(
                "bca takes its acceleration from each observation's influence: let the log-likelihood return "
                "an array of shape (n,), without the .sum() at its end; or ask for another interval"
            )
        ends = np.empty((self.x.size, 2))
        for i, (draws, moved) in enumerate(zip(self.draws.T, self.influence.T, strict=True)):
            if np.ptp(draws) <= 1e-14 * abs(self.x[i]):  # fixed, or the one in a correlation matrix
                ends[i] = self.x[i]
                continue
            # Draws equal to the estimate count half, as in SciPy.
            below = 0.5 * (np.mean(draws < self.x[i]) + np.mean(draws <= self.x[i]))
            acceleration = np.sum(moved**3) / (6.0 * np.sum(moved**2) ** 1.5)
            z = ndtri(below) + ndtri(levels)
            ends[i] = np.nan
            # With all draws on one side they say nothing of the bias but its sign.
            if 0.0 < below < 1.0 and (acceleration * z < 1.0).all():
                ends[i] = np.quantile(draws, ndtr(ndtri(below) + z / (1.0 - acceleration * z)))
        return ends

    def table(self) -> Table:
        """Estimates, bias, errors and intervals: print it, or take its HTML, LaTeX or Markdown."""
        columns = zip(self.names, self.x, self.bias, self.bse, self.conf_int(), strict=True)
        rows = [
            (name, f"{x:.6g}", f"{bias:.4g}", f"{error:.4g}", f"{low:.6g} to {high:.6g}")
            for name, x, bias, error, (low, high) in columns
        ]
        failed = f", {self.failed} more have failed" if self.failed else ""
        header = ("", "estimate", "bias", "std. error", "95% percentile interval")
        return Table(header, tuple(rows), notes=(f"{len(self.draws)} refits{failed}",))

    def __str__(self) -> str:
        return str(self.table())

    __repr__ = __str__


def bootstrap(
    result: Estimate,
    draws: int = 1000,
    *,
    kind: str = "case",
    groups: Any = None,
    simulate: Simulate | None = None,
    seed: int | None = None,
    progress: bool = False,
) -> Bootstrap:
    """Refit a model many times.

    Observations are resampled as weights on their log-likelihoods, so that all refits share one trace and
    start at the estimates.

    Parameters
    ----------
    result : FitResult
        A fit that has converged.
    draws : int
        The number of refits.
    kind : str
        "case": observations are drawn with replacement. "wild": each observation's log-likelihood is
        multiplied by ``1 + v`` with v from E. Mammen's two-point distribution (1993), of mean 0, variance 1
        and third moment 1, which keeps every observation in every refit. "parametric": on data that
        `simulate` draws.
    groups : array_like, shape (n,), or str, optional
        Clusters, or the column of the data that has them: "case" draws them as a whole, "wild" draws one v
        for each.
    simulate : callable, optional
        For "parametric": ``simulate(params, rng)`` gives new arrays for those in ``fit(..., data=)``, as a
        dict, drawn from the model at `params` with the NumPy generator `rng`.
    seed : int, optional
        Of the draws.
    progress : bool
        Whether to show a progress bar on standard error.

    Returns
    -------
    Bootstrap

    Raises
    ------
    ValueError
        If the fit has not converged or does not return one log-likelihood for each observation, if `kind`
        and the other arguments do not fit together, if fewer than two refits have converged, or if
        simulated data always give the same estimate of a parameter.

    Warns
    -----
    ConvergenceWarning
        If some refits have not converged; they are left out and counted.

    Examples
    --------
    >>> import numpy as np
    >>> from tapegrad import fit
    >>> from tapegrad.mle import bootstrap
    >>> from tapegrad.stats import norm
    >>> x = np.array([4.0, 5.5, 6.0, 4.5, 5.0, 7.5, 3.5, 5.0])
    >>> result = fit(lambda mu: norm.logpdf(x, mu, 1.0), dict(mu=0.0))
    >>> bootstrap(result, 2000, seed=1).bse.round(1)  # the standard deviation / sqrt(8)
    array([0.4])
    """
    if kind not in KINDS:
        raise ValueError(f"no bootstrap {kind!r}: choose one of {', '.join(KINDS)} (groups= makes clusters)")
    if draws < 2:
        raise ValueError(f"a bootstrap takes 2 refits or more, not {draws}")
    if (kind == "parametric") != (simulate is not None):
        raise ValueError("simulate= goes with kind='parametric', and 'parametric' needs it")
    if kind == "parametric" and groups is not None:
        raise ValueError("groups= goes with the kinds 'case' and 'wild'; let simulate draw the clusters")
    model, start = require_converged(result)
    rng = np.random.default_rng(seed)
    if simulate is not None:
        surfaces: Iterator[Surface] = (
            drawn.function for drawn in simulated(model, start, simulate, draws, rng)
        )
    else:
        model.require_rows("the case and the wild bootstrap")
        surfaces = _reweighted(model, kind, groups, draws, rng)
    ends, converged = maxima(surfaces, start, "bootstrap", draws, progress)
    if converged.sum() < 2:
        raise ValueError(
            f"{draws - converged.sum()} of {draws} refits have not converged: too few are left for a result"
        )
    warn_of_failures(converged, "refits", "are left out")
    found = natural_rows(model, ends[converged])
    if kind == "parametric":
        _check_spread(found, result)
    moved = None
    if model.rows is not None:
        moved = sums_by_group(influence(result), labels_of(model, groups))
    return Bootstrap(result.x, result.names, found, int(np.sum(~converged)), moved)


def _reweighted(model: Model, kind: str, groups: Any, n: int, rng: np.random.Generator) -> Iterator[Surface]:
    base = base_weights(model)
    index, count = group_index(labels_of(model, groups), base.size)
    for _ in range(n):
        if kind == "case":
            factors = np.bincount(rng.integers(count, size=count), minlength=count).astype(np.float64)
        else:
            factors = _mammen(count, rng)
        yield Reweighted(model, base * factors[index])


def _mammen(count: int, rng: np.random.Generator) -> Array:
    """``1 + v``, where v is (1 - r) / 2 with probability (r + 1) / (2 r) and else (1 + r) / 2, r = sqrt 5."""
    root = np.sqrt(5.0)
    low = rng.random(count) < (root + 1.0) / (2.0 * root)
    return np.asarray(np.where(low, (3.0 - root) / 2.0, (3.0 + root) / 2.0))


def _check_spread(draws: Array, result: Estimate) -> None:
    still = (draws == draws[0]).all(axis=0) & ~result.is_fixed
    if still.any():
        names = ", ".join(np.array(result.names)[still])
        raise ValueError(
            f"{names} came out the same from all simulated data: let simulate(params, rng) draw all data "
            "that depend on the parameters, with rng"
        )
