"""Rules of arithmetic: neutral elements, signs, constants, scalars, squares, quotients and powers.

Where a rule is not exact it says so, and leaves alone what decides something. No rule drops a factor of zero:
0 times infinity is NaN, and stays so.
"""

from __future__ import annotations

import math
import sys

from tapegrad.ops.broadcasting import gated_mul
from tapegrad.ops.elementwise import absolute, add, div, exp, mul, neg, reciprocal, root, sqrt, square, sub
from tapegrad.ops.registry import Op, broadcast
from tapegrad.ops.scaled import gated_div, times_power
from tapegrad.passes.writer import Rule, Writer, entry_key
from tapegrad.tape.entries import Entry

# Neutral elements and signs: exact but for the sign of a zero -----------------------------------------------


def neutral(number: float, *sides: int) -> Rule:
    """x + 0, x - 0, x * 1, x / 1: the other operand."""

    def rule(w: Writer, entry: Entry) -> int | None:
        for side in sides:
            if w.is_number(entry.inputs[side], number):
                return entry.inputs[1 - side]
        return None

    return rule


def zero_minus(w: Writer, entry: Entry) -> int | None:
    """0 - x is -x."""
    return w.apply(entry, neg, entry.inputs[1]) if w.is_number(entry.inputs[0], 0.0) else None


def minus_one_times(w: Writer, entry: Entry) -> int | None:
    """-1 * x is -x."""
    for side in (0, 1):
        if w.is_number(entry.inputs[side], -1.0):
            return w.apply(entry, neg, entry.inputs[1 - side])
    return None


def negated(w: Writer, slot: int) -> int | None:
    """y, where the slot is -y."""
    return w.made[slot].inputs[0] if w.is_made(slot, neg) else None


def double_negation(w: Writer, entry: Entry) -> int | None:
    """-(-x) is x."""
    return negated(w, entry.inputs[0])


def of_a_negative(w: Writer, entry: Entry) -> int | None:
    """An even function of -x is that of x."""
    bare = negated(w, entry.inputs[0])
    return None if bare is None else w.rewrite(entry._replace(inputs=(bare,)))


def sign_outward(w: Writer, entry: Entry) -> int | None:
    """(-x) * y is -(x * y), and so for x / y, 1 / x, sum(x) and x @ y: signs meet further out and cancel.

    Not where the negation would grow with it, unless two cancel.
    """
    bare = [negated(w, slot) for slot in entry.inputs]
    signs = len(bare) - bare.count(None)
    if signs == 1:
        size = w.size(next(slot for slot in bare if slot is not None))
        avals = [w.builder.avals[slot] for slot in entry.inputs]
        if math.prod(entry.op.aval(avals, dict(entry.attrs)).shape) > size:
            return None
    inputs = tuple([slot if new is None else new for slot, new in zip(entry.inputs, bare, strict=True)])
    positive = w.rewrite(entry._replace(inputs=inputs))
    return positive if signs == 2 else w.apply(entry, neg, positive)


def with_a_negative(w: Writer, entry: Entry) -> int | None:
    """x + (-y) is x - y, (-x) + y is y - x, and x - (-y) is x + y."""
    x, y = entry.inputs
    bare = negated(w, y)
    if bare is not None:
        return w.apply(entry, sub if entry.op is add else add, x, bare)
    bare = negated(w, x) if entry.op is add else None
    return None if bare is None else w.apply(entry, sub, y, bare)


# Constants and scalars: within rounding, as long as nothing over- or underflows -----------------------------


def is_normal(number: float) -> bool:
    return math.isfinite(number) and abs(number) >= sys.float_info.min


