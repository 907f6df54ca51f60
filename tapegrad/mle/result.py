"""What a fit returns."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from tapegrad.mle.inference import covariance
from tapegrad.mle.summary import Summary, criterion, row

Array: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FitResult:
    """A maximum-likelihood fit, under statsmodels' names.

    Every array over the parameters is flat, in the order of `names`. Where the Hessian is not negative
    definite, standard errors and all that follows from them are NaN; `message` says why.

    Attributes
    ----------
    params : float, ndarray, or a nest of lists, tuples and dicts of them
        The estimates in the structure of the parameters given.
    x : ndarray of shape (p,)
        The estimates, flat.
    names : tuple of str
        The parameters' names, such as "mu" or "beta[2]".
    llf : float
        The log-likelihood at the estimates.
    observed_info : ndarray of shape (p, p)
        Minus the Hessian of the log-likelihood at the estimates.
    nobs : int or None
        Number of observations, if given or known from the data.
    converged : bool
        Whether the estimates are a maximum: the gradient there is small relative to the curvature, and the
        Hessian is negative definite. `success` is SciPy's name for it.
    message : str
        How the fit ended.
    nit, nfev : int
        Iterations, Newton's at the end included, and the optimiser's evaluations of the log-likelihood.
    method : str
        The optimiser, as asked for.
    model : str
        Name of the log-likelihood.
    """

    params: Any
    x: Array
    names: tuple[str, ...]
    llf: float
    observed_info: Array
    nobs: int | None
    converged: bool
    message: str
    nit: int
    nfev: int
    method: str
    model: str

    def __str__(self) -> str:
        return str(self.summary())

    @property
    def success(self) -> bool:
        """`converged`, under SciPy's name."""
        return self.converged

    def cov_params(self) -> Array:
        """Covariance matrix of the estimates, the inverse of `observed_info`, of shape (p, p)."""
        return covariance(self.observed_info)

    @property
    def bse(self) -> Array:
        """Standard errors, of shape (p,): the square roots of the diagonal of `cov_params()`."""
        return np.sqrt(np.diag(self.cov_params()))

    @property
    def std_errors(self) -> Array:
        """`bse`, in words."""
        return self.bse

    @property
    def zvalues(self) -> Array:
        """Estimates over their standard errors, of shape (p,)."""
        return self.x / self.bse

    @property
    def pvalues(self) -> Array:
        """Probability of a larger ``|z|`` were the parameter 0, by the normal distribution, of shape (p,)."""
        return np.asarray(2.0 * ndtr(-np.abs(self.zvalues)))

    def conf_int(self, alpha: float = 0.05) -> Array:
        """Wald confidence intervals, estimate plus and minus a normal quantile times the standard error.

        Parameters
        ----------
        alpha : float
            One minus the confidence level, between 0 and 1.

        Returns
        -------
        ndarray of shape (p, 2)
            Lower and upper ends.

        Raises
        ------
        ValueError
            If `alpha` is not between 0 and 1.
        """
        if not 0.0 < alpha < 1.0:
            raise ValueError(f"alpha is one minus the confidence level, between 0 and 1, not {alpha}")
        half = -ndtri(alpha / 2.0) * self.bse
        return np.column_stack([self.x - half, self.x + half])

    @property
    def aic(self) -> float:
        """Akaike's criterion, ``2 p - 2 llf``."""
        return 2.0 * self.x.size - 2.0 * self.llf

    @property
    def bic(self) -> float:
        """Schwarz's criterion, ``p log(nobs) - 2 llf``; NaN where the number of observations is not known."""
        return float(self.x.size * np.log(np.nan if self.nobs is None else self.nobs) - 2.0 * self.llf)

    def summary(self) -> Summary:
        """The table of coefficients, and how the fit went; `print` it."""
        columns = zip(self.names, self.x, self.bse, self.zvalues, self.pvalues, strict=True)
        bic = "nan (pass nobs=)" if self.nobs is None else criterion(self.bic)
        observations = "unknown" if self.nobs is None else str(self.nobs)
        return Summary(
            title=f"Maximum likelihood fit: {self.model}    method: {self.method}",
            rows=tuple(row(*line) for line in columns),
            notes=(
                f"Log-likelihood: {criterion(self.llf)}    AIC: {criterion(self.aic)}    BIC: {bic}    "
                f"No. observations: {observations}",
                f"Converged in {self.nit} iterations"
                if self.converged
                else f"NOT CONVERGED after {self.nit} iterations: {self.message}",
            ),
        )
