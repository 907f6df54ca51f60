"""The command line: `tapegrad`, or `python -m tapegrad`."""

import argparse
import os
import sys
import time
from collections.abc import Sequence

from tapegrad.backends.c import cache
from tapegrad.cli import completion, doctor, fitting
from tapegrad.cli.parser import parser
from tapegrad.cli.words import CommandError
from tapegrad.demo import report

__all__ = ["main"]


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
    whole = parser()
    options = whole.parse_args(arguments)
    if options.command is None:
        whole.print_help()
        return 0
    if options.command == "completion":
        print(completion.script(whole, options.shell), end="")
        return 0
    commands = {
        "demo": _demo,
        "cache": _cache,
        "doctor": _doctor,
        "show": fitting.show,
        "fit": fitting.fitted,
    }
    try:
        return commands[options.command](options)
    except CommandError as error:
        print(f"tapegrad {options.command}: error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # whoever reads has read enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _demo(options: argparse.Namespace) -> int:
    for paragraph in report():
        print(paragraph, end="\n\n", flush=True)
    return 0


def _doctor(options: argparse.Namespace) -> int:
    for line in doctor.lines():
        print(line)
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