def constant_times_constant(w: Writer, entry: Entry) -> int | None:
    """c * (d * x) is (c * d) * x, within rounding."""
    if w.exact:
        return None
    for side in (0, 1):
        c, other = w.known.get(entry.inputs[side]), entry.inputs[1 - side]
        if not isinstance(c, float) or not w.is_made(other, mul):
            continue
        inner = w.made[other]
        for inner_side in (0, 1):
            d = w.known.get(inner.inputs[inner_side])
            if isinstance(d, float) and (is_normal(c * d) or 0.0 in (c, d)):
                return w.apply(entry, mul, w.number(c * d), inner.inputs[1 - inner_side])
    return None


def twice(w: Writer, entry: Entry) -> int | None:
    """x + x is 2 * x, whose factor may meet others."""
    x, y = entry.inputs
    return w.apply(entry, mul, w.number(2.0), x) if x == y else None


def _scalar_and_array(w: Writer, slot: int) -> tuple[int, int] | None:
    """s and x, where the slot is s * x of a scalar and an array."""
    if w.exact or not w.is_made(slot, mul):
        return None
    left, right = w.made[slot].inputs
    if w.shape(left) == () != w.shape(right):
        return left, right
    return (right, left) if w.shape(right) == () != w.shape(left) else None


def _may_be_squared(w: Writer, s: int, x: int) -> bool:
    """Whether s * x**2 does for (s * x) * x: x**2 alone can leave the range of doubles where s keeps it in.

    So it must be there already, or s be a number of ordinary size.
    """
    number = w.known.get(s)
    return entry_key(square, (x,), ()) in w.seen or (number is not None and 1e-3 < abs(number) < 1e3)


def scalar_outward(w: Writer, entry: Entry) -> int | None:
    """(s * x) * y is s * (x * y), within rounding: scalars meet, and leave sums at last.

    Not where x * y alone is likely to leave the range of doubles.
    """
    for side in (0, 1):
        found, other = _scalar_and_array(w, entry.inputs[side]), entry.inputs[1 - side]
        if found is None or all(isinstance(w.known.get(slot), float) for slot in (found[0], other)):
            continue  # two numbers are for `constant_times_constant`
        s, x = found
        if (s in w.of_rows and other not in w.known) or (x == other and not _may_be_squared(w, s, x)):
            continue
        first, second = ((s, other), x) if w.shape(other) == () else ((x, other), s)
        return w.apply(entry, mul, w.apply(entry, mul, *first), second)
    return None


def scalar_out_of_sum(w: Writer, entry: Entry) -> int | None:
    """sum(s * x) is s * sum(x), within rounding."""
    found = _scalar_and_array(w, entry.inputs[0])
    if found is None or w.size(entry.inputs[0]) == 0:
        return None
    s, x = found
    return w.apply(entry, mul, s, w.rewrite(entry._replace(inputs=(x,))))


def quotient_out_of_sum(w: Writer, entry: Entry) -> int | None:
    """sum(x / s) is sum(x) / s, and sum((z**2 / s) * y) is sum(z**2 * y) / s, within rounding.

    In other products quotients by scalars stay whole: they are read elsewhere. What is multiplied by a square
    here mostly is so elsewhere too, where the sum is differentiated with respect to z.
    """
    summed = entry.inputs[0]
    if w.exact or w.size(summed) == 0:
        return None
    factors = w.made[summed].inputs if w.is_made(summed, mul) else (summed,)
    for i, factor in enumerate(factors):
        if w.is_made(factor, div) and w.shape(w.made[factor].inputs[1]) == () != w.shape(factor):
            x, s = w.made[factor].inputs
            if len(factors) == 2:
                if not w.is_made(x, square):
                    continue
                x = w.apply(entry, mul, x, factors[1 - i])
            return w.apply(entry, div, w.rewrite(entry._replace(inputs=(x,))), s)
    return None


# Their results are rounded, by an amount of their own size.
_ROUNDED = frozenset(("exp", "expm1", "gammaln", "log", "log10", "log1p", "log2", "logaddexp", "softplus"))


