"""The data of a formula: columns, missing values, groups, design matrices by formulaic."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tapegrad.backends.written import one_line
from tapegrad.mixed.terms import columns_in, did_you_mean

Array = np.ndarray[Any, Any]
Frame = Any  # pandas.DataFrame

# What formulaic knows besides the columns.
_KNOWN = frozenset(("np", "I", "C", "True", "False", "None", "in", "and", "or", "not", "if", "else"))


def frame_of(data: Any) -> Frame:
    """The data as a pandas DataFrame.

    Raises
    ------
    ImportError
        If formulaic or pandas is not installed.
    TypeError
        If it is neither a table nor a dict of columns.
    """
    try:
        import formulaic  # noqa: F401
        import pandas
    except ImportError as error:
        raise ImportError("formulas need formulaic and pandas: pip install tapegrad[formula]") from error
    if hasattr(data, "to_pandas"):
        data = data.to_pandas()
    if isinstance(data, pandas.DataFrame):
        return data
    if isinstance(data, Mapping):
        return pandas.DataFrame({str(name): values for name, values in data.items()})
    if hasattr(data, "__dask_graph__"):
        raise TypeError(
            "formulas need all rows in one place, and the data are Dask's: data.compute() gives them"
        )
    raise TypeError(f"data is a table with columns, or a dict of them, not a {type(data).__name__}")


def check_columns(frame: Frame, expressions: Iterable[str]) -> list[str]:
    """The columns that some expressions name.

    Raises
    ------
    ValueError
        If there is no such column.
    """
    found = list(dict.fromkeys(name for text in expressions for name in columns_in(text)))
    for name in found:
        if name not in frame.columns and name not in _KNOWN:
            raise ValueError(f"formula: the data have no column {name!r}{did_you_mean(name, frame.columns)}")
    return [name for name in found if name in frame.columns]


def without_missing(frame: Frame, columns: Sequence[str], missing: str) -> Array:
    """Which rows are complete.

    Raises
    ------
    ValueError
        If some are not, and `missing` is "raise"; or if none are.
    """
    if missing not in ("raise", "drop"):
        raise ValueError(f"missing: 'raise' or 'drop', not {missing!r}")
    gaps = {name: np.asarray(frame[name].isna()) for name in columns}
    complete: Array = ~np.any([*gaps.values(), np.zeros(len(frame), dtype=bool)], axis=0)
    if missing == "raise" and not complete.all():
        counts = ", ".join(f"{name} ({gap.sum()})" for name, gap in gaps.items() if gap.any())
        raise ValueError(
            f"{(~complete).sum()} of {len(frame)} rows have missing values: {counts}. missing='drop' leaves "
            "these rows out"
        )
    if not complete.any():
        raise ValueError("no data: no row is complete" if len(frame) else "no data: the table has no rows")
    return complete


def without_unused(frame: Frame, columns: Sequence[str]) -> Frame:
    """The same table, in which categories without a row are none."""
    import pandas

    kinds = [name for name in columns if isinstance(frame[name].dtype, pandas.CategoricalDtype)]
    return frame.assign(**{name: frame[name].cat.remove_unused_categories() for name in kinds})


def matrix_of(text: str, frame: Frame, shown: str | None = None) -> Any:
    """The design matrix of the right-hand side of a formula, as formulaic makes it.

    In messages it is called `shown`.

    Raises
    ------
    ValueError
        If formulaic cannot make it, or it holds what is no finite number.
    """
    from formulaic import Formula
    from formulaic.errors import FormulaicError

    try:
        made = Formula(text).get_model_matrix(frame, na_action="ignore")
    except (FormulaicError, SyntaxError) as error:
        raise ValueError(f"formula: {shown or text!r}: {error}") from error
    check_finite(np.asarray(made, dtype=float), list(map(str, made.columns)), frame)
    return made


def again(spec: Any, frame: Frame) -> Array:
    """The same columns for other data.

    Raises
    ------
    ValueError
        If a column holds a category that the fit has not seen, or what is no finite number.
    """
    from formulaic.errors import FormulaicError

    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Data has categories outside")
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        try:
            made = spec.get_model_matrix(frame, na_action="ignore")
        except (FormulaicError, Warning) as error:
            raise ValueError(f"new data: {error}") from error
    found = np.asarray(made, dtype=float)
    check_finite(found, list(map(str, made.columns)), frame)
    return found


def check_finite(values: Array, names: Sequence[str], frame: Frame) -> None:
    """Refuse what is no finite number."""
    bad = ~np.isfinite(values)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise ValueError(
            f"{names[column]} is {values[row, column]} in row {frame.index[row]!r}"
            f"{'' if bad.sum() == 1 else f', one of {bad.sum()} such values'}"
        )


def numbers(text: str, frame: Frame) -> Array:
    """One column of numbers, by its name or by an expression."""
    name = text.strip("`")
    if name in frame.columns:
        found = np.asarray(frame[name], dtype=float)
        check_finite(found[:, None], [name], frame)
        return found
    made = matrix_of(f"0 + {{{text}}}", frame, text)
    if made.shape[1] != 1:
        raise ValueError(f"formula: {text!r} has {made.shape[1]} columns, and one is wanted")
    return np.asarray(made, dtype=float)[:, 0]


def _parts(frame: Frame, name: str) -> tuple[list[str], Array]:
    """The levels of a column in their order, and each row's level as a number."""
    import pandas

    column = frame[name]
    if not isinstance(column.dtype, pandas.CategoricalDtype):
        column = column.astype("category")
    column = column.cat.remove_unused_categories()
    labels = list(map(_label, column.cat.categories))
    return labels, np.asarray(column.cat.codes, dtype=np.intp)


def _label(value: Any) -> str:
    is_whole = isinstance(value, float | np.floating) and float(value).is_integer()
    return one_line(str(int(value) if is_whole else value))


def groups_of(frame: Frame, factors: Sequence[str]) -> tuple[tuple[str, ...], Array]:
    """The groups that have rows: their labels, and each row's group as a number.

    Those of several columns are their combinations, in the order of the columns' levels.
    """
    labels, codes = _parts(frame, factors[0])
    for name in factors[1:]:
        more, other = _parts(frame, name)
        kept, codes = np.unique(codes * len(more) + other, return_inverse=True)
        labels = [f"{labels[k // len(more)]}:{more[k % len(more)]}" for k in kept.tolist()]
    return tuple(labels), codes
