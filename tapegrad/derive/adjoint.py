"""The derivative of a loop as a loop: its step takes a tangent on, or a cotangent back.

For loops that carry few numbers the matrices between them are array code, and a linear recurrence is all that
goes step by step. These matrices have a tangent for each number that is carried. Where many are, the products
with them, step by step, take a fraction of that.
"""

from __future__ import annotations

from dataclasses import replace

from tapegrad.derive.pullback import pullback
from tapegrad.derive.pushforward import pushforward
from tapegrad.ops.elementwise import add
from tapegrad.tape.body import Body
from tapegrad.tape.builder import Builder
from tapegrad.tape.rewrite import selected
from tapegrad.tape.slots import needed_for
from tapegrad.tape.tape import Tape


def tangents(body: Body) -> Body:
    """A step that takes the tangent of what is carried on, and adds a term.

    It carries the tangent; what stays the same stays the same; of its own, each step has what was carried
    before it, then what it had, then the terms.
    """
    return _linear(body, pushforward(body.tape, body.tape.parameters[: body.carried]))


def cotangents(body: Body) -> Body:
    """A step that takes the cotangent of what is carried back, in the same way."""
    return _linear(body, pullback(body.tape))


def _linear(body: Body, tape: Tape) -> Body:
    """A tape of products with a step's Jacobian as the body of a loop."""
    count, split = len(body.tape.parameters), body.carried + body.fixed
    builder = Builder.continuing(tape)
    outputs = tape.outputs[: body.carried]
    avals = [aval for _, _, aval in body.spans]
    terms = [builder.parameter(aval) for aval in avals]
    sums = [
        builder.emit(add, (slot, term), (), None, aval)
        for slot, term, aval in zip(outputs, terms, avals, strict=True)
    ]
    found = builder.finish(sums)
    given, carried = found.parameters[:count], found.parameters[count : count + body.carried]
    own = (*given[: body.carried], *given[split:], *terms)
    found = replace(found, parameters=(*carried, *given[body.carried : split], *own))
    return Body(selected(found, needed_for(found, found.outputs)), body.carried, body.fixed)
