"""strength: divisions by scalars, powers and signs by cheaper operations, within rounding.

This pass makes a tape ready to run, and no derivative is taken of what it writes: `power` has the right slope
at 0, which ``x * sqrt(x)`` has not. A quotient stays whole until here, so that it is seen to be the same
wherever it is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from tapegrad.ops.elementwise import mul, neg, power, reciprocal, sqrt, square, sub
from tapegrad.passes.arithmetic import is_normal
from tapegrad.passes.writer import Rule, Writer
from tapegrad.tape.entries import Entry
from tapegrad.tape.tape import Tape


def by_a_scalar(w: Writer, entry: Entry) -> int | None:
    """x / s of an array and a scalar is x * (1 / s); the derivatives use 1 / s as well.

    Zeros and infinities give what the quotient gives, NaN included. Only where s is so small (below 2**-1024,
    which is 5.6e-309) that 1 / s overflows, a finite quotient becomes infinite, and 0 / s NaN.
    """
    x, s = entry.inputs
    if w.exact or w.shape(x) == () or w.shape(s) != ():
        return None
    inverse = w.emit(entry, reciprocal, (s,))
    if inverse in w.known and not is_normal(w.known[inverse]):
        return None
    return w.emit(entry, mul, (x, inverse))


def small_power(w: Writer, entry: Entry) -> int | None:
    """x**3, x**4, x**-2, x**-3, x**-4 and x**1.5 by squares, roots and reciprocals.

    As for NumPy's own ``x**0.5``, ``x**1.5`` of -inf is NaN then, which `np.power` takes for inf.
    """
    x, y = entry.inputs
    number = w.known.get(y)
    if w.exact or not isinstance(number, float) or number not in (3.0, 4.0, -2.0, -3.0, -4.0, 1.5):
        return None
    if number == 1.5:
        return w.emit(entry, mul, (x, w.emit(entry, sqrt, (x,))))
    if number < 0.0:
        x = w.emit(entry, reciprocal, (x,))
    squared = w.emit(entry, square, (x,))
    if abs(number) == 3.0:
        return w.emit(entry, mul, (x, squared))
    return w.emit(entry, square, (squared,)) if abs(number) == 4.0 else squared


def sign_inward(w: Writer, entry: Entry) -> int | None:
    """-(s * x) is (-s) * x, and -(x - y) is y - x, of arrays that nobody else reads."""
    (inner,) = entry.inputs
    if (
        w.shape(inner) == ()
        or not w.is_read_once(inner)
        or not (w.is_made(inner, mul) or w.is_made(inner, sub))
    ):
        return None
    x, y = w.made[inner].inputs
    if w.made[inner].op is sub:
        return w.emit(entry, sub, (y, x))
    for s, other in ((x, y), (y, x)):
        if w.shape(s) == ():
            return w.emit(entry, mul, (w.emit(entry, neg, (s,)), other))
    return None


class _Strength(Writer):
    rules: ClassVar[Mapping[str, tuple[Rule, ...]]] = {
        "div": (by_a_scalar,),
        "neg": (sign_inward,),
        "power": (small_power,),
    }


def strength(tape: Tape) -> Tape:
    """Replace operations by cheaper ones, by the local rules of the table above."""
    found = (entry for entry in tape.entries if entry.op.name in _Strength.rules)
    if all(entry.op is not power and tape.avals[entry.output].shape == () for entry in found):
        return tape  # long loops over scalars end here
    return _Strength(tape).written()
