"""The record: invariants, immutability, pickling, the listing."""

from __future__ import annotations

import dataclasses
import pickle
import sys
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.ops.elementwise import add, exp
from tapegrad.ops.registry import FLOAT, Aval
from tapegrad.tape import slots
from tapegrad.tape.builder import Builder
from tapegrad.tape.entries import Entries, Entry
from tapegrad.tape.line import Source
from tapegrad.tape.rewrite import DROPPED, rewrite, selected
from tapegrad.tape.tape import SCALAR, Constant, Guard, Tape, TapeError, listing
from tapegrad.tape.verify import verify

X = np.array([1.0, 2.0, 4.0])


def loglik(mu, log_sigma):
    sigma = np.exp(log_sigma)
    if log_sigma > -5.0:
        return (-0.5 * ((X - mu) / sigma) ** 2 - log_sigma).sum()
    return mu * 0.0


@pytest.fixture
def tape():
    return tg.trace(loglik, dict(mu=0.5, log_sigma=0.1)).tape


def test_a_tape_cannot_be_changed(tape):
    with pytest.raises(dataclasses.FrozenInstanceError):
        tape.entries = ()
    constant = next(c.value for c in tape.constants if isinstance(c.value, np.ndarray))
    with pytest.raises(ValueError, match="read-only"):
        constant[0] = 7.0


def test_a_tape_pickles(tape):
    copy = pickle.loads(pickle.dumps(tape))
    verify(copy)
    assert str(copy) == str(tape)
    assert copy.entries == tape.entries


def test_the_leaves_are_of_three_kinds():
    tape = tg.trace(lambda mu, y: (mu * y).sum() + 2.0, dict(mu=1.0), data=dict(y=X)).tape
    assert tape.avals[tape.parameters[0]] == SCALAR
    assert [tape.avals[slot].shape for slot in tape.data] == [(3,)]
    assert [c.value for c in tape.constants] == [2.0]
    assert tape.nbytes == 8 + 8 + 3 * 8 + 3 * 8 + 2 * 8


def test_the_listing_reads_like_the_computation(tape):
    lines = str(tape).splitlines()
    assert lines[0] == ("tape loglik(mu, log_sigma) -> scalar    8 ops, 1 guard, 2 parameters, data X[3]")
    assert lines[1].split()[:5] == ["[0]", "exp", "log_sigma", "->", "%2"]
    assert "test_tape.py:" in lines[1]
    assert lines[1].endswith("sigma = np.exp(log_sigma)")
    assert [line.split()[0] for line in lines if "guard" in line.split()[0:1]] == ["guard"]
    assert "X, mu" in str(tape)
    assert len(lines) == 1 + len(tape.entries) + len(tape.guards)


def test_a_long_listing_is_cut_in_the_middle():
    def f(a):
        for _ in range(500):
            a = a * 1.01
        return a

    tape = tg.trace(f, 1.0).tape
    assert len(str(tape).splitlines()) == 202
    assert "300 more lines" in str(tape)
    assert len(listing(tape).splitlines()) == 501


def tape_of(**changes):
    parts = dict(
        name="f",
        avals=(SCALAR, SCALAR, SCALAR),
        parameters=(0,),
        data=(),
        constants=(Constant(1, 2.0),),
        entries=Entries([Entry(add, (0, 1), 2, (), Source("model.py", 3))]),
        outputs=(2,),
    )
    return Tape(**{**parts, **changes})


def test_verify_accepts_a_right_tape():
    verify(tape_of())


VECTOR = Aval((3,), FLOAT)
WRITEABLE = np.zeros(3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(entries=Entries([Entry(add, (0, 2), 2, (), None)])), "before it is written"),
        (dict(entries=Entries([Entry(add, (0, 1), 1, (), None)])), "writes a slot twice"),
        (dict(entries=Entries([Entry(add, (0, 1), 7, (), None)])), "without an aval"),
        (dict(entries=Entries()), "never written"),
        (dict(avals=(SCALAR, SCALAR, VECTOR)), "another shape"),
        (dict(avals=(SCALAR, SCALAR, SCALAR, SCALAR)), "never written"),
        (dict(parameters=(0, 1)), "written twice"),
        (dict(avals=(Aval((), np.dtype(bool)), SCALAR, SCALAR)), "not float64"),
        (dict(constants=(Constant(1, np.array([1.0])),)), "its slot"),
        (dict(avals=(SCALAR, VECTOR, VECTOR), constants=(Constant(1, WRITEABLE),)), "can be written to"),
        (dict(outputs=(5,)), "no slot"),
        (dict(guards=(Guard(9, True, None),)), "no slot"),
        (dict(labels=((4, "mu"),)), "no slot"),
    ],
)
def test_verify_finds_each_broken_invariant(changes, message):
    with pytest.raises(TapeError, match=message):
        verify(tape_of(**changes))


