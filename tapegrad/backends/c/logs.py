"""Steps of loops that are products of matrices in logarithms, as hidden Markov models have them.

``logsumexp(h[:, None] + log_move, axis=0) + log_seen`` is, in numbers themselves, a vector times a matrix.
So the exponentials of the matrix are computed once, those of what each step brings by vectors, and so are
the logarithms at the end. The loop itself adds and multiplies. A power of 2 keeps its numbers near 1; where
one of them leaves the range all the same, the steps of that chunk are taken as they are written.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from tapegrad.backends.c.bodies import StepPrinter
from tapegrad.backends.c.forms import Names, moved
from tapegrad.backends.c.operands import Operand
from tapegrad.ops.attributes import ARRAY
from tapegrad.tape.body import Body
from tapegrad.tape.entries import Entry

# Numbers in the state, each of which is a sum of at most as many terms.
MOST = 8


# An element of an array that moves on with each step: where it stands in what the step gets.
Place: TypeAlias = tuple[Operand, tuple[int, ...]]


class Seen(NamedTuple):
    """What a step brings to a number of the state: it is added, or subtracted where the sign is -1."""

    sign: int
    name: str


class LogProduct(NamedTuple):
    """A step that is a product in logarithms.

    Attributes
    ----------
    terms : tuple of tuple of (int, str)
        For each number of the next state, the numbers of this one with what is added to each.
    seen : tuple of Seen or None
        And what is added at the end.
    """

    terms: tuple[tuple[tuple[int, str], ...], ...]
    seen: tuple[Seen | None, ...]


def log_product(
    body: Body, step: StepPrinter, state: Sequence[str], brought: Mapping[str, Place]
) -> LogProduct | None:
    """What a step is as a product in logarithms, of what each brings; None if it is no such product."""
    if len(state) > MOST or sum(entry.op.name == "logsumexp" for entry in body.tape.entries) != 1:
        return None
    found = _Reader(step, state, brought)
    if not all(found.reads(entry) for entry in body.tape.entries):
        return None
    names = [name for slot in body.tape.outputs for name in found.value(slot).ravel()]
    if not all(name in found.sums for name in names):
        return None
    sums = [found.sums[name] for name in names]
    return LogProduct(tuple(terms for terms, _ in sums), tuple(seen for _, seen in sums))


class _Reader:
    """Follows what the entries of a step do to names, as far as it fits."""

    def __init__(self, step: StepPrinter, state: Sequence[str], brought: Container[str]) -> None:
        self.step, self.brought = step, brought
        self.places = {name: i for i, name in enumerate(state)}
        self.names: dict[int, Names] = {}
        self.terms: dict[str, tuple[int, str]] = {}
        self.sums: dict[str, tuple[tuple[tuple[int, str], ...], Seen | None]] = {}

    def value(self, slot: int) -> Names:
        return self.names[slot] if slot in self.names else self.step.value(slot)

    def reads(self, entry: Entry) -> bool:
        """Whether an entry fits."""
        inputs, attrs = [self.value(slot) for slot in entry.inputs], dict(entry.attrs)
        found: Names | None = None
        if entry.op.copies is not None:
            if ARRAY not in attrs.get("index", ()):
                found = moved(entry, inputs, attrs, self.step.aval(entry.output).shape)
        elif entry.op.name in ("add", "sub"):
            found = self._pairs(inputs[0], inputs[1], 1 if entry.op.name == "add" else -1)
        elif entry.op.name == "logsumexp":
            found = self._summed(entry, inputs[0])
        if found is None:
            return False
        self.names[entry.output] = found
        return True

    def _pairs(self, x: Names, y: Names, sign: int) -> Names | None:
        a, b = np.broadcast_arrays(x, y)
        found: Names = np.empty(a.shape, dtype=object)
        for place in np.ndindex(a.shape):
            left, right = str(a[place]), str(b[place])
            if sign > 0 and (right in self.places or right in self.sums):
                left, right = right, left
            name = f"{len(self.terms)}, {len(self.sums)}"
            if left in self.places and sign > 0 and self._is_fixed(right):
                self.terms[name] = (self.places[left], right)
            elif left in self.sums and self.sums[left][1] is None and right in self.brought:
                self.sums[name] = (self.sums[left][0], Seen(sign, right))
            else:
                return None
            found[place] = name
        return found

    def _is_fixed(self, name: str) -> bool:
        known = (self.places, self.terms, self.sums)
        return not any(name in names for names in known) and not self.step.is_moving(name)

    def _summed(self, entry: Entry, x: Names) -> Names | None:
        if not all(name in self.terms for name in x.ravel()):
            return None

        def fold(names: list[str]) -> str:
            name = f"{len(self.terms)}, {len(self.sums)}"
            self.sums[name] = (tuple(self.terms[each] for each in names), None)
            return name

        axis = dict(entry.attrs)["axis"]
        rows = np.moveaxis(x, axis if isinstance(axis, int) else axis[0], -1)
        found: Names = np.empty(rows.shape[:-1], dtype=object)
        for place in np.ndindex(found.shape):
            found[place] = fold(list(rows[place]))
        return found


def log_loop(
    product: LogProduct, n: str, operands: Mapping[str, Place], out: Operand, slow: Sequence[str]
) -> Iterator[str]:
    """The loop over all steps, `slow` being the loop over those from ``t0`` to ``t0 + m``."""
    count = len(product.terms)
    states = range(count)
    for k, terms in enumerate(product.terms):
        yield from (f"const double e{k}_{j} = exp({name});" for j, (_, name) in enumerate(terms))
    yield f"double {', '.join(f'f{k}[PITCH], b{k}[PITCH]' for k in states)}, base[PITCH];"
    yield f"for (int64_t t0 = 0, m; t0 < {n}; t0 += WIDTH) {{"
    yield f"    m = {n} - t0 < WIDTH ? {n} - t0 : WIDTH;"
    yield from (f"    {line}" for line in _seen(product, operands))
    yield from (f"    {line}" for line in _multiplied(product))
    yield "    int64_t is_out = 0;"
    yield "#pragma omp simd reduction(| : is_out)"
    yield "    for (int64_t i = 0; i < TG_WHOLE(m); i++) {"
    for k in states:
        yield f"        is_out |= !((f{k}[i] > 1e-250) & (f{k}[i] < 1e250));"
        yield f"        f{k}[i] = log(f{k}[i]) + base[i];"
    yield "    }"
    yield "    if (is_out) {"
    yield from (f"        {line}" for line in slow)
    yield "        continue;"
    yield "    }"
    for k in states:
        step = out.strides[0]
        yield f"    tg_put_double({out.name} + {out.offset('t0', k)}, {step}, m, f{k});"
    yield from (f"    h{k} = f{k}[m - 1];" for k in states)
    yield "}"


def _seen(product: LogProduct, operands: Mapping[str, Place]) -> Iterator[str]:
    """What the steps bring, over the largest of it, which waits in ``base``."""
    states = range(len(product.seen))
    for k, seen in enumerate(product.seen):
        if seen is not None:
            given, place = operands[seen.name]
            start = given.offset("t0", *place)
            yield f"tg_column_double({given.name} + {start}, {given.strides[0]}, m, b{k});"
    yield "#pragma omp simd"
    yield "for (int64_t i = 0; i < TG_WHOLE(m); i++) {"
    for k, seen in enumerate(product.seen):
        text = "0.0" if seen is None else f"{'-' * (seen.sign < 0)}b{k}[i]"
        yield f"    const double y{k} = {text};"
    most = "y0"
    for k in states[1:]:
        most = f"tg_maximum({most}, y{k})"
    yield f"    const double most = {most};"
    yield "    base[i] = most;"
    yield from (f"    b{k}[i] = exp(y{k} - most);" for k in states)
    yield "}"


def _multiplied(product: LogProduct) -> Iterator[str]:
    """The products, each over the power of 2 of the one before."""
    states = range(len(product.terms))
    most = "h0"
    for k in states[1:]:
        most = f"tg_one_maximum({most}, h{k})"
    yield f"double sum = {most};"
    yield "int64_t power = 0;"
    yield f"double {', '.join(f'g{k} = exp(h{k} - sum)' for k in states)};"
    yield "for (int64_t i = 0; i < m; i++) {"
    most = "tg_power(g0)"
    for k in states[1:]:
        most = f"tg_later({most}, tg_power(g{k}))"
    yield f"    const int64_t near = {most};"
    yield "    const double scale = tg_scale(near);"
    for k, terms in enumerate(product.terms):
        text = " + ".join(f"e{k}_{j} * g{i}" for j, (i, _) in enumerate(terms))
        yield f"    const double s{k} = b{k}[i] * scale * ({text});"
    yield "    sum += base[i];"
    yield "    power += near;"
    yield "    base[i] = sum + TG_LOG2 * (double)power;"
    yield from (f"    f{k}[i] = g{k} = s{k};" for k in states)
    yield "}"
    yield "for (int64_t i = m; i < TG_WHOLE(m); i++) {"
    yield from (f"    f{k}[i] = f{k}[m - 1];" for k in states)
    yield "    base[i] = base[m - 1];"
    yield "}"
