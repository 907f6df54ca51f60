"""What the command line says to its users."""

import difflib
import sys
import traceback
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tapegrad import TraceError


class CommandError(Exception):
    """An error for the user of the command line, who gets its message."""


def meant(name: str, known: Iterable[str]) -> str:
    """`` (did you mean 'x'?)``, where a name is nearly one that is known."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" (did you mean {near[0]!r}?)" if near else ""


@contextmanager
def telling(command: str, model: str, silent: tuple[type[Warning], ...] = ()) -> Iterator[None]:
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


def _told(error: Exception, model: str) -> str:
    """What went wrong, with the line of the model where it did."""
    file = Path(model.rpartition(":")[0]).resolve()
    frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).resolve() == file]
    if not frames or isinstance(error, TraceError):  # which names the line itself
        return str(error)
    return f"{file.name}:{frames[-1].lineno}: `{frames[-1].line}`: {type(error).__name__}: {error}"
