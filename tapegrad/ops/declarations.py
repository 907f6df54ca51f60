"""What an op declares of its derivative, as data; `tapegrad.derive.rules` applies it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Rule = Callable[..., Any]


@dataclass(frozen=True)
class Per:
    """A factor that divides by what `rule` gives; `of_nothing` says that 0 / 0 is 0."""

    rule: Rule
    of_nothing: bool = False


@dataclass(frozen=True)
class Gate:
    """A factor that wins where it is 0, whatever it meets."""

    rule: Rule


@dataclass(frozen=True)
class Raised:
    """A factor `times` a power, which can leave the range of doubles where the product does not.

    Where `times` is 0, it wins.
    """

    times: Rule
    base: Rule
    exponent: Rule


Factor = Rule | float | Per | Gate | Raised
Partial = Factor | tuple[Factor, ...] | None


@dataclass(frozen=True)
class Elementwise:
    """Derivative of an elementwise op: one partial per input.

    A partial is a factor or a tuple of factors, which the (co)tangent meets one after another; None where
    there is no derivative. ``(lambda out, x: -out, lambda out, x: out)`` is ``(ct * -out) * out``, which
    stays in range where the square of `out` does not. A factor is a function ``(out, *inputs) -> value``, a
    constant, or a `Per`, `Gate` or `Raised`.
    """

    partials: tuple[Partial, ...]

    def factors(self, index: int) -> tuple[Factor, ...]:
        """The partial with respect to input `index`, which has one, as factors."""
        partial = self.partials[index]
        assert partial is not None
        return partial if isinstance(partial, tuple) else (partial,)

    def wrt(self, index: int) -> bool:
        """Whether there is a derivative with respect to input `index`."""
        return self.partials[index] is not None


@dataclass(frozen=True)
class Linear:
    """Derivative of an op that is linear in its `arguments`.

    ``transpose(i, ct, *inputs, **attrs)`` maps the output's cotangent to that of input `i`. An op that is
    linear in all of them together (concatenate) is its own jvp; one that is linear in each of them alone
    (matmul) sets `jointly` to False, and its jvp is the sum over its arguments. `arguments` None means every
    input. `gated` is the transpose for cotangents whose zeros stand for what was not chosen, and which no
    other operand may revive; an op that only moves its elements needs none.
    """

    transpose: Rule
    arguments: tuple[int, ...] | None = None
    jointly: bool = True
    gated: Rule | None = None

    def wrt(self, index: int) -> bool:
        """Whether there is a derivative with respect to input `index`."""
        return self.arguments is None or index in self.arguments


@dataclass(frozen=True)
class Products:
    """Derivative of any other op: ``jvp(i, t, out, *inputs, **attrs)`` and ``vjp(i, ct, out, ...)``.

    Both are stated per input `i`; the whole jvp is the sum over the inputs, or those in `arguments`. `gated`
    is the vjp for cotangents whose zeros stand for what was not chosen, as in `Linear`.
    """

    jvp: Rule
    vjp: Rule
    gated: Rule | None = None
    arguments: tuple[int, ...] | None = None

    def wrt(self, index: int) -> bool:
        """Whether there is a derivative with respect to input `index`."""
        return self.arguments is None or index in self.arguments


@dataclass(frozen=True)
class Together:
    """Derivative of an op whose inputs share most of the work for it.

    ``jvp(tangents, out, *inputs, **attrs)`` is given the tangents of all inputs, None for those that do not
    move. ``vjp(wanted, ct, out, *inputs, **attrs)`` gives the cotangents of the inputs `wanted`, in order.
    """

    jvp: Rule
    vjp: Rule

    def wrt(self, index: int) -> bool:
        """Whether there is a derivative with respect to input `index`."""
        return True
