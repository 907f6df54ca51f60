"""The command line: `tapegrad`, or `python -m tapegrad`."""

import argparse
from collections.abc import Sequence

from tapegrad import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        What follows the program's name; the process's own where not given.

    Returns
    -------
    int
        The exit status.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return 0
    return _demo()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tapegrad",
        description="Maximum likelihood in plain NumPy: trace once, replay value, gradient and Hessian.",
    )
    parser.add_argument("--version", action="version", version=f"tapegrad {__version__}")
    commands = parser.add_subparsers(dest="command", title="commands")
    commands.add_parser("demo", help="fit a regression to real data, and show how")
    return parser


def _demo() -> int:
    from tapegrad.demo import report  # here, so that `tapegrad --version` need not load SciPy's optimisers

    for paragraph in report():
        print(paragraph, end="\n\n", flush=True)
    return 0
