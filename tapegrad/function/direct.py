"""Value and gradient by the steps alone that every call needs.

It takes the parameters as they stand in a dict, writes them where the program reads them, runs it, and reads
what it wrote. A call that needs anything else goes the long way, through `Router.run`.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from struct import Struct
from typing import Any

import numpy as np

from tapegrad.backends.programs import Executable
from tapegrad.function.nonfinite import has_nan
from tapegrad.nest import Structure
from tapegrad.ops.registry import FLOAT


class Direct:
    """Value and gradient on one path, at a dict of floats and float64 arrays.

    Its loops are written out: each function more that is called would take as long as a step of them.
    """

    def __init__(self, structure: Structure, executable: Executable) -> None:
        keys = structure.keys
        self._executable = executable
        self._count = len(keys)
        self._places = tuple((key, place) for place, key in enumerate(keys, start=1))
        self._leaves = tuple(
            (key, leaf.shape, leaf.place) for key, leaf in zip(keys, structure.leaves, strict=True)
        )
        self._parts = itemgetter(*keys) if structure.all_scalar and len(keys) > 1 else None
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
            workspace = idle.pop()
        except IndexError:
            return None
        found = None
        if self._written(theta, workspace.inputs):
            workspace.compute()
            if not executable.has_guards or workspace.broken() is None:
                found = self._read(workspace.outputs)
        if meter is not None and found is not None:
            meter.left -= 1
        idle.append(workspace)
        return found

    def _written(self, theta: dict[Any, Any], inputs: Any) -> bool:
        """Whether the parameters are what they mostly are, and stand among the inputs now."""
        try:
            if self._parts is not None:
                numbers = self._parts(theta)
                for number in numbers:
                    if type(number) is not float and type(number) is not np.float64:
                        return False
                self._pack(inputs, 0, *numbers)
                return True
            for key, shape, place in self._leaves:
                part = theta[key]
                if type(part) is np.ndarray:
                    if part.dtype is not FLOAT or part.shape != shape:
                        return False
                elif shape or (type(part) is not float and type(part) is not np.float64):
                    return False
                inputs[place] = part if len(shape) < 2 else part.ravel()
        except KeyError:
            return False
        return True

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