def scalar_beside_logs(w: Writer, entry: Entry) -> int | None:
    """sum(c - s * t) is n * c - s * sum(t) of scalars c and s, where t is a logarithm or the like.

    Of exact terms this would lose digits: where the data and c are both large, each difference is exact. The
    rounding errors of logarithms are as large as those that the sums have here, one by one or together.
    """
    made = w.made.get(entry.inputs[0])
    if w.exact or made is None or made.op not in (add, sub) or w.size(made.output) == 0:
        return None
    for side in (0, 1):
        c, terms = made.inputs[side], made.inputs[1 - side]
        _, t = _scalar_and_array(w, terms) or (None, terms)
        if w.shape(c) == () != w.shape(t) and t in w.made and w.made[t].op.name in _ROUNDED:
            total = w.rewrite(entry._replace(inputs=(terms,)))
            count = w.number(float(w.size(terms) // w.size(total)))
            ends = w.apply(entry, mul, count, c), total
            return w.apply(entry, made.op, *(ends if side == 0 else ends[::-1]))
    return None


def scalar_out_of_product(w: Writer, entry: Entry) -> int | None:
    """(s * x) @ y is s * (x @ y), within rounding, where that is the smaller array."""
    avals = [w.builder.avals[slot] for slot in entry.inputs]
    size = math.prod(entry.op.aval(avals, dict(entry.attrs)).shape)
    for side in (0, 1):
        found = _scalar_and_array(w, entry.inputs[side])
        if found is not None and size <= w.size(found[1]):
            inputs = (found[1], entry.inputs[1]) if side == 0 else (entry.inputs[0], found[1])
            return w.apply(entry, mul, found[0], w.rewrite(entry._replace(inputs=inputs)))
    return None


# Squares and other powers -----------------------------------------------------------------------------------


def times_itself(w: Writer, entry: Entry) -> int | None:
    """x * x is the square of x."""
    x, y = entry.inputs
    return w.apply(entry, square, x) if x == y else None


def square_again(w: Writer, entry: Entry) -> int | None:
    """x * (x * y) is x**2 * y, within rounding, where the square stands on the tape already."""
    for side in (0, 1):
        x, product = entry.inputs[side], entry.inputs[1 - side]
        factors = w.made[product].inputs if w.is_made(product, mul) and not w.exact else ()
        squared = w.seen.get(entry_key(square, (x,), ())) if x in factors else None
        if squared is not None:
            return w.apply(entry, mul, squared, factors[1 - factors.index(x)])
    return None


def square_of_length(w: Writer, entry: Entry) -> int | None:
    """The square of |x| or of a norm has no kink at 0, and its second derivative there is not 0."""
    inner = entry.inputs[0]
    if w.is_made(inner, absolute):
        return w.rewrite(entry._replace(inputs=w.made[inner].inputs))
    return w.made[inner].inputs[0] if w.is_made(inner, root) and not w.exact else None


def easy_power(w: Writer, entry: Entry) -> int | None:
    """x**2, x**0.5 and x**-1 are square, root and reciprocal, within rounding, and x**1 and x**0 are x and 1.

    As for NumPy's own ``x**0.5``, that of -inf is NaN then, which `np.power` takes for inf, and that of -0.0
    is -0.0.
    """
    x, y = entry.inputs
    if w.is_number(y, 1.0):
        return x
    if w.is_number(y, 0.0):
        return w.stretch(entry, w.number(1.0), w.shape(x))
    for number, op in ((2.0, square), (0.5, sqrt), (-1.0, reciprocal)):
        if w.is_number(y, number) and not w.exact:
            return w.apply(entry, op, x)
    return None


def log_of_exp(w: Writer, entry: Entry) -> int | None:
    """log(exp(x)) is x: within rounding, and where the exponential over- or underflows still x."""
    x = entry.inputs[0]
    return w.made[x].inputs[0] if w.is_made(x, exp) and not w.exact else None


def easy_factor(w: Writer, entry: Entry) -> int | None:
    """c * x**p * t for p of -2, -1, 0, 0.5, 1 and 2 and a number c: by products and quotients with t."""
    x, p, _, c, *moving = entry.inputs
    times, over = (mul, div) if entry.op is times_power else (gated_mul, gated_div)
    steps: dict[float, tuple[Op, ...]] = {0.0: (), 1.0: (times,), 2.0: (times,) * 2}
    steps |= {-1.0: (over,), -2.0: (over,) * 2, 0.5: (times,)}
    exponent, number = w.known.get(p), w.known.get(c)
    if not isinstance(number, float) or number == 0.0:
        return None
    if w.exact or len(moving) != 1 or not isinstance(exponent, float) or exponent not in steps:
        return None
    if exponent == 0.5:
        x = w.apply(entry, sqrt, x)
    found = w.stretch(entry, moving[0], broadcast(w.shape(moving[0]), w.shape(x)))
    for op in steps[exponent]:
        found = w.apply(entry, op, found, x)
    return w.apply(entry, mul, found, c)


# Quotients --------------------------------------------------------------------------------------------------


def one_over(w: Writer, entry: Entry) -> int | None:
    """1 / x is the reciprocal, which may be there already, and -1 / x its negative, to the bit."""
    for number in (1.0, -1.0):
        if w.is_number(entry.inputs[0], number):
            found = w.apply(entry, reciprocal, entry.inputs[1])
            return found if number == 1.0 else w.apply(entry, neg, found)
    return None


def scalar_over(w: Writer, entry: Entry) -> int | None:
    """s / x of a scalar and an array is s * (1 / x), within rounding: the scalar may leave a sum."""
    s, x = entry.inputs
    if w.exact or x in w.known or w.shape(s) != () or w.shape(x) == ():
        return None
    return w.apply(entry, mul, s, w.apply(entry, reciprocal, x))


def by_a_power_of_two(w: Writer, entry: Entry) -> int | None:
    """x / 2 is 0.5 * x, to the bit, and the factor may meet others."""
    x, s = entry.inputs
    c = w.known.get(s)
    if not isinstance(c, float) or abs(math.frexp(c)[0]) != 0.5 or not is_normal(1.0 / c):
        return None
    return w.apply(entry, mul, x, w.number(1.0 / c))


def by_a_reciprocal(w: Writer, entry: Entry) -> int | None:
    """1 / (1 / x) is x, and x / (1 / y) is x * y, within rounding."""
    inner = entry.inputs[-1]
    if w.exact or not w.is_made(inner, reciprocal):
        return None
    (y,) = w.made[inner].inputs
    return y if entry.op is reciprocal else w.apply(entry, mul, entry.inputs[0], y)


def by_an_exponential(w: Writer, entry: Entry) -> int | None:
    """x / exp(u) is x * exp(-u), within rounding, where nobody else reads that array; its slope is at hand.

    Where exp(u) is so small (below 2**-1024, which is 5.6e-309) that exp(-u) overflows, a finite quotient
    becomes infinite, and 0 / exp(u) NaN.
    """
    x, inner = entry.inputs
    if w.exact or not w.is_made(inner, exp) or w.shape(inner) == () or not w.is_read_once(inner):
        return None
    return w.apply(entry, mul, x, w.apply(entry, exp, w.apply(entry, neg, w.made[inner].inputs[0])))


# Sums -------------------------------------------------------------------------------------------------------


def sum_of_stretched(w: Writer, entry: Entry) -> int | None:
    """The full sum of a stretched scalar is the scalar times the count, within rounding."""
    small, shape = w.small.get(entry.inputs[0]), w.shape(entry.inputs[0])
    attrs = dict(entry.attrs)
    if (
        w.exact
        or small is None
        or w.shape(small) != ()
        or len(attrs["axis"]) < len(shape)
        or attrs["keepdims"]
    ):
        return None
    size = w.size(entry.inputs[0])
    return w.apply(entry, mul, small, w.number(float(size))) if size else None
