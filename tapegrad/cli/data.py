"""Data files: CSV with any separator, compressed or not, and Parquet."""

import csv
import gzip
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from tapegrad.cli.model import arguments_of
from tapegrad.cli.words import CommandError, meant

Mask: TypeAlias = npt.NDArray[np.bool_]

_MISSING: Final = frozenset(("", "na", "nan", "null", "none", "n/a", "."))
_PARQUET: Final = (".parquet", ".pq")


class Reading(NamedTuple):
    """How a file is read.

    Attributes
    ----------
    path : Path
    separator : str or None
        Of a CSV file; a comma where not given.
    missing : str
        "raise" or "drop".
    categories : sequence of str
        Columns of numbers that are names of categories.
    """

    path: Path
    separator: str | None = None
    missing: str = "raise"
    categories: Sequence[str] = ()


class Table(NamedTuple):
    """The columns of a file as texts, and the line of each row.

    Attributes
    ----------
    path : Path
    header : list of str
    columns : list of list of str
    lines : list of int
    unit : str
        What a row is called: "line" of a text, "row" of a Parquet file.
    """

    path: Path
    header: list[str]
    columns: list[list[str]]
    lines: list[int]
    unit: str = "line"

    @property
    def listed(self) -> str:
        """The names of the columns."""
        return ", ".join(self.header)

    def column(self, name: str) -> list[str]:
        """A column by its name."""
        if name not in self.header:
            raise CommandError(
                f"{self.path} has no column {name!r}{meant(name, self.header)}; it has {self.listed}"
            )
        if self.header.count(name) > 1:
            raise CommandError(f"{self.path} has {self.header.count(name)} columns called {name}")
        return self.columns[self.header.index(name)]


class Data(NamedTuple):
    """What a fit gets.

    Attributes
    ----------
    values : dict of str to array
        Texts and categories are the numbers of their levels.
    levels : dict of str to list of str
    nobs : int or None
    dropped : int
        Rows in which something was missing.
    """

    values: dict[str, Any]
    levels: dict[str, list[str]]
    nobs: int | None
    dropped: int


def data_for(
    function: Callable[..., Any], start: dict[str, Any], reading: Reading | None, more: Sequence[str] = ()
) -> Data:
    """The columns that the function takes, and those of `more`."""
    name = getattr(function, "__name__", "the function")
    arguments = arguments_of(function)
    unknown = [key for key in start if key not in arguments]
    if unknown:
        near = meant(unknown[0], arguments)
        raise CommandError(
            f"{name} takes no {', '.join(unknown)}{near}; its arguments are {', '.join(arguments)}"
        )
    needed = [key for key, optional in arguments.items() if key not in start and not optional]
    if reading is None:
        if needed:
            raise CommandError(
                f"{name} also takes {', '.join(needed)}: give a start for each that is a parameter, and "
                "--data for the others"
            )
        return Data({}, {}, None, 0)
    table = read(reading)
    missing = [key for key in needed if key not in table.header]
    if missing:
        raise CommandError(
            f"{name} takes {', '.join(missing)}: neither a parameter with a start nor a column of "
            f"{table.path}, which has {table.listed}{meant(missing[0], table.header)}"
        )
    columns = [key for key in arguments if key in table.header and key not in start]
    if not columns:
        raise CommandError(f"{name} takes none of the columns of {table.path}, {table.listed}")
    return numbers(table, [*columns, *(key for key in more if key not in columns)], reading)


def numbers(table: Table, names: Sequence[str], reading: Reading) -> Data:
    """Columns as numbers, without the rows in which something is missing, where those are to be dropped."""
    for name in reading.categories:
        table.column(name)  # says so if there is none
    found: dict[str, Any] = {}
    levels: dict[str, list[str]] = {}
    whole = np.ones(len(table.lines), dtype=np.bool_)
    for name in names:
        texts = table.column(name)
        found[name], categories, gone = coded(table, name, name in reading.categories)
        if gone.any() and reading.missing == "raise":
            place = int(np.argmax(gone))
            raise CommandError(
                f"{table.path}, {table.unit} {table.lines[place]}: {name} is {texts[place]!r}, not a number; "
                f"--missing drop leaves out such rows ({int(gone.sum())} here)"
            )
        whole &= ~gone
        if categories is not None:
            levels[name] = categories
    if not whole.any():
        raise CommandError(f"{table.path}: something is missing in each row")
    values = {name: column[whole] for name, column in found.items()}
    return Data(values, levels, int(whole.sum()), int((~whole).sum()))


