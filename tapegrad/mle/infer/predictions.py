"""Predictions for rows of data, with an interval for each."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.function.long import is_in_pieces
from tapegrad.function.trace import trace_quietly
from tapegrad.mle.estimate import Estimate
from tapegrad.mle.infer.delta import Derived, delta
from tapegrad.mle.infer.predicted_in_pieces import PredictionsInPieces, predicted_in_pieces
from tapegrad.mle.infer.together import takes_random_effects
from tapegrad.mle.model.columns import Columns, read_columns
from tapegrad.nest import Leaf, call

Array: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class Predictions(Derived):
    """Predictions with their uncertainty, in which the ends of intervals were transformed.

    Attributes
    ----------
    before : Derived
        The predictions before the transformation, whose intervals are transformed.
    transform : callable
    slopes : ndarray, shape (k,)
        Its derivative at each of them.
    """

    before: Derived = field(kw_only=True)
    transform: Callable[[Any], Any] = field(kw_only=True)
    slopes: Array = field(kw_only=True)

    @property
    def cov(self) -> Array:
        """Covariance matrix by the delta method, of shape (k, k)."""
        return np.asarray(self.slopes[:, None] * self.before.cov * self.slopes)

    @property
    def bse(self) -> Array:
        """Standard errors by the delta method, of shape (k,)."""
        return np.asarray(np.abs(self.slopes) * self.before.bse)

    def conf_int(self, alpha: float = 0.05, *, simultaneous: str | None = None) -> Array:
        """Intervals, of shape (k, 2): Wald's before the transformation, with their ends transformed.

        Parameters
        ----------
        alpha : float
            One minus the confidence level.
        simultaneous : str, optional
            How to keep the level for all elements together, see `FitResult.conf_int`.
        """
        ends = np.asarray(self.transform(self.before.conf_int(alpha, simultaneous=simultaneous)))
        return np.sort(ends, axis=1)


def predict(
    result: Estimate,
    function: Callable[..., Any],
    names: Sequence[str] | None = None,
    *,
    data: Any = None,
    transform: Callable[[Any], Any] | None = None,
    bias_correct: bool = False,
) -> Derived | PredictionsInPieces:
    """Predictions, for each row of new data, with standard errors by the delta method.

    Parameters
    ----------
    result : FitResult
    function : callable
        In plain NumPy, of the parameters in their structure, and of columns of `data` by name; see `delta`.
    names : sequence of str, optional
        What to call the predictions. Where they are not given, those for rows of a pandas table have the
        labels of its index.
    data : mapping of str to array_like, or table, optional
        New data. Of a table (pandas, polars, pyarrow), the function gets the columns that it has arguments
        for. Nothing may be missing. Of Dask's arrays and columns, the predictions are such arrays.
    transform : callable, optional
        A monotone function of NumPy, such as `expit`, of what `function` gives: the linear predictor. The
        ends of the intervals are then transformed, and keep its range.
    bias_correct : bool
        See `delta`.

    Returns
    -------
    Derived or PredictionsInPieces
        `frame()` has the predictions, their errors and intervals as a table of pandas, or of Dask.

    Raises
    ------
    ValueError
        As `delta`; or if something is missing in the data.

    Examples
    --------
    >>> import numpy as np
    >>> from tapegrad import fit
    >>> from tapegrad.special import expit
    >>> from tapegrad.stats import binom
    >>> dose, dead = np.arange(6.0), np.array([1, 4, 9, 13, 18, 20])
    >>> result = fit(lambda a, b: binom.logpmf(dead, 20, expit(a + b * dose)), dict(a=0.0, b=0.0))
    >>> new = dict(dose=np.array([0.5, 2.5]))
    >>> result.predict(lambda a, b, dose: a + b * dose, data=new, transform=expit).conf_int().round(3)
    array([[0.044, 0.215],
           [0.455, 0.698]])
    """
    if data is None and transform is None:
        return delta(result, function, names, bias_correct=bias_correct)
    columns = Columns({}) if data is None else read_columns(data, function, result.params)
    if is_in_pieces(columns.values):
        return predicted_in_pieces(result, function, columns.values, names, transform, bias_correct)
    linear = bound(function, result, columns.values)
    before = delta(result, linear, names, bias_correct=bias_correct)
    if names is None:
        before = _labelled(before, columns, data is not None)
    return before if transform is None else _transformed(before, transform)


def bound(function: Callable[..., Any], result: Estimate, data: Mapping[str, Any]) -> Callable[..., Any]:
    """The function of the parameters alone, with these data."""
    clash = sorted(set(data) & set(result.params)) if isinstance(result.params, Mapping) else []
    if clash:
        raise ValueError(f"{', '.join(clash)} is the name of a parameter and of data: rename one of them")
    if takes_random_effects(result, function):
        # `delta` sees by the arguments which parameters and random effects are meant.
        return _Bound(function, data)

    def of_params(*positional: Any, **params: Any) -> Any:
        return call(function, params if params else positional[0], data)

    of_params.__name__ = getattr(function, "__name__", "predict").replace("<lambda>", "f")
    of_params.__wrapped__ = function  # type: ignore[attr-defined]
    return of_params


class _Bound:
    """A function with some arguments given, whose signature has the others."""

    def __init__(self, function: Callable[..., Any], data: Mapping[str, Any]) -> None:
        self._function, self._data = function, data
        signature = inspect.signature(function)
        others = [one for one in signature.parameters.values() if one.name not in data]
        self.__signature__ = signature.replace(parameters=others)
        self.__name__ = getattr(function, "__name__", "predict")

    def __call__(self, **params: Any) -> Any:
        return self._function(**params, **self._data)


def _labelled(found: Derived, columns: Columns, has_rows: bool) -> Derived:
    """The predictions under the labels of the rows."""
    shape = np.shape(found.value) if not isinstance(found.value, dict | list | tuple) else None
    lengths = {np.shape(value)[0] for value in columns.values.values() if np.ndim(value)}
    if not has_rows or shape is None or len(shape) != 1 or lengths != set(shape):
        return found
    labels = columns.labels if columns.labels is not None else tuple(map(str, range(shape[0])))
    return replace(found, names=labels) if len(labels) == shape[0] else found


def _transformed(before: Derived, transform: Callable[[Any], Any]) -> Predictions:
    if isinstance(before.value, dict | list | tuple):
        raise ValueError("transform= is of predictions that are one array")
    traced = trace_quietly(lambda eta: transform(eta), before.x)
    if not (isinstance(traced.outputs.root, Leaf) and traced.outputs.root.shape == before.x.shape):
        raise ValueError("transform= is a function of each prediction by itself, such as expit or np.exp")
    matrix = traced.jacobian(before.x, sparse=True)
    slopes = matrix.diagonal()
    if np.abs(matrix).sum() > np.abs(slopes).sum():
        raise ValueError("transform= gives each prediction by itself, and this one mixes them")
    values = np.asarray(traced(before.x))
    return Predictions(
        value=values.reshape(np.shape(before.value)),
        x=values,
        names=before.names,
        jacobian=slopes[:, None] * before.jacobian,
        cov_estimates=before.cov_estimates,
        before=before,
        transform=transform,
        slopes=slopes,
    )
