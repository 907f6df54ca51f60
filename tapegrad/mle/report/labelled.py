"""Results under the parameters' names, as pandas objects."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.mle.estimate import Estimate
from tapegrad.mle.infer.observations import influence, scores
from tapegrad.mle.infer.profile import profile
from tapegrad.mle.infer.random import random_effects
from tapegrad.mle.report.intervals import conf_int
from tapegrad.mle.report.summary import summarize


class Labelled:
    """The arrays of a fit as pandas Series and DataFrames; where pandas is not installed, as plain arrays.

    Made by `FitResult.labelled`. The result itself always gives arrays: what ``conf_int()[0]`` means must not
    depend on what else is installed.

    Parameters
    ----------
    result : FitResult

    Examples
    --------
    >>> from tapegrad import fit
    >>> result = fit(lambda a, b: -((a - 2.0) ** 2) - 2.0 * (b - a) ** 2, dict(a=0.0, b=0.0))
    >>> print(result.labelled.bse.round(3))
    a    0.707
    b    0.866
    dtype: float64
    """

    def __init__(self, result: Estimate) -> None:
        self._result = result

    def _series(self, values: Any) -> Any:
        pandas = _pandas()
        return values if pandas is None else pandas.Series(values, index=list(self._result.names))

    def _matrix(self, values: Any) -> Any:
        pandas, names = _pandas(), list(self._result.names)
        return values if pandas is None else pandas.DataFrame(values, index=names, columns=names)

    def _rows(self, values: Any, names: tuple[str, ...]) -> Any:
        pandas = _pandas()
        return values if pandas is None else pandas.DataFrame(values, columns=list(names))

    def __str__(self) -> str:
        return str(summarize(self._result))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return summarize(self._result).as_html()

    @property
    def params(self) -> Any:
        """The estimates."""
        return self._series(self._result.x)

    @property
    def bse(self) -> Any:
        """Standard errors."""
        return self._series(self._result.bse)

    std_errors = bse

    @property
    def zvalues(self) -> Any:
        """Estimates over their standard errors."""
        return self._series(self._result.zvalues)

    tvalues = zvalues

    @property
    def pvalues(self) -> Any:
        """Two-sided p-values."""
        return self._series(self._result.pvalues)

    def cov_params(self) -> Any:
        """Covariance matrix."""
        return self._matrix(self._result.cov_params())

    def corr_params(self) -> Any:
        """Correlation matrix."""
        return self._matrix(self._result.corr_params())

    def conf_int(self, alpha: float = 0.05, method: str = "wald", **options: Any) -> Any:
        """Confidence intervals, see `FitResult.conf_int`."""
        values = conf_int(self._result, alpha, method, **options)
        pandas = _pandas()
        if pandas is None:
            return values
        ends = [f"{alpha / 2:.4g}", f"{1 - alpha / 2:.4g}"]
        return pandas.DataFrame(values, index=list(self._result.names), columns=ends)

    def scores(self) -> Any:
        """Each observation's score, a column for each free coordinate; see `tapegrad.mle.scores`."""
        return self._rows(scores(self._result), self._result.free_names)

    def influence(self) -> Any:
        """How far each observation moves each parameter; see `tapegrad.mle.influence`."""
        return self._rows(influence(self._result), self._result.names)

    def profile(self, name: str | Callable[..., Any], alpha: float = 0.05) -> Any:
        """The points of a profile, a row each: all parameters there, the log-likelihood, and its root."""
        curve = profile(self._result, name, alpha)
        values = np.column_stack([curve.params, curve.llf, curve.roots])
        return self._rows(values, (*self._result.names, "llf", "root"))

    @property
    def random(self) -> Any:
        """The random effects: their modes and standard errors, a column each; see `FitResult.random`."""
        found, pandas = random_effects(self._result), _pandas()
        columns = {"mode": found.x, "se": found.bse}
        if pandas is None:
            return np.column_stack(list(columns.values()))
        return pandas.DataFrame(columns, index=list(found.names))

    def table(self) -> Any:
        """The summary's numbers: estimates, errors, z and p values, and 95 % intervals, a column each."""
        result = self._result
        columns = {
            "estimate": result.x,
            "se": result.bse,
            "z": result.zvalues,
            "p": result.pvalues,
            "low": conf_int(result)[:, 0],
            "high": conf_int(result)[:, 1],
        }
        pandas = _pandas()
        if pandas is None:
            return np.column_stack(list(columns.values()))
        return pandas.DataFrame(columns, index=list(result.names))


def _pandas() -> Any:
    try:
        import pandas
    except ImportError:
        return None
    return pandas