def test_verify_finds_a_wrong_dtype():
    boolean = Aval((), np.dtype(bool))
    wrong = Tape(
        "f", (SCALAR, boolean, SCALAR), (0,), (1,), (), Entries([Entry(exp, (1,), 2, (), None)]), (2,)
    )
    with pytest.raises(TapeError, match="the op takes float64"):
        verify(wrong)


def test_sources_without_a_file_show_no_text():
    assert Source("nowhere.py", 3).text == ""
    assert str(Source("/some/where/model.py", 3)) == "model.py:3"


# Long tapes -------------------------------------------------------------------------------------------------


def long_tape(n):
    """A chain of additions, each twice the one before."""
    builder = Builder("chain")
    slot, line = builder.parameter(SCALAR), Source("model.py", 3)
    for _ in range(n):
        slot = builder.emit(add, (slot, slot), (), line, SCALAR)
    return builder.finish((slot,))


def test_an_entry_takes_a_third_of_a_tuples_memory():
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    tape = long_tape(50_000)
    entries = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert (entries - sys.getsizeof(tape.avals)) / 50_000 <= 216 / 3


def test_reading_a_long_tape_makes_entries_of_what_is_shown_alone(monkeypatch):
    tape, made = long_tape(30_000), []
    between = Entries._between

    def counted(self, start, stop):
        made.append(stop - start)
        return between(self, start, stop)

    monkeypatch.setattr(Entries, "_between", counted)
    assert "30,000 ops" in str(tape)
    assert sum(made) <= 200
    made.clear()
    assert tape.entries[-1].output == 30_000
    assert tape.entries.writer_of(7) == tape.entries[6]
    assert sum(made) == 3


def test_analyses_of_slots_visit_an_entry_once_or_twice(monkeypatch):
    tape, visits = long_tape(5_000), []
    between = Entries._between

    def counted(self, start, stop):
        visits.append(stop - start)
        return between(self, start, stop)

    monkeypatch.setattr(Entries, "_between", counted)
    for analysis in (
        lambda: slots.needed_for(tape, tape.outputs),
        lambda: slots.deciding_slots(tape),
        lambda: slots.active_slots(tape, tape.parameters),
        lambda: slots.moving_slots(tape, tape.parameters),
        lambda: slots.waist(tape),
        lambda: verify(tape),
    ):
        visits.clear()
        analysis()
        assert sum(visits) <= 3 * 5_000


def test_entries_read_as_a_sequence():
    tape = long_tape(2_500)
    entries = list(tape.entries)
    assert len(tape.entries) == len(entries) == 2_500
    assert list(reversed(tape.entries)) == entries[::-1]
    assert tape.entries[10:2_000] == tuple(entries[10:2_000])
    assert tape.entries[::-7] == tuple(entries[::-7])
    assert Entries(entries) == tape.entries != Entries(entries[:-1])
    assert Entries(reversed(entries)).writer_of(5) == entries[4]
    assert tape.entries.writer_of(0) is None
    with pytest.raises(IndexError):
        tape.entries[2_500]


def test_what_is_selected_is_what_a_rewrite_keeps():
    tape = tg.trace(lambda p: (p * 2.0 + np.exp(p) * 3.0).sum(), np.ones(3)).tape
    marks = slots.needed_for(tape, (tape.entries[1].output, tape.entries[2].output))
    one = replace(tape, outputs=(tape.entries[2].output,))

    def rule(copy, entry):
        return copy.keep(entry) if marks[entry.output] else DROPPED

    assert selected(one, marks) == rewrite(one, rule, marks)


def test_an_entry_is_visited_a_bounded_number_of_times_before_the_first_gradient(monkeypatch):
    returns, visits = np.sin(np.arange(300.0)), []
    between = Entries._between

    def counted(self, start, stop):
        visits.append(stop - start)
        return between(self, start, stop)

    def garch(mu, log_omega, a, b):
        h, total, last = 1.0, 0.0, 0.0
        for y in returns:
            h = np.exp(log_omega) + a * last**2 + b * h
            last = y - mu
            total = total - 0.5 * (np.log(h) + last**2 / h)
        return total

    monkeypatch.setattr(Entries, "_between", counted)
    f = tg.trace(garch, dict(mu=0.1, log_omega=-2.0, a=0.1, b=0.8))
    f.grad(dict(mu=0.1, log_omega=-2.0, a=0.1, b=0.8))
    assert sum(visits) <= 45 * len(f.tape.entries)
