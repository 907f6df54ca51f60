"""The commands and options of the command line."""

import argparse
from pathlib import Path
from typing import Any, Final

from tapegrad import __version__
from tapegrad.backends.c import cache
from tapegrad.cli.completion import SHELLS
from tapegrad.cli.model import TRANSFORMS, call
from tapegrad.mle.infer.sandwich import KINDS
from tapegrad.mle.regression import FAMILIES

EPILOG: Final = """\
examples: with the columns of data.csv for the arguments that --start does not name, and by a formula,
  tapegrad fit model.py:loglik --data data.csv --start mu=0 sigma=1 --transform sigma=positive
  tapegrad fit --formula "visits ~ age + C(sex)" --family poisson --data visits.csv.gz --cov-type HC3
The exit status is 0 if the fit has converged, 1 if it has not, and 2 if there is something wrong with what
was asked for."""


def parser() -> argparse.ArgumentParser:
    """All commands with their options."""
    made = argparse.ArgumentParser(
        prog="tapegrad",
        description="Maximum likelihood in plain NumPy: trace once, replay value, gradient and Hessian.",
    )
    made.add_argument("--version", action="version", version=f"tapegrad {__version__}")
    commands = made.add_subparsers(dest="command", title="commands")
    commands.add_parser("demo", help="fit a regression to real data, and show how")
    _caching(commands)
    commands.add_parser(
        "doctor", help="what is installed here, and what works: versions, compiler, optional parts"
    )
    completing = commands.add_parser(
        "completion",
        help="a script that completes commands and options in a shell",
        description='Print the script. For bash, add to ~/.bashrc: eval "$(tapegrad completion bash)"',
    )
    completing.add_argument("shell", choices=list(SHELLS))
    showing = commands.add_parser(
        "show",
        help="the tape of a function of yours, as a listing or as a page for a browser",
        description="Trace FUNCTION of the file MODEL.py, with --start and --data as in `tapegrad fit`, and "
        "print its tape. With --html, write a page that shows every number at the start beside your code.",
    )
    showing.add_argument("model", metavar="MODEL.py:FUNCTION", help="the log-likelihood, in plain NumPy")
    _data(showing)
    showing.add_argument("--html", type=Path, metavar="FILE.html", help="write a page to this file")
    fitting = commands.add_parser(
        "fit",
        help="fit a log-likelihood of yours, or a formula, to a data file",
        description="Fit FUNCTION of the file MODEL.py. Its arguments are the parameters, which --start "
        "names, and columns of the data file. Or fit a regression by its --formula.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    fitting.add_argument(
        "model", metavar="MODEL.py:FUNCTION", nargs="?", help="the log-likelihood, in plain NumPy"
    )
    _data(fitting)
    _model(fitting)
    _output(fitting)
    return made


def _caching(commands: Any) -> None:
    caching = commands.add_parser(
        "cache",
        help="the libraries that the backend 'c' has compiled",
        description="Where compiled libraries are kept, and how many. The environment variable "
        f"{cache.VARIABLE} names another folder.",
    )
    caching.add_argument("--list", action="store_true", help="list them, the one used last at the end")
    caching.add_argument("--clear", action="store_true", help="remove them")


def _data(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add(
        "--data",
        type=Path,
        metavar="FILE",
        help="columns under their names: CSV, also compressed (.gz), or Parquet",
    )
    add("--sep", metavar="CHARACTER", help="what separates columns of CSV: tab, semicolon, or any character")
    add(
        "--missing",
        choices=("raise", "drop"),
        default="raise",
        help="whether rows in which something is missing (NA, nan, nothing) are an error, or left out",
    )
    add(
        "--category",
        action="append",
        default=[],
        metavar="COLUMN",
        help="a column of numbers that are names; texts are anyway: 0, 1, ... in alphabetical order",
    )
    add(
        "--start",
        action="extend",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="where parameters start; NAME=0,0,0 is a vector",
    )


def _model(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    kinds = ", ".join(call(kind, count) for kind, count in TRANSFORMS.items())
    add("--formula", metavar="FORMULA", help="a regression instead of a function, such as 'y ~ x + C(group)'")
    add("--family", metavar="NAME", help=f"that of the formula: {', '.join(FAMILIES)} (default: gaussian)")
    add("--transform", action="append", default=[], metavar="NAME=KIND", help=f"a constraint: {kinds}")
    add("--fixed", action="append", default=[], metavar="NAME", help="a parameter that stays where it starts")
    add("--method", default="bfgs", help="the optimiser (default: bfgs)")
    add(
        "--cov-type",
        default="nonrobust",
        metavar="KIND",
        help=f"the covariance of the estimates: {', '.join(KINDS)} (default: nonrobust)",
    )
    add("--groups", metavar="COLUMN", help="the clusters of --cov-type cluster")
    add("--maxlags", type=int, metavar="NUMBER", help="the lags of --cov-type HAC")
    add("--nobs", type=int, metavar="NUMBER", help="number of observations (default: that of the rows)")
    add("--progress", action="store_true", help="show iterations")


def _output(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("--level", type=float, metavar="SHARE", help="show confidence intervals of this level, such as 0.95")
    add("--json", action="store_true", help="print the numbers as JSON instead of the table")
    add("--save", type=Path, metavar="FILE.json", help="keep the fit, for tapegrad.load")
    add("--html", type=Path, metavar="FILE.html", help="write the table as a page")
