"""Value and gradient by the steps alone that every call needs.

It takes the parameters as they stand in a dict, writes them where the program reads them, runs it, and reads
what it wrote. A call that needs anything else goes the long way, through `Router.run`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from struct import Struct
from typing import Any

import numpy as np

from tapegrad.backends.programs import Executable
from tapegrad.function.nonfinite import has_nan
from tapegrad.nest import Structure, fits


class Direct:
    """Value and gradient on one path, at a dict of floats and float64 arrays.

    Its loops are written out: each function more that is called would take as long as a step of them.
    """

    def __init__(self, structure: Structure, executable: Executable) -> None:
        keys = structure.keys
        self._executable = executable
        self._count = len(keys)
        self._places = tuple((key, place) for place, key in enumerate(keys, start=1))
        self._leaves = structure.leaves
        self._are_numbers = structure.all_scalar
        self._parts: Callable[[Any], Any] = itemgetter(*keys) if len(keys) > 1 else lambda t: (t[keys[0]],)
        self._pack = Struct(f"{len(keys)}d").pack_into
        self._gradient: dict[Any, Any] = dict.fromkeys(keys)

    def __call__(self, theta: dict[Any, Any]) -> tuple[float, dict[Any, Any]] | None:
        """Value and gradient; None, and nothing done, if the call needs more steps than these.

        Such steps make a workspace or a faster program, find another path, tell an error or a warning.
        """
        executable = self._executable
        meter, idle = executable.meter, executable.idle
        if len(theta) != self._count or (meter is not None and meter.left <= 0):
            return None
        try:
            parts = self._parts(theta)
        except KeyError:
            return None
        if self._are_numbers:
            for part in parts:
                if type(part) is not float and type(part) is not np.float64:
                    return None
        elif not all(map(fits, parts, self._leaves)):
            return None
        try:
            workspace = idle.pop()
        except IndexError:
            return None
        if self._are_numbers:
            self._pack(workspace.inputs, 0, *parts)
        else:
            for leaf, part in zip(self._leaves, parts, strict=True):
                workspace.inputs[leaf.place] = part if leaf.shape == () else part.ravel()
        workspace.compute()
        found = None
        if not executable.has_guards or workspace.broken() is None:
            found = self._read(workspace.outputs)
        if meter is not None and found is not None:
            meter.left -= 1
        idle.append(workspace)
        return found

    def _read(self, outputs: Sequence[Any]) -> tuple[float, dict[Any, Any]] | None:
        """Copies of the outputs, if none of them is NaN."""
        gradient = self._gradient.copy()
        value = total = float(outputs[0])
        for key, place in self._places:
            part = outputs[place]
            if type(part) is float:
                total += part
            elif not part.ndim:
                part = float(part)
                total += part
            elif has_nan(part):
                return None
            else:
                part = part.copy()
            gradient[key] = part
        # NaN spreads. So do infinities of both signs; then the long way finds that there was none.
        return (value, gradient) if total == total else None
