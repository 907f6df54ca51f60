"""How the ops' derivative rules are applied, on numbers, arrays and tracers alike."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from tapegrad.ops.broadcasting import broadcast_to, gated_mul, unbroadcast
from tapegrad.ops.elementwise import power, reciprocal
from tapegrad.ops.registry import (
    Elementwise,
    Factor,
    Gate,
    Linear,
    Op,
    Per,
    Products,
    Raised,
    Shape,
    Together,
)
from tapegrad.ops.scaled import gated_div, gated_times_power, times_power
from tapegrad.ops.shaping import shape_of


def vjp(
    op: Op, i: int, ct: Any, out: Any, inputs: tuple[Any, ...], attrs: dict[str, Any], gated: bool
) -> Any:
    """What the cotangent `ct` of an op's output contributes to the cotangent of its input `i`.

    `gated` says that zeros in `ct` stand for elements not chosen, which no partial may revive.
    """
    rule = op.rule
    if isinstance(rule, Elementwise):
        *others, last = rule.factors(i)
        for factor in others:
            ct = _met(ct, factor, out, inputs, gated)
        shape = shape_of(inputs[i])
        # A last factor that is a number waits for the sum; what else could is for `simplify` to see.
        return unbroadcast(
            _met(ct, last, out, inputs, gated, shape if isinstance(last, float) else None), shape
        )
    if isinstance(rule, Linear):
        transpose = rule.gated if gated and rule.gated is not None else rule.transpose
        return transpose(i, ct, *inputs, **attrs)
    if isinstance(rule, Together):
        (found,) = rule.vjp((i,), ct, out, *inputs, **attrs)
        return found
    assert isinstance(rule, Products)
    back = rule.gated if gated and rule.gated is not None else rule.vjp
    return back(i, ct, out, *inputs, **attrs)


def jvp(
    op: Op,
    tangents: tuple[Any, ...],
    out: Any,
    inputs: tuple[Any, ...],
    attrs: dict[str, Any],
    still: Collection[int] = (),
    flat: Collection[int] = (),
) -> Any:
    """The tangent of an op's output; a tangent None is zero. None if all that matter are.

    `still` are the inputs whose zero tangents are of elements that do not move, which no partial may revive.
    `flat` are the inputs in which a slope of 0 keeps infinite tangents out.
    """
    live = [i for i, t in enumerate(tangents) if t is not None and op.differentiable(i)]
    if not live:
        return None
    rule = op.rule
    if isinstance(rule, Together):
        return rule.jvp(tangents, out, *inputs, **attrs)
    if isinstance(rule, Linear) and rule.jointly:
        moving = [i for i in range(len(inputs)) if rule.wrt(i)]
        mixed = list(inputs)
        for i in moving:
            mixed[i] = (
                tangents[i] if tangents[i] is not None else broadcast_to(0.0, shape=shape_of(inputs[i]))
            )
        return op(*mixed, **attrs)
    total = None
    for i in live:
        term = _jvp_term(op, i, tangents[i], out, inputs, attrs, i in still, op.masks or i in flat)
        total = term if total is None else total + term
    return total if shape_of(total) == shape_of(out) else broadcast_to(total, shape=shape_of(out))


def _jvp_term(
    op: Op,
    i: int,
    t: Any,
    out: Any,
    inputs: tuple[Any, ...],
    attrs: dict[str, Any],
    still: bool,
    flat: bool,
) -> Any:
    rule = op.rule
    if isinstance(rule, Elementwise):
        for factor in rule.factors(i):
            if flat and callable(factor):
                # Here it is the partial that says what was not chosen, whose tangent may be infinite.
                t = gated_mul(factor(out, *inputs), t)
            else:
                t = _met(t, factor, out, inputs, still)
        return t
    if isinstance(rule, Linear):
        return op(*inputs[:i], t, *inputs[i + 1 :], **attrs)
    assert isinstance(rule, Products)
    return rule.jvp(i, t, out, *inputs, **attrs)


def _met(
    moving: Any, factor: Factor, out: Any, inputs: tuple[Any, ...], gated: bool, shape: Shape | None = None
) -> Any:
    """A cotangent or tangent that has met a factor of a partial; first it is summed to `shape`, if given."""
    if shape is not None:
        moving = unbroadcast(moving, shape)
    if isinstance(factor, float):
        return scaled(moving, factor)
    if isinstance(factor, Raised):
        op = gated_times_power if gated else times_power
        x, p = factor.base(out, *inputs), factor.exponent(out, *inputs)
        return op(x, p, power(x, p), factor.times(out, *inputs), moving)
    if isinstance(factor, Gate):
        return gated_mul(factor.rule(out, *inputs), moving)
    if isinstance(factor, Per):
        gated = gated or factor.of_nothing
        value = factor.rule(out, *inputs)
        if shape_of(value) != () or shape_of(moving) == ():
            return gated_div(moving, value) if gated else moving / value
        value = reciprocal(value)  # of which there is one for all, and as a factor it leaves sums
    else:
        value = factor(out, *inputs)
    return gated_mul(moving, value) if gated else moving * value


def scaled(ct: Any, factor: float) -> Any:
    """A cotangent or tangent times a constant, without a multiplication where it is 1 or -1."""
    if factor == 1.0:
        return ct
    return -ct if factor == -1.0 else ct * factor
