"""Functions of the estimates, with standard errors by the delta method."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.function.trace import trace_quietly
from tapegrad.function.traced import TracedFunction
from tapegrad.mle.derivatives import jacobian
from tapegrad.mle.estimate import Estimate
from tapegrad.mle.infer.simultaneous import alpha_of_each
from tapegrad.mle.infer.together import Together, takes_random_effects
from tapegrad.mle.levels import normal_intervals
from tapegrad.mle.matrices import moves_along
from tapegrad.mle.tables import Table, Tabled

Array: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class Derived(Tabled):
    """A function of the estimates with its uncertainty.

    Attributes
    ----------
    value : float, ndarray, or a nest of them
        What the function returns at the estimates.
    x : ndarray of shape (k,)
        The same, flat.
    names : tuple of str
        Labels of its k elements.
    jacobian : ndarray of shape (k, p)
        Exact derivatives of the elements in the parameters.
    cov_estimates : ndarray of shape (p, p)
        Covariance matrix of the estimates.
    undetermined : ndarray of bool, shape (k,), or None
        The elements that the data do not determine, and that have no standard errors therefore.
    """

    value: Any
    x: Array
    names: tuple[str, ...]
    jacobian: Array
    cov_estimates: Array
    undetermined: npt.NDArray[np.bool_] | None = None

    @property
    def cov(self) -> Array:
        """Covariance matrix ``J V J'``, of shape (k, k), `J` the Jacobian and `V` that of the estimates."""
        cov = np.asarray(self.jacobian @ self.cov_estimates @ self.jacobian.T)
        if self.undetermined is not None:
            cov[self.undetermined], cov[:, self.undetermined] = np.nan, np.nan
        return cov

    @property
    def bse(self) -> Array:
        """Standard errors, of shape (k,); NaN where the estimates have none."""
        # Not by way of `cov`, which does not fit into memory for predictions of many observations.
        variances = np.sum((self.jacobian @ self.cov_estimates) * self.jacobian, axis=1)
        if self.undetermined is not None:
            variances[self.undetermined] = np.nan
        return np.asarray(np.sqrt(variances))

    def conf_int(self, alpha: float = 0.05, *, simultaneous: str | None = None) -> Array:
        """Wald confidence intervals, of shape (k, 2).

        Parameters
        ----------
        alpha : float
            One minus the confidence level.
        simultaneous : str, optional
            How to keep the level for all elements together: "bonferroni", "sidak", "scheffe" or "max", see
            `FitResult.conf_int`.
        """
        each = alpha_of_each(alpha, simultaneous, self.x.size, lambda: self.cov)
        return normal_intervals(self.x, self.bse, each)

    def frame(self, alpha: float = 0.05) -> Any:
        """Values, standard errors and intervals as a pandas DataFrame, a row for each element.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        import pandas

        low, high = self.conf_int(alpha).T
        columns = {"value": self.x, "se": self.bse, "low": low, "high": high}
        return pandas.DataFrame(columns, index=list(self.names))

    def table(self) -> Table:
        """Values, standard errors and 95% intervals: print it, or take its HTML, LaTeX or Markdown."""
        rows = [
            (name, f"{value:.6g}", f"{error:.4g}", f"{low:.6g} to {high:.6g}")
            for name, value, error, (low, high) in zip(
                self.names, self.x, self.bse, self.conf_int(), strict=True
            )
        ]
        return Table(("", "value", "std. error", "95% interval"), tuple(rows))

    def __str__(self) -> str:
        width = max(map(len, self.names))
        lines = [
            f"{name:<{width}}  {value}  (se {error}, 95% {interval})"
            for name, value, error, interval in self.table().rows
        ]
        return "\n".join(lines)

    __repr__ = __str__


@dataclass(frozen=True, eq=False, repr=False)
class DerivedTogether(Derived):
    """A function of estimates and random effects with its uncertainty.

    Attributes
    ----------
    cov_elements : ndarray of shape (k, k)
        Covariance matrix of its elements, with the spread of the random effects about their modes.
    """

    cov_elements: Array = field(default_factory=lambda: np.empty((0, 0)))

    @property
    def cov(self) -> Array:
        """Covariance matrix, of shape (k, k)."""
        return self.cov_elements.copy()

    @property
    def bse(self) -> Array:
        """Standard errors, of shape (k,)."""
        return np.asarray(np.sqrt(np.diag(self.cov_elements)))


def delta(
    result: Estimate,
    function: Callable[..., Any],
    names: Sequence[str] | None = None,
    *,
    bias_correct: bool = False,
) -> Derived:
    """A function of the parameters, with standard errors by the delta method.

    If the model has random effects, and the function has an argument for one of them, it is taken at their
    modes, and its errors include their spread. Where the data do not determine all parameters, what does not
    move along the directions `flat` has standard errors all the same.

    Parameters
    ----------
    result : FitResult
    function : callable
        In plain NumPy, of the parameters in their structure: a dict is passed as keyword arguments.
    names : sequence of str, optional
        What to call the elements of what the function returns. One that returns a dict names them by itself.
    bias_correct : bool
        Give the mean of the function over the random effects instead of its value at their modes (by the
        epsilon method of Thorson and Kristensen 2016). The standard errors stay as they are.

    Returns
    -------
    Derived

    Raises
    ------
    ValueError
        If the names are not as many as the elements, or a mean is asked of a function without random effects
        or of a fit by quadrature.

    Examples
    --------
    >>> import numpy as np
    >>> from tapegrad import fit
    >>> from tapegrad.stats import expon
    >>> waits = np.array([0.8, 2.9, 0.3, 1.6, 4.4])
    >>> result = fit(lambda scale: expon.logpdf(waits, scale=scale).sum(), {"scale": 1.0})
    >>> print(result.delta(lambda scale: 1.0 / scale, ["rate"]))
    rate  0.5  (se 0.2236, 95% 0.0617387 to 0.938261)
    """
    if takes_random_effects(result, function):
        return _together(result, function, names, bias_correct)
    if bias_correct:
        raise ValueError("bias_correct is for functions of random effects: name one among the arguments")
    return delta_on(result, function, names, None)


def delta_on(
    result: Estimate,
    function: Callable[..., Any],
    names: Sequence[str] | None,
    data: Mapping[str, Any] | None,
) -> Derived:
    """The same of a function of parameters, and of data that may be in pieces."""
    derived = derive(function, result.params, result.cov_where_determined(), names, data)
    moved = result.moves_along_flat(derived.jacobian)
    return replace(derived, undetermined=moved) if moved.any() else derived


def _together(
    result: Estimate, function: Callable[..., Any], names: Sequence[str] | None, bias_correct: bool
) -> Derived:
    if bias_correct and result.quadrature > 1:
        raise ValueError(
            "bias_correct is by Laplace's method, and this fit by quadrature: the means would be those of "
            "another model. Fit with quadrature=1"
        )
    found = Together(result, function)
    traced = found.traced
    x = traced.outputs.ravel(traced(found.at))
    if bias_correct:
        x = x + found.correction()
    cov = found.covariance(result.cov_of_free())
    undetermined = moves_along(found.free_slopes, result.observed_info, result.flat)
    cov[undetermined], cov[:, undetermined] = np.nan, np.nan
    value = traced.outputs.unravel(x)
    return DerivedTogether(
        value, x, _named(traced, names), found.free_slopes, result.cov_of_free(), undetermined, cov
    )


def derive(
    function: Callable[..., Any],
    params: Any,
    cov: Array,
    names: Sequence[str] | None = None,
    data: Mapping[str, Any] | None = None,
) -> Derived:
    """A function of the parameters at `params`, with the covariance that `cov` gives it.

    Parameters
    ----------
    function : callable
        In plain NumPy, of the parameters in their structure: a dict is passed as keyword arguments.
    params : structure
        The estimates.
    cov : ndarray of shape (p, p)
        Their covariance matrix.
    names : sequence of str, optional
        What to call the elements of what the function returns. One that returns a dict names them by itself.
    data : mapping of str to array_like, optional
        What it takes besides.

    Raises
    ------
    ValueError
        If the names are not as many as the elements.

    Examples
    --------
    >>> import numpy as np
    >>> estimates, cov = dict(mu=4.0, sigma=2.0), np.diag([0.04, 0.02])
    >>> print(derive(lambda mu, sigma: sigma / mu, estimates, cov, ["variation"]))
    variation  0.5  (se 0.0433, 95% 0.415131 to 0.584869)
    >>> derive(lambda mu, sigma: dict(variation=sigma / mu, variance=sigma**2), estimates, cov).names
    ('variation', 'variance')
    """
    traced = trace_quietly(function, params, data=data)
    x = traced.ravel(params)
    value = traced(x)
    return Derived(value, traced.outputs.ravel(value), _named(traced, names), jacobian(traced, x), cov)


def _named(traced: TracedFunction, names: Sequence[str] | None) -> tuple[str, ...]:
    if names is None:
        return traced.outputs.names
    given = (names,) if isinstance(names, str) else tuple(map(str, names))
    if len(given) != traced.outputs.size:
        raise ValueError(
            f"{traced.tape.name} returns {traced.outputs.size} numbers, not {len(given)} as names="
        )
    return given
