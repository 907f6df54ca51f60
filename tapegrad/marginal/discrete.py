"""Random effects that the joint log-likelihood rounds: what no integral over real numbers is meant for."""

from __future__ import annotations

from typing import Final

from tapegrad.function.traced import TracedFunction
from tapegrad.ops.elementwise import ceil, floor, floor_divide, rint, trunc
from tapegrad.ops.registry import FLOAT
from tapegrad.ops.shaping import to_int
from tapegrad.recording.frames import location
from tapegrad.tape.slots import active_slots

_ROUNDING: Final = (floor, ceil, trunc, rint, floor_divide, to_int)


def rounded(function: TracedFunction, leaves: list[int]) -> str | None:
    """What is said of a random effect that is rounded; None if none is.

    Parameters
    ----------
    function : TracedFunction
        The joint log-likelihood.
    leaves : list of int
        Which of its parameter leaves are random effects.
    """
    tape = function.short_tape
    for leaf in leaves:
        # What finds places, as interpolation does, is no rounding: the function may go on across them.
        moving = active_slots(tape, [tape.parameters[leaf]])
        for entry in tape.entries:
            if entry.op in _ROUNDING and any(
                moving[s] and tape.avals[s].dtype == FLOAT for s in entry.inputs
            ):
                label = function.structure.leaves[leaf].label
                return (
                    f"{label} is rounded{location(entry.source)}: between its jumps, the joint "
                    "log-likelihood is taken for smooth, so that a random effect of whole numbers is not "
                    "integrated out rightly. Take the sum over its values in the log-likelihood"
                )
    return None
