"""The command line: `tapegrad`, or `python -m tapegrad`."""

import argparse
import csv
import importlib.util
import inspect
import json
import re
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from tapegrad import ConvergenceWarning, StandardErrorWarning, TraceError, __version__, fit, trace
from tapegrad.backends.c import cache
from tapegrad.demo import report
from tapegrad.mle import transforms

EPILOG: Final = """\
example: with the columns of data.csv for the arguments that --start does not name,
  tapegrad fit model.py:loglik --data data.csv --start mu=0 --start sigma=1 --transform sigma=positive
The exit status is 0 if the fit has converged, 1 if it has not, and 2 if there is something wrong with what
was asked for."""
# Constraints that a number or a vector can have, with how many limits each takes.
TRANSFORMS: Final = {
    **{"positive": 0, "unit": 0, "lower": 1, "upper": 1, "interval": 2},
    **{"simplex": 0, "ordered": 0, "sum_to_zero": 0},
}


class CommandError(Exception):
    """An error for the user of the command line, who gets its message."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        What follows the program's name; the process's own where not given.

    Returns
    -------
    int
        The exit status: 1 if a fit has not converged, 2 if there is something wrong with what was asked for.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return 0
    if options.command == "demo":
        return _demo()
    if options.command == "cache":
        return _cache(options)
    try:
        return _show(options) if options.command == "show" else _fit(options)
    except CommandError as error:
        print(f"tapegrad {options.command}: error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tapegrad",
        description="Maximum likelihood in plain NumPy: trace once, replay value, gradient and Hessian.",
    )
    parser.add_argument("--version", action="version", version=f"tapegrad {__version__}")
    commands = parser.add_subparsers(dest="command", title="commands")
    commands.add_parser("demo", help="fit a regression to real data, and show how")
    caching = commands.add_parser(
        "cache",
        help="the libraries that the backend 'c' has compiled",
        description="Where compiled libraries are kept, and how many. The environment variable "
        f"{cache.VARIABLE} names another folder.",
    )
    caching.add_argument("--list", action="store_true", help="list them, the one used last at the end")
    caching.add_argument("--clear", action="store_true", help="remove them")
    showing = commands.add_parser(
        "show",
        help="the tape of a function of yours, as a listing or as a page for a browser",
        description="Trace FUNCTION of the file MODEL.py, with --start and --data as in `tapegrad fit`, and "
        "print its tape. With --html, write a page that shows every number at the start beside your code.",
    )
    fitting = commands.add_parser(
        "fit",
        help="fit a log-likelihood of yours to a data file",
        description="Fit FUNCTION of the file MODEL.py. Its arguments are the parameters, which --start "
        "names, and columns of the data file.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for command in (showing, fitting):
        command.add_argument("model", metavar="MODEL.py:FUNCTION", help="the log-likelihood, in plain NumPy")
        command.add_argument(
            "--data", type=Path, metavar="FILE.csv", help="columns of numbers under their names"
        )
        command.add_argument(
            "--start",
            action="append",
            required=True,
            metavar="NAME=VALUE",
            help="where a parameter starts; NAME=0,0,0 is a vector; once for each parameter",
        )
    showing.add_argument("--html", type=Path, metavar="FILE.html", help="write a page to this file")
    fitting.add_argument(
        "--transform",
        action="append",
        default=[],
        metavar="NAME=KIND",
        help=f"a constraint: {', '.join(_call(kind, count) for kind, count in TRANSFORMS.items())}",
    )
    fitting.add_argument(
        "--fixed", action="append", default=[], metavar="NAME", help="a parameter that stays where it starts"
    )
    fitting.add_argument("--method", default="bfgs", help="the optimiser (default: bfgs)")
    fitting.add_argument("--json", action="store_true", help="print the numbers as JSON instead of the table")
    return parser


def _call(kind: str, count: int) -> str:
    return kind + (f"({','.join('AB'[:count])})" if count else "")


def _demo() -> int:
    for paragraph in report():
        print(paragraph, end="\n\n", flush=True)
    return 0


def _cache(options: argparse.Namespace) -> int:
    if options.clear:
        count, what = cache.clear(), "removed from"
    else:
        found = cache.entries()
        for entry in found if options.list else ():
            used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used))
            print(f"{entry.folder.name}  {entry.size:>10,} bytes  used {used}")
        count, what = len(found), f"with {sum(entry.size for entry in found):,} bytes in"
    print(f"{count} {'entry' if count == 1 else 'entries'} {what} {cache.folder()}")
    return 0


# show -------------------------------------------------------------------------------------------------------


def _show(options: argparse.Namespace) -> int:
    function = _function(options.model)
    start = _starts(options.start)
    data, _ = _data(function, start, options.data)
    with _telling("show", options.model):
        traced = trace(function, start, data=data)
        if options.html is None:
            print(traced)
            return 0
        page = traced.show(start)
    try:
        page.write(options.html)
    except OSError as error:
        raise CommandError(f"{options.html} cannot be written: {error.strerror}") from error
    print(f"{options.html}: {len(traced.tape.entries):,} entries of {traced.tape.name}")
    return 0


@contextmanager
def _telling(command: str, model: str, silent: tuple[type[Warning], ...] = ()) -> Iterator[None]:
    """Errors of the model are the user's to read, and so are warnings, but those told elsewhere."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield
        except Exception as error:  # whatever the user's function raises, too
            raise CommandError(_told(error, model)) from error
    for warning in caught:
        if not issubclass(warning.category, silent):
            print(f"tapegrad {command}: warning: {warning.message}", file=sys.stderr)


