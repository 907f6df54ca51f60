"""Average marginal effects and contrasts of predictions, with errors by the delta method."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.function.long import is_in_pieces
from tapegrad.function.trace import trace_quietly
from tapegrad.mle.estimate import Estimate
from tapegrad.mle.infer.delta import Derived, delta
from tapegrad.mle.infer.predictions import bound
from tapegrad.mle.infer.together import takes_random_effects
from tapegrad.mle.model.columns import Columns, read_columns, taken_by
from tapegrad.nest import call

Array: TypeAlias = npt.NDArray[np.float64]
Of: TypeAlias = str | Sequence[str] | Mapping[str, Any]


class Setter(Protocol):
    """What makes data of data, with a variable replaced by what is made of it."""

    def __call__(self, data: Mapping[str, Any], change: Callable[[Any], Any]) -> dict[str, Any]:
        """The data with the change."""


# With spaces: no data are called so.
_PARAMS: Final = "parameters of the fit"
_SHIFT: Final = "shift of the column"
_COLUMN: Final = re.compile(r"(.+)\[(\d+)\]")


def effects(result: Estimate, function: Callable[..., Any], of: Of, data: Any = None) -> Derived:
    """Average effects of variables on predictions, with standard errors by the delta method.

    The effect of a variable that is named is the mean, over the rows of the data, of the derivative of the
    prediction in it. That of one with values is the mean difference between the predictions with the variable
    at these values in all rows, and all else as it is.

    Parameters
    ----------
    result : FitResult
    function : callable
        The predictions, in plain NumPy, of the parameters in their structure and of columns of `data` by
        name: an array with one for each row.
    of : str, sequence of str, or mapping of str to sequences
        Variables, such as ``"age"``, or ``"X[2]"`` for a column of a matrix; or variables with the values to
        compare, ``dict(treated=[0, 1])``. Each value is compared with the first one. None stands for the
        derivative.
    data : mapping of str to array_like, or table, optional
        Those of the fit where not given. Give one row for effects at a point, such as the means.

    Returns
    -------
    Derived

    Raises
    ------
    ValueError
        If there is no such variable, or less than two values of one; if the derivative is asked of
        predictions that contain random effects.

    Examples
    --------
    >>> import numpy as np
    >>> from tapegrad import fit
    >>> from tapegrad.special import expit
    >>> from tapegrad.stats import binom
    >>> data = dict(dose=np.arange(6.0), sex=np.array([0, 1, 0, 1, 0, 1]))
    >>> dead = np.array([1, 4, 9, 13, 18, 20])
    >>> def killed(a, b, c, dose, sex):
    ...     return expit(a + b * dose + c * sex)
    >>> def loglik(a, b, c, dose, sex):
    ...     return binom.logpmf(dead, 20, killed(a, b, c, dose, sex))
    >>> result = fit(loglik, dict(a=0.0, b=0.0, c=0.0), data=data)
    >>> print(result.effects(killed, dict(dose=None, sex=[0, 1])))
    dose        0.159687  (se 0.005278, 95% 0.149343 to 0.170032)
    sex: 1 - 0  -0.0110711  (se 0.06504, 95% -0.138544 to 0.116402)
    """
    columns = _columns(result, function, data)
    slopes, contrasts = [], {}
    for name, levels in _asked(of).items():
        setter = _setter(columns.values, name)
        if levels is None:
            slopes.append(_slope(result, function, setter, name, columns.values))
        else:
            contrasts[name] = (setter, _numbered(name, levels, columns))
    found = [_contrasts(result, function, columns.values, contrasts)] if contrasts else []
    return _joined([*found, *slopes], list(_asked(of)))


def _columns(result: Estimate, function: Callable[..., Any], data: Any) -> Columns:
    if data is not None:
        return read_columns(data, function, result.params)
    model = result.require_model("effects on the data of the fit")
    if not model.data:
        raise ValueError("effects need data: pass them to fit as data=, or here")
    return Columns(taken_by(function, model.data), dict(model.levels))


def _asked(of: Of) -> dict[str, Any]:
    if isinstance(of, Mapping):
        return dict(of)
    return dict.fromkeys([of] if isinstance(of, str) else list(of))


def _setter(values: Mapping[str, Any], name: str) -> Setter:
    """What makes data of data, with a variable replaced by what is made of it."""
    found = _COLUMN.fullmatch(name)
    label, column = (name, None) if name in values or found is None else (found[1], int(found[2]))
    if label not in values:
        raise ValueError(f"no variable {name!r}: the data are {', '.join(values)}")

    def set_(data: Mapping[str, Any], change: Callable[[Any], Any]) -> dict[str, Any]:
        whole = data[label]  # traced, where the data are in pieces
        if column is None:
            return {**data, label: change(whole)}
        if whole.ndim != 2 or column >= whole.shape[1]:
            raise ValueError(f"{label} has shape {whole.shape}, and no column {column}")
        place = np.arange(whole.shape[1]) == column
        return {**data, label: np.where(place, change(whole[:, column])[:, None], whole)}

    return set_


def _numbered(name: str, levels: Any, columns: Columns) -> list[tuple[str, float]]:
    """The values that are compared, as text and as number."""
    given = list(levels)
    if len(given) < 2:
        raise ValueError(f"{name} is compared at two values or more, such as [0, 1], not at {given}")
    known = columns.levels.get(name)
    found = []
    for level in given:
        if isinstance(level, str):
            if known is None or level not in known:
                raise ValueError(
                    f"{name} has no level {level!r}: there are {', '.join(known or ('numbers',))}"
                )
            found.append((level, float(known.index(level))))
        else:
            text = str(level) if known is None else known[int(level)]
            found.append((text, float(level)))
    return found


def _contrasts(
    result: Estimate,
    function: Callable[..., Any],
    values: Mapping[str, Any],
    contrasts: Mapping[str, tuple[Setter, list[tuple[str, float]]]],
) -> Derived:
    """The differences between the means at the first value and at the others, of all variables."""
    names, pairs = [], []
    for name, (setter, levels) in contrasts.items():
        changes = [partial(setter, change=partial(_filled, level=level)) for _, level in levels]
        names += [f"{name}: {text} - {levels[0][0]}" for text, _ in levels[1:]]
        pairs += [(changes[0], change) for change in changes[1:]]

    def differences(params: Any, data: Mapping[str, Any]) -> Any:
        return [
            np.mean(call(function, params, other(data))) - np.mean(call(function, params, first(data)))
            for first, other in pairs
        ]

    if is_in_pieces(values):
        return _contrasts_in_pieces(result, function, values, differences, names)
    arrays = _as_arrays(values)

    def of_params(*positional: Any, **params: Any) -> Any:
        return differences(params if params else positional[0], arrays)

    # What it takes, for `delta`, is what the function takes besides the data.
    of_params.__wrapped__ = bound(function, result, values)  # type: ignore[attr-defined]
    return delta(result, of_params, names)


def _contrasts_in_pieces(
    result: Estimate,
    function: Callable[..., Any],
    values: Mapping[str, Any],
    differences: Callable[[Any, Mapping[str, Any]], Any],
    names: Sequence[str],
) -> Derived:
    if takes_random_effects(result, function):
        raise ValueError("effects on predictions with random effects need all rows in one place, in memory")

    def of_all(**arguments: Any) -> Any:
        params = arguments.pop(_PARAMS)
        return differences(params, arguments)

    traced = trace_quietly(of_all, {_PARAMS: result.params}, data=values)
    x = np.asarray(traced(result.x))
    gradient = traced.jacobian_flat(result.x)
    moved = result.moves_along_flat(gradient)
    return Derived(x, x, tuple(names), gradient, result.cov_where_determined(), moved)


def _as_arrays(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: np.asarray(value) for name, value in values.items()}


def _filled(column: npt.NDArray[Any], level: float) -> npt.NDArray[Any]:
    """A column that is the same in all rows; whole numbers, which may be an index, stay such."""
    whole = column.dtype.kind in "iu" and level.is_integer()
    return np.full(column.shape, int(level) if whole else level)


def _slope(
    result: Estimate, function: Callable[..., Any], setter: Setter, name: str, values: Mapping[str, Any]
) -> Derived:
    """The derivative of the mean in a shift of the whole column, and its gradient by one product."""
    if takes_random_effects(result, function):
        raise ValueError(
            f"the derivative in {name} of predictions with random effects is not known here: compare two "
            f"values, as in dict({name}=[0, 1])"
        )
    in_pieces = is_in_pieces(values)
    arrays = {} if in_pieces else _as_arrays(values)

    def mean(**arguments: Any) -> Any:
        params, shift = arguments.pop(_PARAMS), arguments.pop(_SHIFT)
        return np.mean(call(function, params, setter({**arrays, **arguments}, lambda old: old + shift)))

    start = {_PARAMS: result.params, _SHIFT: 0.0}
    traced = trace_quietly(mean, start, data=values if in_pieces else None)
    at, along = np.append(result.x, 0.0), np.append(np.zeros(result.x.size), 1.0)
    value = traced.value_and_grad_flat(at)[1][-1:]
    gradient = traced.hvp_flat(at, along)[None, :-1]
    moved = result.moves_along_flat(gradient)
    return Derived(value, value, (name,), gradient, result.cov_where_determined(), moved)


def _joined(parts: list[Derived], order: list[str]) -> Derived:
    """Several functions of the estimates as one, in the order in which they were asked for."""
    if len(parts) == 1:
        return parts[0]
    names = [name for part in parts for name in part.names]
    places = sorted(range(len(names)), key=lambda i: order.index(names[i].partition(": ")[0]))
    x = np.concatenate([part.x for part in parts])[places]
    jacobian = np.vstack([part.jacobian for part in parts])[places]
    undetermined = [
        np.zeros(part.x.size, bool) if part.undetermined is None else part.undetermined for part in parts
    ]
    return Derived(
        value=x,
        x=x,
        names=tuple(names[i] for i in places),
        jacobian=jacobian,
        cov_estimates=parts[0].cov_estimates,
        undetermined=np.concatenate(undetermined)[places],
    )
