"""Progress on standard error: tqdm's bar where it is installed, otherwise a plain line now and then.

In a notebook it is tqdm's bar for notebooks.
"""

import importlib
import sys
import time
import warnings
from types import TracebackType
from typing import Any

_SECONDS_BETWEEN_LINES = 1.0
_PATIENCE = 2.0  # seconds before a picture tells of its progress


class Progress:
    """A context in which every `step` is shown, or none if `show` is not set.

    Parameters
    ----------
    label : str
        What is going on.
    total : int or None
        How many steps there will be, if known.
    show : bool
        Whether to show anything.
    after : float
        For how many seconds nothing is shown.
    each : bool
        A line for each step, with the seconds since the first, and no bar: of steps that are long.
    """

    def __init__(
        self, label: str, total: int | None, show: bool, after: float = 0.0, each: bool = False
    ) -> None:
        self._each = each
        self._label = label
        self._total = total
        self._show = show
        self._after = after
        self._count = 0
        self._begun = time.monotonic()
        self._last_line = -float("inf")
        self._bar: Any = None

    def __enter__(self) -> "Progress":
        if self._show and not self._each:
            try:
                with warnings.catch_warnings():  # it warns of widgets that a notebook lacks, and does without
                    warnings.simplefilter("ignore")
                    bar = importlib.import_module("tqdm.auto").tqdm
                    wait = {"delay": self._after} if self._after else {}
                    self._bar = bar(total=self._total, desc=self._label, **wait)
            except ImportError:
                self._bar = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        elif self._show and self._is_late():
            self._line("done" if kind is None else "stopped")

    def step(self, text: str = "") -> None:
        """One more step is done; `text` says where it is."""
        self._count += 1
        if not self._show:
            return
        if self._bar is not None:
            self._bar.set_postfix_str(text, refresh=False)
            self._bar.update()
        elif self._each:
            self._line(f"{text} after {time.monotonic() - self._begun:.3g} s")
        elif self._is_late() and time.monotonic() - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._line(text)

    def _is_late(self) -> bool:
        return time.monotonic() - self._begun >= self._after

    def _line(self, text: str) -> None:
        self._last_line = time.monotonic()
        count = str(self._count) if self._total is None else f"{self._count}/{self._total}"
        print(f"{self._label}: {count} {text}".rstrip(), file=sys.stderr, flush=True)


def patient(label: str, total: int | None = None) -> Progress:
    """A context that shows its steps only once it has taken two seconds."""
    return Progress(label, total, True, _PATIENCE)