def coded(table: Table, name: str, category: bool) -> tuple[Any, list[str] | None, Mask]:
    """A column of numbers, or that of the numbers of its levels if no entry is one; and what is missing."""
    texts = table.column(name)
    gone = np.array([text.strip().lower() in _MISSING for text in texts], dtype=np.bool_)
    values = np.full(len(texts), np.nan)
    odd = []
    for i, text in enumerate(texts):
        if gone[i]:
            continue
        try:
            values[i] = float(text)
        except ValueError:
            odd.append(i)
        else:
            if not np.isfinite(values[i]):
                odd.append(i)
    if odd and not category and len(odd) < int((~gone).sum()):
        where, text = f"{table.path}, {table.unit} {table.lines[odd[0]]}", texts[odd[0]]
        raise CommandError(
            f"{where}: {name} is {text!r}, not a number; take such rows out, code them as numbers, or say "
            f"--category {name}"
        )
    if not odd and not category:
        return values, None, gone
    present = sorted({text.strip() for text, missing in zip(texts, gone, strict=True) if not missing})
    place = {level: i for i, level in enumerate(present)}
    codes = [-1 if missing else place[text.strip()] for text, missing in zip(texts, gone, strict=True)]
    return np.array(codes, dtype=np.intp), present, gone


# Files ------------------------------------------------------------------------------------------------------


def read(reading: Reading) -> Table:
    """A file as a table of texts."""
    path = reading.path
    try:
        if path.suffix.lower() in _PARQUET:
            return _parquet(path)
        with path.open("rb") as file:
            raw = file.read()
        text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CommandError(f"{path} is not in UTF-8: save it as CSV in UTF-8 ({error.reason})") from error
    except (OSError, EOFError) as error:
        near = meant(path.name, [other.name for other in path.parent.glob("*")]) if not path.exists() else ""
        reason = getattr(error, "strerror", None) or str(error)
        raise CommandError(f"{path} cannot be read: {reason}{near}") from error
    return _csv(path, text, reading.separator)


def _csv(path: Path, text: str, separator: str | None) -> Table:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=separator or ",")
    try:
        rows = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise CommandError(f"{path}, line {reader.line_num}: {error}") from error
    if not rows:
        raise CommandError(f"{path} is empty")
    header = [name.strip() for name in rows[0][1]]
    other = next((c for c in ";\t|," if c in header[0] and c != separator), None)
    if len(header) == 1 and other is not None:
        raise CommandError(
            f"{path} is separated by {other!r}; say --sep {_shown(other)}, or save it with commas"
        )
    if len(rows) == 1:
        raise CommandError(f"{path} has no rows, only names of columns")
    for line, row in rows[1:]:
        if len(row) != len(header):
            raise CommandError(f"{path}, line {line}: {len(row)} values for {len(header)} columns")
    columns = [list(column) for column in zip(*(row for _, row in rows[1:]), strict=True)]
    return Table(path, header, columns, [line for line, _ in rows[1:]])


def _shown(separator: str) -> str:
    return "tab" if separator == "\t" else f"'{separator}'"


def separator_of(text: str | None) -> str | None:
    """The separator that was asked for."""
    named = {"tab": "\t", r"\t": "\t", "comma": ",", "semicolon": ";", "space": " "}
    found = None if text is None else named.get(text.lower(), text)
    if found is not None and (len(found) != 1 or found in '"\r\n'):
        raise CommandError(f"--sep is one character, or tab, comma, semicolon, space; not {text!r}")
    return found


def _parquet(path: Path) -> Table:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise CommandError(f"{path}: Parquet needs pyarrow: python -m pip install pyarrow") from None
    try:
        found = parquet.read_table(path)
    except ArrowException as error:
        raise CommandError(f"{path} cannot be read as Parquet: {error}") from error
    columns = [["" if one is None else str(one) for one in column.to_pylist()] for column in found.columns]
    if not found.num_rows:
        raise CommandError(f"{path} has no rows, only names of columns")
    return Table(path, list(found.column_names), columns, list(range(1, found.num_rows + 1)), "row")
