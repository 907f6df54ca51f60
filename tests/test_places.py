"""Places: no value is overwritten before its last use, and what is dead makes room."""

from __future__ import annotations

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.backends.numpy.compiled import Compiled
from tapegrad.backends.numpy.lowering import lowered
from tapegrad.function.derived import GRADIENT, HVP
from tapegrad.plan.plan import plan
from tapegrad.plan.stages import Plan, RowLoop
from tapegrad.tape.slots import deciding_slots
from tapegrad.tape.tape import Tape, size_of
from tests.test_plan import CASES


class Memory:
    """A buffer of which every byte knows the slot that was last written to it."""

    def __init__(self, size: int) -> None:
        self.holder = np.full(size, -1)

    def write(self, slot: int, place: int, size: int) -> None:
        assert place % 64 == 0
        assert place + size <= self.holder.size
        self.holder[place : place + size] = slot

    def check(self, slot: int, place: int, size: int) -> None:
        assert (self.holder[place : place + size] == slot).all(), f"%{slot} is gone"


def room(found: Plan, slot: int, rows: int | None = None) -> int:
    shape, dtype = found.tape.avals[slot]
    count = size_of(shape)
    axis = found.row_axis(slot)
    return (count if rows is None or axis is None else count // shape[axis] * rows) * dtype.itemsize


def walk(found: Plan) -> None:
    """Write and read as a run does, with two runs of the late stages."""
    layout, tape = found.layout, found.tape
    memory = Memory(layout.size)
    owner = {slot: slot for slot in range(len(tape.avals))}
    for entry in tape.entries:
        if entry.output in layout.aliases:
            owner[entry.output] = owner[layout.aliases[entry.output]]
    early, late = found.stages[: found.late], found.stages[found.late :]
    loops = [stage for stage in found.stages if isinstance(stage, RowLoop)]

    def read(slot: int, blocks: Memory | None = None, places: dict[int, int] | None = None) -> None:
        slot = owner[slot]
        if places and slot in places:
            blocks.check(slot, places[slot], room(found, slot, found.block))
        elif slot in layout.places:
            memory.check(slot, layout.places[slot], room(found, slot))

    for stage in (*early, *late, *late):
        if not isinstance(stage, RowLoop):
            for entry in stage.entries:
                for slot in entry.inputs:
                    read(slot)
                if entry.output in layout.places:
                    memory.write(entry.output, layout.places[entry.output], room(found, entry.output))
            continue
        places, blocks = layout.blocks[loops.index(stage)], Memory(layout.block_size)
        for slot in layout.places.keys() & (stage.sums | stage.stored):
            memory.write(slot, layout.places[slot], room(found, slot))
        for entry in stage.entries:
            for slot in entry.inputs:
                read(slot, blocks, dict(places))
            if entry.output in places:
                blocks.write(entry.output, places[entry.output], room(found, entry.output, found.block))
    for slot in (*tape.outputs, *(guard.slot for guard in tape.guards)):
        read(slot)


def lower(tape: Tape, block: int) -> Tape:
    return lowered(tape, block, deciding_slots(tape))


@pytest.mark.parametrize("longest", [0, 10**6])
@pytest.mark.parametrize("block", [1, 5, 10**6])
@pytest.mark.parametrize("name", CASES)
def test_nothing_is_overwritten_before_its_last_use(name, block, longest):
    f, params = CASES[name]
    tapes = tg.trace(f, params)._router.current.tapes
    walk(plan(lower(tapes[GRADIENT], block), (), block, longest))
    directions = tapes[HVP].parameters[len(tapes.recorded.parameters) :]
    walk(plan(lower(tapes[HVP], block), directions, block, longest))


def test_dead_values_make_room():
    x = np.linspace(0.1, 1.0, 1_000)

    def f(mu):
        y = x - mu
        for _ in range(20):
            y = np.sin(y)
        return y.sum()

    layout = tg.trace(f, dict(mu=0.1)).plan.layout
    entries = 20 * 1_000 * 8
    assert layout.size > entries  # the reverse half needs every sine
    value_only = plan(tg.trace(f, dict(mu=0.1)).tape).layout
    assert value_only.size < 4 * 1_000 * 8


def test_the_plan_tells_the_size_of_its_buffers():
    f, params = CASES["logistic"]
    found = plan(tg.trace(f, params).grad_tape, block=5)
    assert "blocks of rows" in str(found).splitlines()[-1]
    assert f"{found.layout.size} B for what is written whole" in str(found)
    short = plan(tg.trace(f, params).grad_tape)
    assert str(short).splitlines()[-1].endswith("for what is written whole")


def test_a_replay_of_rows_needs_no_memory_as_long_as_they_are():
    import tracemalloc

    x = np.random.default_rng(2).normal(size=200_000)
    x.flags.writeable = False
    tape = tg.trace(lambda mu: -np.log1p((x - mu) ** 2).sum(), dict(mu=0.1))
    tape.grad(dict(mu=0.2))
    tracemalloc.start()
    try:
        tape.grad(dict(mu=0.3))
        assert tracemalloc.get_traced_memory()[1] < 20_000
    finally:
        tracemalloc.stop()


def test_other_data_share_the_compiled_program(monkeypatch):
    compiled = []
    init = Compiled.__init__

    def counted(self, *args, **kwargs):
        compiled.append(1)
        init(self, *args, **kwargs)

    monkeypatch.setattr(Compiled, "__init__", counted)
    x = np.array([1.0, 2.0, 4.0])
    tape = tg.trace(lambda mu, x: -((x - mu) ** 2).sum(), dict(mu=0.0), data=dict(x=x))
    tape.grad(dict(mu=1.0))
    assert len(compiled) == 1
    for y in (x + 1.0, x + 2.0, x):
        assert tape.with_data(x=y).grad(dict(mu=1.0))["mu"] == pytest.approx(2.0 * (y - 1.0).sum())
    assert len(compiled) == 1
