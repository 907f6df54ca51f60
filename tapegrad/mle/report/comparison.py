"""Several fits of the same data, side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.mle.estimate import Estimate
from tapegrad.mle.report.sidebyside import side_by_side
from tapegrad.mle.tables import Table, Tabled

Array: TypeAlias = npt.NDArray[np.float64]
_HEADER = ("", "df", "log-lik.", "AIC", "AICc", "BIC")
_CRITERIA = {"aic": "AIC", "aicc": "AICc", "bic": "BIC"}
_UNKNOWN = "AICc and BIC need the number of observations, which is not known of all: pass nobs= to fit"


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Tabled):
    """Models by information criteria, the best first; print it.

    Attributes
    ----------
    names : tuple of str
    df : ndarray of int, shape (k,)
        Numbers of free parameters.
    llf, aic, aicc, bic : ndarray of shape (k,)
        AICc and BIC are NaN where the number of observations is not known; the printed table says so.
    delta : ndarray of shape (k,)
        The criterion `by`, less the smallest one.
    weights : ndarray of shape (k,)
        Akaike weights, or those of another criterion, ``exp(-delta / 2)`` scaled to add up to 1; K. P.
        Burnham and D. R. Anderson, *Model Selection and Multimodel Inference*, 2002, section 2.9.
    given : tuple of (str, FitResult)
        The fits with their names, in the order in which they were given.
    by : str
        The criterion by which they are ordered and weighted.
    """

    names: tuple[str, ...]
    df: npt.NDArray[np.intp]
    llf: Array
    aic: Array
    aicc: Array
    bic: Array
    delta: Array
    weights: Array
    given: tuple[tuple[str, Estimate], ...]
    by: str = "aic"

    def table(self) -> Table:
        """The criteria as a table: print it, or take its HTML, LaTeX or Markdown."""
        numbers = [_texts(column) for column in (self.llf, self.aic, self.aicc, self.bic, self.delta)]
        weights = [f"{weight:.3f}" for weight in self.weights]
        rows = tuple(zip(self.names, map(str, self.df), *numbers, weights, strict=True))
        header = (*_HEADER, f"d{_CRITERIA[self.by]}", "weight")
        return Table(header, rows, notes=(_UNKNOWN,) if np.isnan(self.bic).any() else ())

    def side_by_side(self, *, stars: bool = True) -> Table:
        """The coefficients of the fits side by side, with their errors beneath, in the order given.

        Parameters
        ----------
        stars : bool
            Whether to mark small p-values.
        """
        names, fits = zip(*self.given, strict=True)
        return side_by_side(*fits, names=names, stars=stars)

    def __str__(self) -> str:
        return str(self.table())

    __repr__ = __str__


def _texts(column: Array) -> list[str]:
    """A column of numbers in one format."""
    plain = np.nanmax(np.abs(column), initial=0.0) < 1e9
    return [format(value, ".2f" if plain else ".5e") for value in column]


def compare(*results: Estimate, names: Sequence[str] | None = None, by: str = "aic") -> Comparison:
    """Compare fits of the same data by AIC, AICc and BIC.

    ``compare(...).side_by_side()`` has their coefficients.

    Parameters
    ----------
    *results : FitResult
        Two or more.
    names : sequence of str, optional
        What to call them; by default their `model`.
    by : str
        "aic", "aicc" or "bic": what they are ordered and weighted by.

    Raises
    ------
    ValueError
        If there are fewer than two, or another number of names; if their numbers of observations differ, or
        are not known where the criterion needs them; or if one of them has not converged.

    Examples
    --------
    >>> import numpy as np
    >>> from tapegrad import fit
    >>> from tapegrad.mle import compare
    >>> from tapegrad.stats import norm
    >>> x = np.array([4.0, 5.5, 6.0, 4.5, 5.0])
    >>> free = fit(lambda mu: norm.logpdf(x, mu, 1.0).sum(), dict(mu=0.0))
    >>> also = fit(lambda mu, log_s: norm.logpdf(x, mu, np.exp(log_s)).sum(), dict(mu=0.0, log_s=0.0))
    >>> print(compare(free, also, names=["s = 1", "s free"]))
            df  log-lik.    AIC   AICc    BIC  dAIC  weight
    s = 1    1     -5.84  13.69  15.02  13.30  0.00   0.626
    s free   2     -5.36  14.72  20.72  13.94  1.03   0.374
    """
    if len(results) < 2:
        raise ValueError("compare takes two or more fits: compare(first, second)")
    names = [result.model for result in results] if names is None else list(names)
    if len(names) != len(results):
        raise ValueError(f"{len(results)} fits need {len(results)} names, not {len(names)}")
    known = {result.nobs for result in results if result.nobs is not None}
    if len(known) > 1:
        counts = ", ".join(map(str, sorted(known)))
        raise ValueError(f"the fits have {counts} observations: their log-likelihoods cannot be compared")
    for name, result in zip(names, results, strict=True):
        if not result.converged:
            raise ValueError(
                f"{name} has not converged, and its log-likelihood is no maximum: {result.message}"
            )
    if by not in _CRITERIA:
        raise ValueError(f"by is one of {', '.join(_CRITERIA)}, not {by!r}")
    if by != "aic" and any(result.nobs is None for result in results):
        raise ValueError(f"{_CRITERIA[by]} needs the number of observations: pass nobs= to fit")
    criterion = np.array([getattr(result, by) for result in results])
    order = np.argsort(criterion, kind="stable")
    sorted_results, delta = [results[i] for i in order], criterion[order] - criterion.min()
    weights = np.exp(-0.5 * delta)
    return Comparison(
        names=tuple(names[i] for i in order),
        df=np.array([result.df_model for result in sorted_results]),
        llf=np.array([result.llf for result in sorted_results]),
        aic=np.array([result.aic for result in sorted_results]),
        aicc=np.array([np.nan if result.nobs is None else result.aicc for result in sorted_results]),
        bic=np.array([np.nan if result.nobs is None else result.bic for result in sorted_results]),
        delta=delta,
        weights=weights / weights.sum(),
        given=tuple(zip(names, results, strict=True)),
        by=by,
    )
