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
from tapegrad.nest import Structure
from tapegrad.ops.registry import FLOAT


def direct(structure: Structure, executable: Executable) -> Direct:
    """The short way for parameters that are a dict of numbers, or of numbers and arrays."""
    return (DirectNumbers if structure.all_scalar else Direct)(structure, executable)


class Direct:
    """Value and gradient on one path, at a dict of floats and float64 arrays."""

    def __init__(self, structure: Structure, executable: Executable) -> None:
        keys = structure.keys
        self._executable = executable
        self._count = len(keys)
        self._places = tuple((key, place) for place, key in enumerate(keys, start=1))
        leaves = zip(keys, structure.leaves, strict=True)
        self._leaves = tuple((key, leaf.shape, leaf.place) for key, leaf in leaves)
        self._gradient: dict[Any, Any] = dict.fromkeys(keys)

    def __call__(self, theta: dict[Any, Any]) -> tuple[float, dict[Any, Any]] | None:
        """Value and gradient; None, and nothing done, if the call needs more steps than these.

        Such steps make a workspace or a faster program, find another path, tell an error or a warning.
        """
        executable = self._executable
        meter, idle = executable.meter, executable.idle
        if len(theta) != self._count or not idle or (meter is not None and meter.left <= 0):
            return None
        try:
            workspace = idle.pop()
        except IndexError:  # another thread was here
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
        for key, shape, place in self._leaves:
            part = theta.get(key)
            if type(part) is np.ndarray:
                if part.dtype is not FLOAT or part.shape != shape:
                    return False
                inputs[place] = part if len(shape) < 2 else part.ravel()
            elif shape or (type(part) is not float and type(part) is not np.float64):
                return False
            else:
                inputs[place] = part
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


class DirectNumbers(Direct):
    """The same of numbers alone, in one piece: each function more takes as long as a step of it."""

    def __init__(self, structure: Structure, executable: Executable) -> None:
        super().__init__(structure, executable)
        keys = structure.keys
        self._parts: Callable[[Any], Any] = itemgetter(*keys) if len(keys) > 1 else lambda t: (t[keys[0]],)
        self._pack = Struct(f"{len(keys)}d").pack_into

    def __call__(self, theta: dict[Any, Any]) -> tuple[float, dict[Any, Any]] | None:
        """Value and gradient; None, and nothing done, if the call needs more steps than these."""
        executable = self._executable
        meter, idle = executable.meter, executable.idle
        if len(theta) != self._count or (meter is not None and meter.left <= 0):
            return None
        try:
            numbers = self._parts(theta)
            for number in numbers:
                if type(number) is not float and type(number) is not np.float64:
                    return None
            workspace = idle.pop()
        except (KeyError, IndexError):
            return None
        self._pack(workspace.inputs, 0, *numbers)  # type: ignore[arg-type]
        workspace.compute()
        if executable.has_guards and workspace.broken() is not None:
            idle.append(workspace)
            return None
        outputs = workspace.outputs
        gradient = self._gradient.copy()
        value = total = float(outputs[0])
        for key, place in self._places:
            part = outputs[place]
            if type(part) is not float:  # but NumPy's, and a view of what the next run overwrites
                part = float(part)
            gradient[key] = part
            total += part
        idle.append(workspace)
        if total != total:  # as it is, too, if there are infinities of both signs
            return None
        if meter is not None:
            meter.left -= 1
        return value, gradient