# fit --------------------------------------------------------------------------------------------------------


def _fit(options: argparse.Namespace) -> int:
    function = _function(options.model)
    start = _starts(options.start)
    transforms = dict(map(_transform, options.transform))
    data, nobs = _data(function, start, options.data)
    # What is wrong with the end of the fit is told below the table.
    with _telling("fit", options.model, (ConvergenceWarning, StandardErrorWarning)):
        result = fit(
            function,
            start,
            options.method,
            data=data,
            transforms=transforms,
            fixed=options.fixed,
            nobs=nobs,
        )
    findings = () if result.se_reliable else result.diagnose().findings
    if options.json:
        diagnosis = [finding._asdict() for finding in findings]
        print(json.dumps({**result.to_dict(), "diagnosis": diagnosis}, indent=1, allow_nan=False))
    else:
        print(result.summary())
        for kind, message in findings:
            if kind != "not converged":  # the table ends with it
                print(f"- {kind}: {message}")
    return 0 if result.converged else 1


def _told(error: Exception, model: str) -> str:
    """What went wrong, with the line of the model where it did."""
    file = Path(model.rpartition(":")[0]).resolve()
    frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).resolve() == file]
    if not frames or isinstance(error, TraceError):  # which names the line itself
        return str(error)
    return f"{file.name}:{frames[-1].lineno}: `{frames[-1].line}`: {type(error).__name__}: {error}"


