"""A tape as JAX source: a line for each entry, with the user's own lines as comments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tapegrad.backends.jax.forms import FORMS, JOINED, ORDERS
from tapegrad.backends.written import Name, comment, written
from tapegrad.ops.attributes import ARRAY
from tapegrad.ops.registry import Shape
from tapegrad.recording.frames import location
from tapegrad.tape.body import Body
from tapegrad.tape.entries import Entry, entry_of
from tapegrad.tape.tape import Tape, size_of


class NoForm(ValueError):
    """An op that JAX cannot run."""


def print_function(
    name: str,
    tape: Tape,
    entries: Sequence[Entry],
    given: Mapping[int, str],
    results: Sequence[Sequence[int]],
) -> str:
    """Some entries of a tape as a function.

    Parameters
    ----------
    name : str
    tape : Tape
    entries : sequence of Entry
    given : mapping of int to str
        How the slots are written that the function begins with, in terms of its arguments ``early``,
        ``late``, ``data`` and ``kept``.
    results : sequence of sequences of int
        The slots that it returns, in tuples; after them, whether an index did not exist.

    Raises
    ------
    NoForm
        If JAX has no form of an op; the message names it, and the user's line.
    """
    printer = _Printer(tape)
    body = [f"{printer.name(slot)} = {text}" for slot, text in given.items()]
    body += printer.lines(entries)
    tuples = [f"({''.join(f'{printer.name(slot)}, ' for slot in slots)})" for slots in results]
    body.append(f"return {', '.join([*tuples, printer.outside()])}")
    return "\n".join(
        [f"def {written(Name(name))}(early, late, data, kept):", *(f"    {line}" for line in body)]
    )


class _Printer:
    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.numbers = {slot: np.asarray(c).item() for slot, c in tape.constants if np.ndim(c) == 0}
        self.checks: list[str] = []

    def name(self, slot: int) -> str:
        """A slot as it is written: a number that is constant stands for itself."""
        if slot in self.numbers:
            text = written(self.numbers[slot])
            return f"({text})" if text.startswith("-") else text
        return written(Name(f"v{slot}"))

    def outside(self) -> str:
        """Whether an index did not exist."""
        return " | ".join(self.checks) if self.checks else "False"

    def lines(self, entries: Iterable[Entry]) -> Iterator[str]:
        line = None
        for entry in entries:
            if entry.source is not None and entry.source != line:
                line = entry.source
                yield comment(f"{line}  {line.text}")
            yield from self.statements(entry)

    def statements(self, entry: Entry) -> Iterator[str]:
        target, name = self.name(entry.output), entry.op.name
        operands = [*self.orders(entry), *map(self.name, entry.inputs[ORDERS.get(name, 0) :])]
        attrs = dict(entry.attrs)
        if name == "scan":
            yield from self.scan(target, operands, attrs)
            return
        if name in ("getitem", "scatter", "update"):
            yield f"{target} = {self.indexed(entry, operands, attrs)}"
            return
        if name not in FORMS and name not in JOINED:
            raise NoForm(
                f"the backend 'jax' cannot run {name}{location(entry.source)}: JAX has no such function, or "
                "not with all digits. backend='numpy' and backend='c' run it"
            )
        texts = {key: written(value) for key, value in attrs.items()}
        if name in JOINED:
            before, between, after = JOINED[name]
            yield f"{target} = {before}{between.join(operands)}{after.format(**texts)}"
        else:
            yield f"{target} = {FORMS[name].format(*operands, **texts)}"

    def orders(self, entry: Entry) -> Iterator[str]:
        """The orders of derivatives among the operands, as whole numbers."""
        for slot in entry.inputs[: ORDERS.get(entry.op.name, 0)]:
            if slot not in self.numbers or not float(self.numbers[slot]).is_integer():
                raise NoForm(
                    f"the backend 'jax' cannot run {entry.op.name}{location(entry.source)} with orders in an "
                    "array. backend='numpy' and backend='c' run it"
                )
            yield written(int(self.numbers[slot]))

    # Indices ------------------------------------------------------------------------------------------------

    def indexed(self, entry: Entry, operands: Sequence[str], attrs: Mapping[str, Any]) -> str:
        """An element of an array, or an assignment to one."""
        name, index = entry.op.name, attrs["index"]
        first = 2 if name == "update" else 1
        shape = attrs["shape"] if name == "scatter" else self.tape.avals[entry.inputs[0]].shape
        text = self.index(index, operands[first:], shape)
        if name == "getitem":
            return f"{operands[0]}[{text}]" if text else operands[0]
        if name == "update":
            return f"{operands[0]}.at[{text}].set({operands[1]})"
        how = "add" if ARRAY in index else "set"
        return f"jnp.zeros({written(shape)}).at[{text}].{how}({operands[0]})"

    def index(self, index: Sequence[Any], arrays: Sequence[str], shape: Shape) -> str:
        """An index as it is written; arrays in it are checked, for JAX takes any."""
        items, rest = [], iter(arrays)
        for item, axis in zip(index, _axes(index, len(shape)), strict=True):
            if item is ARRAY or isinstance(item, str):
                array = next(rest)
                self.checks.append(f"tg.outside({array}, {shape[axis]})")
                items.append(array)
            elif isinstance(item, tuple):
                items.append(":".join("" if part is None else str(part) for part in _slice(item)))
            else:
                items.append("..." if item is Ellipsis else written(item))
        return ", ".join(items) + ("," if len(items) == 1 else "")

    # Loops --------------------------------------------------------------------------------------------------

    def scan(self, target: str, operands: Sequence[str], attrs: Mapping[str, Any]) -> Iterator[str]:
        """A loop: its step as a function, and `jax.lax.scan`."""
        body: Body = attrs["body"]
        inner = _Printer(body.tape)
        carried, others = body.tape.parameters[: body.carried], body.tape.parameters[body.carried :]
        fixed, own = others[: body.fixed], others[body.fixed :]
        yield f"def step_of_{target}(state, own):"
        for slot, (start, stop, aval) in zip(carried, body.spans, strict=True):
            part = (
                f"state[{start}]"
                if aval.shape == ()
                else f"state[{start}:{stop}].reshape({written(aval.shape)})"
            )
            yield f"    {inner.name(slot)} = {part}"
        outer = dict(zip(fixed, operands[1 : 1 + body.fixed], strict=True))
        # Names within a step are those of its own tape: what stays the same is handed to it under them.
        yield from (f"    {inner.name(slot)} = fixed_of_{target}[{i}]" for i, slot in enumerate(outer))
        yield from (f"    {inner.name(slot)} = own[{i}]" for i, slot in enumerate(own))
        for slot, value in body.tape.constants:
            if np.ndim(value):
                yield f"    {inner.name(slot)} = jnp.array({written(_nested(value))})"
        yield from (f"    {line}" for line in inner.lines(body.tape.entries))
        parts = ", ".join(f"jnp.ravel({inner.name(slot)})" for slot in body.tape.outputs)
        yield f"    state = jnp.concatenate([{parts}])"
        yield "    return state, state"
        if inner.checks:
            raise NoForm(
                "the backend 'jax' cannot run a loop that indexes with arrays: run it with backend='c'"
            )
        yield f"fixed_of_{target} = ({''.join(f'{text}, ' for text in outer.values())})"
        each = "".join(f"{text}, " for text in operands[1 + body.fixed :])
        call = f"jax.lax.scan(step_of_{target}, {operands[0]}, ({each}), length={written(attrs['count'])})"
        yield f"{target} = {call}[1]"


def _nested(value: Any) -> Any:
    """An array as nested tuples."""
    found = np.asarray(value).tolist()

    def tuples(item: Any) -> Any:
        return tuple(map(tuples, item)) if isinstance(item, list) else item

    return tuples(found)


def _slice(item: tuple[Any, ...]) -> tuple[Any, ...]:
    start, stop, step = item
    return (start, stop) if step is None else (start, stop, step)


def _axes(index: Sequence[Any], ndim: int) -> list[int]:
    """The axis of the array that each item of an index stands for; -1 for those that stand for none."""
    consuming = sum(item is not None and item is not Ellipsis for item in index)
    axes, axis = [], 0
    for item in index:
        if item is None:
            axes.append(-1)
        elif item is Ellipsis:
            axes.append(-1)
            axis += ndim - consuming
        else:
            axes.append(axis)
            axis += 1
    return axes


def parameter_texts(tape: Tape, slots: Sequence[int], argument: str) -> dict[int, str]:
    """How parameters are written as parts of one flat vector."""
    found, start = {}, 0
    for slot in slots:
        shape = tape.avals[slot].shape
        stop = start + size_of(shape)
        found[slot] = (
            f"{argument}[{start}]" if shape == () else f"{argument}[{start}:{stop}].reshape({written(shape)})"
        )
        start = stop
    return found


def entries_of(tape: Tape, start: int, stop: int | None = None) -> list[Entry]:
    """Some of the entries of a tape."""
    return [entry_of(row) for row in list(tape.entries.rows())[start:stop]]
