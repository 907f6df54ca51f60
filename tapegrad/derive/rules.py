"""How the ops' derivative rules are applied, on numbers, arrays and tracers alike."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from tapegrad.ops.broadcasting import broadcast_to, gated_mul, unbroadcast
from tapegrad.ops.registry import Elementwise, Linear, Op, Products
from tapegrad.ops.shaping import shape_of


def vjp(
    op: Op, i: int, ct: Any, out: Any, inputs: tuple[Any, ...], attrs: dict[str, Any], gated: bool
) -> Any:
    """What the cotangent `ct` of an op's output contributes to the cotangent of its input `i`.

    `gated` says that zeros in `ct` stand for elements not chosen, which no partial may revive.
    """
    rule = op.rule
    if isinstance(rule, Elementwise):
        shape = shape_of(inputs[i])
        partial = rule.partials[i]
        if isinstance(partial, float):
            return scaled(unbroadcast(ct, shape), partial)
        assert partial is not None
        value = partial(out, *inputs)
        return unbroadcast(gated_mul(ct, value) if gated else ct * value, shape)
    if isinstance(rule, Linear):
        transpose = rule.gated if gated and rule.gated is not None else rule.transpose
        return transpose(i, ct, *inputs, **attrs)
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
) -> Any:
    """The tangent of an op's output; a tangent None is zero. None if all that matter are.

    `still` are the inputs whose zero tangents are of elements that do not move, which no partial may revive.
    """
    live = [i for i, t in enumerate(tangents) if t is not None and op.differentiable(i)]
    if not live:
        return None
    rule = op.rule
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
        term = _jvp_term(op, i, tangents[i], out, inputs, attrs, i in still)
        total = term if total is None else total + term
    return total if shape_of(total) == shape_of(out) else broadcast_to(total, shape=shape_of(out))


def _jvp_term(
    op: Op, i: int, t: Any, out: Any, inputs: tuple[Any, ...], attrs: dict[str, Any], still: bool
) -> Any:
    rule = op.rule
    if isinstance(rule, Elementwise):
        partial = rule.partials[i]
        if isinstance(partial, float):
            return scaled(t, partial)
        assert partial is not None
        value = partial(out, *inputs)
        # Here it is the partial that says what was not chosen, whose tangent may be infinite.
        if op.masks:
            return gated_mul(value, t)
        return gated_mul(t, value) if still else t * value
    if isinstance(rule, Linear):
        return op(*inputs[:i], t, *inputs[i + 1 :], **attrs)
    assert isinstance(rule, Products)
    return rule.jvp(i, t, out, *inputs, **attrs)


def scaled(ct: Any, factor: float) -> Any:
    """A cotangent or tangent times a constant, without a multiplication where it is 1 or -1."""
    if factor == 1.0:
        return ct
    return -ct if factor == -1.0 else ct * factor