def _function(text: str) -> Callable[..., Any]:
    """The function that "path/model.py:name" means."""
    file, _, name = text.rpartition(":")
    path = Path(file)
    if not file or path.suffix != ".py":
        raise CommandError(f"write the model as FILE.py:FUNCTION, not {text!r}")
    if not path.is_file():
        raise CommandError(f"there is no file {file}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None  # there is one for each file called .py
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent.resolve()))  # as for a script: it may import its neighbours
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise CommandError(f"{file} cannot be run: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(str(path.parent.resolve()))
    function = getattr(module, name, None)
    if not callable(function):
        raise CommandError(f"there is no function {name!r} in {file}")
    return function  # type: ignore[no-any-return]


def _starts(texts: Sequence[str]) -> dict[str, Any]:
    start: dict[str, Any] = {}
    for text in texts:
        name, value = _start(text)
        if name in start:
            raise CommandError(f"--start {name} is given twice; a vector is {name}=0,0,0")
        start[name] = value
    return start


def _start(text: str) -> tuple[str, Any]:
    """The name and the value of "name=value"; with commas the value is a vector."""
    name, equals, value = text.partition("=")
    try:
        numbers = [float(part) for part in value.split(",") if part.strip()]
    except ValueError:
        numbers = []
    if not (equals and name.strip() and numbers):
        raise CommandError(f"write a start as NAME=VALUE, such as mu=0 or beta=0,0,0, not {text!r}")
    return name.strip(), np.array(numbers) if "," in value else numbers[0]


def _transform(text: str) -> tuple[str, Any]:
    """The name and the transform of "name=kind" or "name=kind(a,b)"."""
    found = re.fullmatch(r"\s*(\S+?)\s*=\s*(\w+)\s*(?:\((.*)\))?\s*", text)
    try:
        name, kind, given = found.groups() if found else ("", "", None)
        limits = [] if given is None else [float(limit) for limit in given.split(",")]
        if TRANSFORMS.get(kind) != len(limits):
            raise ValueError
    except ValueError:
        kinds = ", ".join(_call(kind, count) for kind, count in TRANSFORMS.items())
        raise CommandError(f"write a constraint as NAME=KIND, with one of {kinds}, not {text!r}") from None
    made = getattr(transforms, kind)
    try:
        return name, made(*limits) if limits else made
    except ValueError as error:
        raise CommandError(str(error)) from None


# Data -------------------------------------------------------------------------------------------------------


class _Table(NamedTuple):
    """The columns of a CSV file, and the line of each row."""

    path: Path
    header: list[str]
    rows: list[list[str]]
    lines: list[int]


def _data(
    function: Callable[..., Any], start: dict[str, Any], path: Path | None
) -> tuple[dict[str, Any], int | None]:
    """The columns that the function takes, and the number of rows."""
    name = getattr(function, "__name__", "the function")
    arguments = _arguments(function)
    unknown = [key for key in start if key not in arguments]
    if unknown:
        raise CommandError(f"{name} takes no {', '.join(unknown)}; its arguments are {', '.join(arguments)}")
    needed = [key for key, optional in arguments.items() if key not in start and not optional]
    if path is None:
        if needed:
            raise CommandError(
                f"{name} also takes {', '.join(needed)}: give a start for each that is a parameter, and "
                "--data for the others"
            )
        return {}, None
    table = _read(path)
    missing = [key for key in needed if key not in table.header]
    if missing:
        raise CommandError(
            f"{name} takes {', '.join(missing)}: neither a parameter with a start nor a column of {path}, "
            f"which has {', '.join(table.header)}"
        )
    columns = [key for key in arguments if key in table.header and key not in start]
    if not columns:
        raise CommandError(f"{name} takes none of the columns of {path}, {', '.join(table.header)}")
    return {key: _column(table, key) for key in columns}, len(table.rows)


def _arguments(function: Callable[..., Any]) -> dict[str, bool]:
    """The names of a function's arguments, and whether they may be left out."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        raise CommandError(f"{function!r} does not say what arguments it takes: write a def") from None
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    other = [str(parameter) for parameter in parameters if parameter.kind not in named]
    if other:
        raise CommandError(
            f"arguments are passed by name, and {', '.join(other)} has none: write a def with one argument "
            "for each parameter and column"
        )
    return {parameter.name: parameter.default is not parameter.empty for parameter in parameters}


def _read(path: Path) -> _Table:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            rows = [(reader.line_num, row) for row in reader if row]
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CommandError(f"{path} is not in UTF-8: save it as CSV in UTF-8 ({error.reason})") from error
    except csv.Error as error:
        raise CommandError(f"{path}, line {reader.line_num}: {error}") from error
    if not rows:
        raise CommandError(f"{path} is empty")
    header = [name.strip() for name in rows[0][1]]
    if len(header) == 1 and (separator := next((c for c in ";\t|" if c in header[0]), None)):
        raise CommandError(f"{path} is separated by {separator!r}; save it with commas")
    if len(rows) == 1:
        raise CommandError(f"{path} has no rows, only names of columns")
    for line, row in rows[1:]:
        if len(row) != len(header):
            raise CommandError(f"{path}, line {line}: {len(row)} values for {len(header)} columns")
    return _Table(path, header, [row for _, row in rows[1:]], [line for line, _ in rows[1:]])


def _column(table: _Table, name: str) -> Any:
    if table.header.count(name) > 1:
        raise CommandError(f"{table.path} has {table.header.count(name)} columns called {name}")
    place = table.header.index(name)
    values = np.empty(len(table.rows))
    for i, (line, row) in enumerate(zip(table.lines, table.rows, strict=True)):
        try:
            values[i] = float(row[place])
        except ValueError:
            values[i] = np.nan
        if not np.isfinite(values[i]):
            raise CommandError(
                f"{table.path}, line {line}: {name} is {row[place]!r}, not a number; take such rows out, or "
                "code them as numbers"
            )
    return values
