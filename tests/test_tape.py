"""The record: invariants, immutability, pickling, the listing."""

from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.ops.elementwise import add, exp
from tapegrad.ops.registry import FLOAT, Aval
from tapegrad.tape.entries import Entries, Entry
from tapegrad.tape.line import Source
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
