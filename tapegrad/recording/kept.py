"""Traced values that the user's objects have kept when a trace is over, such as parameters set as attributes.

A plain call would have left plain numbers there. So each of them becomes the number that it stood for.
"""

from __future__ import annotations

import gc
from typing import Any

import numpy as np

from tapegrad.recording.buffers import Buffer, cell_of, numbers_in
from tapegrad.recording.holders import replace_held
from tapegrad.recording.tracer import Tracer
from tapegrad.recording.view import View


def release_kept() -> bool:
    """Put numbers in the places of what is kept of traces that are over; False if there is nothing."""
    kept = tuple([x for x in gc.get_objects() if issubclass(type(x), (Tracer, Buffer)) and _is_over(x)])
    return replace_held(kept, [_value(x) for x in kept])


def _is_over(x: Any) -> bool:
    tracer = cell_of(x) if type(x) is Buffer else x
    return tracer is not None and bool(getattr(tracer.recorder, "is_over", False))


def _value(x: Any) -> Any:
    if type(x) is Buffer:
        return numbers_in(x)[()]
    return np.array(_of_view(x) if isinstance(x, View) else x.held)[()]


def _of_view(view: View) -> Any:
    """What a view holds by now: its owner may have been written to."""
    return view.look(_of_view(view.owner) if isinstance(view.owner, View) else view.owner.held)
