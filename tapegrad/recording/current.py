"""Which trace runs in a thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tapegrad.recording.tracer import Trace


class _Current(threading.local):
    trace: Trace | None = None


_current = _Current()


def current_trace() -> Trace | None:
    """The trace that runs in this thread, or None."""
    return _current.trace


@contextmanager
def running(trace: Trace | None) -> Iterator[None]:
    """While this lasts, the thread runs `trace`; None is for plain calls inside a trace."""
    before, _current.trace = _current.trace, trace
    try:
        yield
    finally:
        _current.trace = before
