"""The coefficients of several fits side by side."""

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.mle.estimate import Estimate
from tapegrad.mle.report.summary import stars_of, text_of
from tapegrad.mle.tables import Table

Array: TypeAlias = npt.NDArray[np.float64]

_LEGEND: Final = "*** p < 0.001, ** p < 0.01, * p < 0.05, . p < 0.1; standard errors in brackets"
_NO_STARS: Final = "Standard errors in brackets"


def side_by_side(*results: Estimate, names: Sequence[str] | None = None, stars: bool = True) -> Table:
    """The coefficients of several fits side by side, as papers have them: estimates with errors beneath.

    Parameters
    ----------
    *results : FitResult
        Of any models; what has the same name stands in one line.
    names : sequence of str, optional
        What to call them; by default their `model`.
    stars : bool
        Whether to mark small p-values.

    Returns
    -------
    Table
        Print it, or take `as_html()`, `as_latex()` or `as_markdown()`.

    Raises
    ------
    ValueError
        If there is no fit, or another number of names.

    Examples
    --------
    >>> import numpy as np
    >>> from tapegrad import fit
    >>> from tapegrad.mle import side_by_side
    >>> from tapegrad.stats import norm
    >>> x = np.array([4.0, 5.5, 6.0, 4.5, 5.0])
    >>> free = fit(lambda mu: norm.logpdf(x, mu, 1.0), dict(mu=0.0))
    >>> also = fit(lambda mu, log_s: norm.logpdf(x, mu, np.exp(log_s)), dict(mu=0.0, log_s=0.0))
    >>> print(side_by_side(free, also, names=["s = 1", "s free"]))
                    s = 1     s free
    mu               5.000***   5.000***
                    (0.447)    (0.316)
    log_s                      -0.347
                               (0.316)
    ---
    Observations            5          5
    Log-likelihood      -5.84      -5.36
    AIC                 13.69      14.72
    BIC                 13.30      13.94
    Covariance      nonrobust  nonrobust
    *** p < 0.001, ** p < 0.01, * p < 0.05, . p < 0.1; standard errors in brackets
    """
    if not results:
        raise ValueError("side_by_side takes one fit or more: side_by_side(first, second)")
    names = [result.model for result in results] if names is None else list(names)
    if len(names) != len(results):
        raise ValueError(f"{len(results)} fits need {len(results)} names, not {len(names)}")
    labels = list(dict.fromkeys(name for result in results for name in result.names))
    columns = [_column(result, labels, stars) for result in results]
    firsts = [part for label in labels for part in (label, "")]
    below = [("Observations", "Log-likelihood", "AIC", "BIC", "Covariance"), *map(_foot, results)]
    rows = [*zip(firsts, *columns, strict=True), *zip(*below, strict=True)]
    note = _LEGEND if stars else _NO_STARS
    return Table(("", *names), tuple(rows), notes=(note,), rules=(len(firsts),))


def _column(result: Estimate, labels: list[str], stars: bool) -> list[str]:
    """An estimate and its error beneath for each label, in one format, and blank where there is none."""
    form = _format(result.x, result.bse)
    stars = stars and result.converged  # what is no maximum has no significant coefficients
    marks = [stars_of(p) if stars else "" for p in result.pvalues]
    room = max(map(len, marks), default=0)
    cells = []
    for label in labels:
        if label not in result.names:
            cells += ["", ""]
            continue
        place = result.names.index(label)
        error = "fixed" if result.is_fixed[place] else format(result.bse[place], form)
        # Blanks stand where others have stars; the bracket stands below the first one.
        estimate = text_of(result.x[place], form) + marks[place].ljust(max(room, 1))
        cells += [estimate, f"({error})" + " " * (max(room, 1) - 1)]
    return cells


def _format(estimates: Array, errors: Array) -> str:
    """Three decimals, or as many as show three digits of the smallest error, up to six."""
    sizes = errors[np.isfinite(errors) & (errors > 0.0)]
    smallest = float(sizes.min(initial=np.inf))
    decimals = 3 if not np.isfinite(smallest) else max(3, 1 - int(np.floor(np.log10(smallest))))
    large = max(np.abs(estimates).max(initial=0.0), sizes.max(initial=0.0)) >= 1e7
    return ".2e" if large or decimals > 6 else f".{decimals}f"


def _foot(result: Estimate) -> tuple[str, ...]:
    known = result.nobs is not None
    criteria = (result.llf, result.aic, result.bic if known else np.nan)
    form = ".2f" if np.nanmax(np.abs(criteria)) < 1e9 else ".5e"
    texts = [format(value, form) if np.isfinite(value) else "unknown" for value in criteria]
    end = result.cov_type if result.converged else "NOT CONVERGED"
    return (f"{result.nobs:,}" if known else "unknown", *texts, end)
