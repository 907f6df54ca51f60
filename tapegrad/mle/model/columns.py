"""Data as people have them: tables of pandas, polars and pyarrow, columns of texts, missing values."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.function.long import columns_of, complete, is_in_pieces, missing_in
from tapegrad.pieces.rows import Column

Mask: TypeAlias = npt.NDArray[np.bool_]

POLICIES: Final = ("raise", "drop")


@dataclass(frozen=True, eq=False)
class Columns:
    """Data by name, as a log-likelihood takes them.

    Attributes
    ----------
    values : dict of str to array
        Texts and categories are the numbers of their levels.
    levels : dict of str to tuple of str
        The levels of those columns, in the order of their numbers.
    index : pandas index or None
        That of the rows, where a pandas object has one.
    dropped : int
        How many rows were left out because something was missing in them.
    kept : ndarray of bool or None
        Which rows were not, if some were.
    """

    values: dict[str, Any]
    levels: dict[str, tuple[str, ...]] = field(default_factory=dict)
    index: Any = None
    dropped: int = 0
    kept: Mask | None = None

    @property
    def labels(self) -> tuple[str, ...] | None:
        """The labels of the rows, where there are some."""
        return None if self.index is None else tuple(map(str, self.rows(self.index)))

    @property
    def about(self) -> dict[str, Any]:
        """What a model keeps of them."""
        return {"levels": self.levels, "dropped": self.dropped, "kept": self.kept}

    def rows(self, values: Any) -> Any:
        """Something with an entry for each row of the data, without the rows that were left out."""
        if values is None or self.kept is None:
            return values
        array = np.asarray(values)
        return array[self.kept] if array.shape == self.kept.shape else values


def is_table(data: Any) -> bool:
    """Whether this is a table with columns by name, of pandas, polars, pyarrow or the like."""
    return not isinstance(data, Mapping) and names_of(data) is not None


def names_of(data: Any) -> list[str] | None:
    """The names of the columns of a table; None of anything else."""
    names = getattr(data, "column_names", None)  # pyarrow, whose `columns` are the columns themselves
    if names is None:
        names = getattr(data, "columns", None)
    if names is None or not hasattr(data, "__getitem__") or callable(names):
        return None
    return [str(name) for name in names]


def read_columns(
    data: Any,
    wanted: Callable[..., Any] | Sequence[str] | None = None,
    params: Any = (),
    missing: str | None = None,
) -> Columns:
    """The columns of data: a mapping as it is, of a table those that a function takes.

    Parameters
    ----------
    data : mapping of str to array_like, or table
    wanted : callable or sequence of str, optional
        Of a table, only those columns are taken that are arguments of this function, or have these names.
    params : mapping or other structure
        What the function takes besides.
    missing : str, optional
        "drop" leaves out every row in which something is missing, "raise" refuses them. Where it is not
        given, tables and columns of texts must have none, and arrays are taken as they are.

    Raises
    ------
    TypeError
        If `data` is neither.
    ValueError
        If something is missing, and it is not to be dropped; or if rows cannot be dropped, because the
        columns are of several lengths.
    """
    if missing not in (None, *POLICIES):
        raise ValueError(f"missing is 'raise' or 'drop', not {missing!r}")
    table = is_table(data)
    if not (table or isinstance(data, Mapping)):
        kind = type(data).__name__
        raise TypeError(f"data is a dict of arrays by name, such as dict(x=x), or a table, not a {kind}")
    chosen = _chosen(data, wanted, params) if table else dict(data)
    values, levels = {}, {}
    for name, value in chosen.items():
        values[name], found = numbers_of(value, name)
        if found is not None:
            levels[name] = found
    lacking = [name for name in levels if (np.asarray(values[name]) < 0).any()]
    if lacking and any(map(is_elsewhere, values.values())):
        raise ValueError(
            f"labels are missing in {', '.join(lacking)}, which is in memory while other data are not: leave "
            "out the rows without them before, in all data"
        )
    index = _index([data, *chosen.values()])
    return _without_missing(Columns(columns_of(values), levels, index), missing, table)


def _chosen(data: Any, wanted: Callable[..., Any] | Sequence[str] | None, params: Any) -> dict[str, Any]:
    names = names_of(data) or []
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"the table has several columns called {', '.join(twice)}")
    if isinstance(wanted, Sequence):
        return {name: data[name] for name in names if name in wanted}
    taken = set(params) if isinstance(params, Mapping) else set()
    arguments = None if wanted is None else _arguments(wanted)
    if arguments is None:
        return {name: data[name] for name in names if name not in taken}
    if not isinstance(params, Mapping):  # the parameters are the first argument
        arguments = arguments[1:]
    return {name: data[name] for name in names if name in arguments and name not in taken}


def taken_by(function: Callable[..., Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """The data that a function has arguments for."""
    arguments = _arguments(function)
    return {name: value for name, value in data.items() if arguments is None or name in arguments}


def _arguments(function: Callable[..., Any]) -> list[str] | None:
    """The names that a function can be called with; None if it takes any."""
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(one.kind is one.VAR_KEYWORD for one in found):
        return None
    return [one.name for one in found]


# Texts ------------------------------------------------------------------------------------------------------


def numbers_of(value: Any, name: str) -> tuple[Any, tuple[str, ...] | None]:
    """A column as an array of numbers, with its levels where it holds texts or categories.

    What is missing is NaN, and -1 among texts. What is made of numbers already stays as it is.
    """
    if is_elsewhere(value):
        return value, None
    category = getattr(value, "cat", None)
    if category is not None and hasattr(category, "codes"):  # of a pandas Series
        return np.asarray(category.codes, dtype=np.intp), tuple(map(str, category.categories))
    if hasattr(value, "codes") and hasattr(value, "categories"):  # a pandas Categorical
        return np.asarray(value.codes, dtype=np.intp), tuple(map(str, value.categories))
    if hasattr(value, "dictionary_decode"):  # pyarrow's categories
        value = value.dictionary_decode()
    module = type(value).__module__.partition(".")[0]
    array = np.asarray(value) if module in ("polars", "pyarrow") or _has_objects(value) else value
    if not _has_objects(array) or array.ndim != 1:
        return array, None
    gone = np.array([_is_missing(one) for one in array], dtype=np.bool_)
    present = array[~gone]
    if all(isinstance(one, str) for one in present):
        return _coded(present.astype(np.str_), gone)
    try:
        numbers = np.full(array.shape, np.nan)
        numbers[~gone] = present.astype(np.float64)
    except (TypeError, ValueError):
        odd = next(one for one in present if not isinstance(one, int | float | np.number))
        raise TypeError(
            f"{name} holds {odd!r} of type {type(odd).__name__}: make numbers or texts of it"
        ) from None
    return numbers, None


def _has_objects(value: Any) -> bool:
    dtype = getattr(value, "dtype", None)
    if dtype is None:
        return isinstance(value, list | tuple) and any(isinstance(one, str) for one in value)
    kind = getattr(dtype, "kind", "")
    return (
        kind in "OUST" or type(dtype).__name__ in ("StringDtype", "ArrowDtype") or hasattr(dtype, "na_value")
    )


def _coded(present: npt.NDArray[np.str_], gone: Mask) -> tuple[npt.NDArray[np.intp], tuple[str, ...]]:
    levels, codes = np.unique(present, return_inverse=True)
    whole = np.full(gone.shape, -1, dtype=np.intp)
    whole[~gone] = codes
    return whole, tuple(map(str, levels))


def _is_missing(one: Any) -> bool:
    if one is None or type(one).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(one, float | np.floating) and bool(np.isnan(one))


def _index(sources: Sequence[Any]) -> Any:
    """That of the first pandas object."""
    found = (source.index for source in sources if type(source).__module__.partition(".")[0] == "pandas")
    return next((index for index in found if not callable(index)), None)


def is_elsewhere(value: Any) -> bool:
    """Whether a column is on disk or on a cluster: it is not read here."""
    return isinstance(value, np.memmap) or type(value).__module__.partition(".")[0] in ("dask", "distributed")


# Missing values ---------------------------------------------------------------------------------------------


def _without_missing(columns: Columns, missing: str | None, table: bool) -> Columns:
    gone = {}
    for name, value in columns.values.items():
        if missing is not None or table or name in columns.levels:
            mask = missing_rows(value, name in columns.levels)
            if mask is not None and mask.any():
                gone[name] = mask
    in_pieces = is_in_pieces(columns.values)
    counts = {name: int(mask.sum()) for name, mask in gone.items()}
    if in_pieces and (missing is not None or table):
        counts |= missing_in(columns.values)
    if not counts:
        return columns
    told = ", ".join(f"{name} ({counts[name]})" for name in columns.values if name in counts)
    if missing != "drop":
        raise ValueError(
            f"values are missing in {told}: missing='drop' leaves out the rows without them; or fill them"
        )
    lengths = {_length(value) for value in columns.values.values() if _has_rows(value)}
    if len(lengths) > 1:
        raise ValueError(
            f"values are missing in {told}, and rows cannot be dropped from columns of {sorted(lengths)} rows"
        )
    if in_pieces:
        left, dropped = complete(columns.values)
        return Columns(left, columns.levels, columns.index, dropped)
    kept = ~np.logical_or.reduce(list(gone.values()))
    values = {name: value[kept] if np.ndim(value) else value for name, value in columns.values.items()}
    return Columns(values, columns.levels, columns.index, int((~kept).sum()), kept)


def _has_rows(value: Any) -> bool:
    return isinstance(value, Column) or np.ndim(value) > 0


def _length(value: Any) -> int:
    return value.rows.length if isinstance(value, Column) else int(np.shape(value)[0])


def missing_rows(value: Any, coded: bool) -> Mask | None:
    """In which rows of a column something is missing; None of a number, and of what has no such thing."""
    if isinstance(value, Column) or np.ndim(value) == 0 or not hasattr(value, "shape"):
        return None
    if coded:
        return np.asarray(value) < 0
    if hasattr(value, "tocsr"):
        value = value.tocsr()
        rows = np.repeat(np.arange(value.shape[0]), np.diff(value.indptr))
        found = np.zeros(value.shape[0], dtype=np.bool_)
        found[rows[np.isnan(value.data)]] = True
        return found
    array = np.asarray(value)
    if array.dtype.kind != "f":
        return None
    return np.asarray(np.isnan(array).reshape(len(array), -1).any(axis=1))


def why_no_rows(table: Any) -> str:
    """Why a table of formulaic may have no rows: its columns that one missing value makes missing whole."""
    names = [str(name) for name in getattr(table, "columns", ())]
    centred = [name for name in names if name.startswith(("scale(", "center(", "standardize("))]
    if not centred:
        return ""
    return (
        f". Its column {centred[0]} is missing in every row if one value in it is missing, and formulaic "
        'drops such rows: drop that one first; model_matrix(..., na_action="raise") says which column has it'
    )
