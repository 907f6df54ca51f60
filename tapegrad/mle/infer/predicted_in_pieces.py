"""Predictions for rows of data in pieces: arrays of Dask's, chunk by chunk as the data are."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib import import_module
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.function.derived import JACOBIAN, VALUE
from tapegrad.function.trace import trace_quietly
from tapegrad.function.traced import TracedFunction
from tapegrad.mle.estimate import Estimate
from tapegrad.mle.infer.delta import Derived, delta_on
from tapegrad.mle.infer.together import takes_random_effects
from tapegrad.mle.levels import normal_intervals
from tapegrad.nest import Leaf

Array: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class PredictionsInPieces:
    """Predictions for rows of data in pieces, with their uncertainty.

    What it has are arrays of Dask's in the chunks of the data, and nothing is computed before they are asked
    for their numbers (`compute`, `to_zarr` and so on). Of data on disk they are arrays in memory.

    Attributes
    ----------
    value : array of Dask's, shape (n,)
    bse : array of Dask's, shape (n,)
        Standard errors by the delta method.
    before : PredictionsInPieces or None
        The predictions before they were transformed, whose intervals are transformed.
    transform : callable or None
    """

    value: Any
    bse: Any
    before: "PredictionsInPieces | None" = None
    transform: Callable[[Any], Any] | None = None

    @property
    def x(self) -> Any:
        """The predictions, as `Derived` calls them."""
        return self.value

    def conf_int(self, alpha: float = 0.05, *, simultaneous: str | None = None) -> Any:
        """Wald intervals, an array of Dask's of shape (n, 2); those before a transformation, transformed.

        Raises
        ------
        ValueError
            If a level is asked for that holds for all rows together: it needs all of them in one place.
        """
        if simultaneous is not None:
            raise ValueError(
                f"simultaneous={simultaneous!r} needs all predictions in one place, and they are in pieces"
            )
        transform = self.transform
        if self.before is not None and transform is not None:
            return _each(lambda ends: np.sort(transform(ends), axis=1), self.before.conf_int(alpha))
        below, above = normal_intervals(np.zeros(1), np.ones(1), alpha)[0]
        return np.stack([self.value + below * self.bse, self.value + above * self.bse], axis=1)

    def frame(self, alpha: float = 0.05) -> Any:
        """Values, standard errors and intervals as a dataframe of Dask; of data on disk, as one of pandas.

        Raises
        ------
        ImportError
            If pandas, or Dask's dataframes, are not installed.
        """
        names = ["value", "se", "low", "high"]
        table = np.concatenate([np.stack([self.value, self.bse], axis=1), self.conf_int(alpha)], axis=1)
        if isinstance(table, np.ndarray):
            return import_module("pandas").DataFrame(table, columns=names)
        return import_module("dask.dataframe").from_dask_array(table.rechunk({1: -1}), columns=names)

    def __str__(self) -> str:
        rows = f"{self.value.shape[0]:,} predictions"
        if isinstance(self.value, np.ndarray):
            return f"{rows}: value, bse, conf_int()"
        return f"{rows} in {self.value.npartitions} chunks: value, bse, conf_int(), each with compute()"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"


def predicted_in_pieces(
    result: Estimate,
    function: Callable[..., Any],
    data: Mapping[str, Any],
    names: Sequence[str] | None,
    transform: Callable[[Any], Any] | None,
    bias_correct: bool,
) -> Derived | PredictionsInPieces:
    """Predictions for rows of data in pieces; of a function that adds up the rows, its value in memory.

    Raises
    ------
    ValueError
        If that cannot be done piece by piece; the message says why.
    """
    if bias_correct or takes_random_effects(result, function):
        raise ValueError(
            "predictions with random effects need all rows in one place, and the data are in pieces: predict "
            "for some rows at a time, as arrays in memory"
        )
    plain = _of_params(function, None)
    traced = trace_quietly(plain, result.params, data=data)
    shape = traced.outputs.root.shape if isinstance(traced.outputs.root, Leaf) else None
    if not traced.returns_rows:
        if transform is not None:
            raise ValueError("transform= is of predictions for each row, and this function adds rows up")
        return delta_on(result, plain, names, data)
    if shape is None or len(shape) != 1:
        raise ValueError(
            "predictions for data in pieces are one number for each row: predict others by themselves"
        )
    if names is not None:
        raise ValueError("names= is for predictions in memory: those for data in pieces have no names")
    if result.flat is not None:
        raise ValueError(
            "the data do not determine all parameters, and which predictions they determine is told for rows "
            "in memory alone: predict for some rows at a time"
        )
    found = _kept(result, traced)
    if transform is None:
        return found
    moved = _kept(result, trace_quietly(_of_params(function, transform), result.params, data=data))
    return PredictionsInPieces(moved.value, moved.bse, found, transform)


def _of_params(function: Callable[..., Any], transform: Callable[[Any], Any] | None) -> Callable[..., Any]:
    """The function of parameters and data, and then of what `transform` makes of it."""
    if transform is None:
        return function

    def transformed(*positional: Any, **named: Any) -> Any:
        return transform(function(*positional, **named))

    transformed.__wrapped__ = function  # type: ignore[attr-defined]
    return transformed


def _kept(result: Estimate, traced: TracedFunction) -> PredictionsInPieces:
    """Values and errors, where the rows are."""
    vector, cov = traced.ravel(result.params), result.cov_where_determined()
    (value,), (slopes,) = traced.kept(VALUE, vector), traced.kept(JACOBIAN, vector)

    def errors(columns: Array) -> Array:
        return np.asarray(np.sqrt(np.sum((cov @ columns) * columns, axis=0)))

    return PredictionsInPieces(value, _each(errors, slopes, drop_axis=0))


def _each(function: Callable[[Array], Array], array: Any, **options: Any) -> Any:
    """A function of an array in memory, or of each chunk of one of Dask's."""
    if isinstance(array, np.ndarray):
        return function(array)
    return array.map_blocks(function, dtype=np.float64, **options)
