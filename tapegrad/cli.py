"""The command line: `tapegrad`, or `python -m tapegrad`."""

import argparse
import csv
import importlib.util
import inspect
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tapegrad import __version__


class CommandError(Exception):
    """What was asked for cannot be done; the message is for the user."""


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
    try:
        return _fit(options)
    except CommandError as error:
        print(f"tapegrad fit: error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tapegrad",
        description="Maximum likelihood in plain NumPy: trace once, replay value, gradient and Hessian.",
    )
    parser.add_argument("--version", action="version", version=f"tapegrad {__version__}")
    commands = parser.add_subparsers(dest="command", title="commands")
    commands.add_parser("demo", help="fit a regression to real data, and show how")
    fit = commands.add_parser(
        "fit",
        help="fit a log-likelihood of yours to a data file",
        description="Fit FUNCTION of the file MODEL.py. Its arguments are the parameters, which --start "
        "names, and columns of the data file.",
    )
    fit.add_argument("model", metavar="MODEL.py:FUNCTION", help="the log-likelihood, in plain NumPy")
    fit.add_argument("--data", type=Path, metavar="FILE.csv", help="columns of numbers under their names")
    fit.add_argument(
        "--start",
        action="append",
        required=True,
        metavar="NAME=VALUE",
        help="where a parameter starts; NAME=0,0,0 is a vector",
    )
    fit.add_argument("--json", action="store_true", help="print the numbers as JSON instead of the table")
    return parser


def _demo() -> int:
    from tapegrad.demo import report  # here, so that `tapegrad --version` need not load SciPy's optimisers

    for paragraph in report():
        print(paragraph, end="\n\n", flush=True)
    return 0


# fit --------------------------------------------------------------------------------------------------------


def _fit(options: argparse.Namespace) -> int:
    from tapegrad.mle import fit

    function = _function(options.model)
    start = dict(_start(text) for text in options.start)
    data, nobs = _data(function, start, options.data)
    try:
        result = fit(function, start, data=data, nobs=nobs)
    except (ValueError, TypeError) as error:  # TraceError is a TypeError
        raise CommandError(str(error)) from error
    if options.json:
        print(json.dumps(result.to_dict(), indent=1, allow_nan=False))
    else:
        print(result.summary())
    return 0 if result.converged else 1


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


def _data(
    function: Callable[..., Any], start: dict[str, Any], path: Path | None
) -> tuple[dict[str, Any], int | None]:
    """The columns that the function takes, and the number of rows."""
    wanted = inspect.signature(function).parameters
    unknown = [name for name in start if name not in wanted]
    name = getattr(function, "__name__", "the function")
    if unknown:
        raise CommandError(f"{name} takes no {', '.join(unknown)}; its arguments are {', '.join(wanted)}")
    needed = [key for key in wanted if key not in start and wanted[key].default is inspect.Parameter.empty]
    if path is None:
        if needed:
            raise CommandError(
                f"{name} also takes {', '.join(needed)}: give a start for each that is a parameter, and "
                "--data for the others"
            )
        return {}, None
    header, rows = _read(path)
    missing = [key for key in needed if key not in header]
    if missing:
        raise CommandError(
            f"{name} takes {', '.join(missing)}: neither a parameter with a start nor a column of {path}, "
            f"which has {', '.join(header)}"
        )
    places = {key: header.index(key) for key in wanted if key in header and key not in start}
    return {key: _column(path, rows, place, key) for key, place in places.items()}, len(rows)


def _read(path: Path) -> tuple[list[str], list[list[str]]]:
    """The names of the columns, and the rows of a CSV file."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            header, *rows = [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CommandError(f"{path} cannot be read: {error}") from error
    except ValueError:
        raise CommandError(f"{path} is empty") from None
    if not rows:
        raise CommandError(f"{path} has no rows, only names of columns")
    for number, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise CommandError(f"{path}, row {number}: {len(row)} values for {len(header)} columns")
    return [name.strip() for name in header], rows


def _column(path: Path, rows: list[list[str]], place: int, name: str) -> Any:
    values = np.empty(len(rows))
    for i, row in enumerate(rows):
        try:
            values[i] = float(row[place])
        except ValueError:
            raise CommandError(
                f"{path}, row {i + 2}: {name} is {row[place]!r}, not a number; take such rows out, or code "
                "them as numbers"
            ) from None
        if not np.isfinite(values[i]):
            raise CommandError(f"{path}, row {i + 2}: {name} is {row[place]}; take such rows out")
    return values
