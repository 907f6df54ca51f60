"""A tape as JAX source: a line for each entry, with the user's own lines as comments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tapegrad.backends.jax.forms import FORMS, JOINED, ORDERS
from tapegrad.backends.jax.without import reason
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
    arguments: Sequence[str],
    tape: Tape,
    entries: Sequence[Entry],
    given: Mapping[int, str],
    results: Sequence[Sequence[int]],
) -> str:
    """Some entries of a tape as a function.

    Parameters
    ----------
    name : str
    arguments : sequence of str
        Names of arrays or of tuples of arrays.
    tape : Tape
    entries : sequence of Entry
    given : mapping of int to str
        How the slots are written that the function begins with, in terms of its arguments.
    results : sequence of sequences of int
        The slots that it returns, in tuples; after them, whether an index did not exist, or None where there
        are no indices to check.

    Raises
    ------
    NoForm
        If JAX has no form of an op; the message names it, and the user's line.
    """
    printer, labels = _Printer(tape), dict(tape.labels)
    body = [
        f"{printer.name(slot)} = {text}" + (f"  {comment(labels[slot])}" if slot in labels else "")
        for slot, text in given.items()
    ]
    body += printer.lines(entries)
    tuples = [_tuple([printer.name(slot) for slot in slots]) for slots in results]
    body.append(f"return {', '.join([*tuples, printer.outside()])}")
    head = f"def {written(Name(name))}({', '.join(written(Name(argument)) for argument in arguments)}):"
    return "\n".join([head, *(f"    {line}" for line in body)])


def _tuple(texts: Sequence[str]) -> str:
    return f"({texts[0]},)" if len(texts) == 1 else f"({', '.join(texts)})"


class _Printer:
    """What prints the entries of a tape; its slots are named by a letter and their number."""

    def __init__(self, tape: Tape, letter: str = "v") -> None:
        self.tape = tape
        self.letter = letter
        self.numbers = {slot: np.asarray(c).item() for slot, c in tape.constants if np.ndim(c) == 0}
        self.checks: list[str] = []

    def name(self, slot: int) -> str:
        """A slot as it is written: a number that is constant stands for itself."""
        if slot in self.numbers:
            text = written(self.numbers[slot])
            return f"({text})" if text.startswith("-") else text
        return written(Name(f"{self.letter}{slot}"))

    def outside(self) -> str:
        """Whether an index did not exist."""
        return " | ".join(self.checks) if self.checks else "None"

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
                f"the backend 'jax' cannot run {name}{location(entry.source)}: {reason(name)}. "
                "backend='numpy' and backend='c' run it"
            )
        texts = {key: written(_short(key, value)) for key, value in attrs.items()}
        if name in JOINED:
            before, between, after = JOINED[name]
            yield f"{target} = {before}{between.join(operands)}{after.format(**texts)}"
        else:
            text = FORMS[name].format(*operands, **texts)
            yield f"{target} = {text.replace(', keepdims=False)', ')')}"

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
        return ", ".join(items) or "()"

    # Loops --------------------------------------------------------------------------------------------------

    def scan(self, target: str, operands: Sequence[str], attrs: Mapping[str, Any]) -> Iterator[str]:
        """A loop: its step as a function, and `jax.lax.scan`; what stays the same is read from around it."""
        body: Body = attrs["body"]
        inner = _Printer(body.tape, "s" if self.letter == "v" else f"{self.letter}s")
        carried, others = body.tape.parameters[: body.carried], body.tape.parameters[body.carried :]
        fixed, own = others[: body.fixed], others[body.fixed :]
        lines = []
        for slot, (start, stop, aval) in zip(carried, body.spans, strict=True):
            lines.append(f"{inner.name(slot)} = {_part('state', start, stop, aval.shape)}")
        for slot, text in zip(fixed, operands[1 : 1 + body.fixed], strict=True):
            lines.append(f"{inner.name(slot)} = {text}")
        lines += [f"{inner.name(slot)} = own[{i}]" for i, slot in enumerate(own)]
        for slot, value in body.tape.constants:
            if np.ndim(value):
                lines.append(f"{inner.name(slot)} = jnp.array({written(_nested(value))})")
        lines += inner.lines(body.tape.entries)
        parts = ", ".join(f"jnp.ravel({inner.name(slot)})" for slot in body.tape.outputs)
        step = f"step_{target}"
        yield f"def {step}(state, own):"
        yield from (f"    {line}" for line in lines)
        yield f"    state = jnp.concatenate([{parts}])"
        yield f"    return state, {_tuple(['state', inner.outside()]) if inner.checks else 'state'}"
        each = _tuple(operands[1 + body.fixed :]) if operands[1 + body.fixed :] else "()"
        call = f"jax.lax.scan({step}, {operands[0]}, {each}, length={written(attrs['count'])})"
        if inner.checks:
            self.checks.append(f"jnp.any(outside_{target})")
        yield f"_, {f'({target}, outside_{target})' if inner.checks else target} = {call}"


def _short(key: str, value: Any) -> Any:
    """One axis as a number."""
    return value[0] if key == "axis" and isinstance(value, tuple) and len(value) == 1 else value


def _part(whole: str, start: int, stop: int, shape: Shape) -> str:
    """A part of a flat vector in its shape."""
    if shape == ():
        return f"{whole}[{start}]"
    part = f"{whole}[{start}:{stop}]"
    return part if len(shape) == 1 else f"{part}.reshape({written(shape)})"


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
        found[slot] = _part(argument, start, stop, shape)
        start = stop
    return found


def entries_of(tape: Tape, start: int, stop: int | None = None) -> list[Entry]:
    """Some of the entries of a tape."""
    return [entry_of(row) for row in list(tape.entries.rows())[start:stop]]
