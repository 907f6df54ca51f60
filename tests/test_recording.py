"""Symbols, which derivative rules are recorded on, and the tracers and the recorder of a live trace."""

from __future__ import annotations

import functools
import sys

import numpy as np
import pytest
from scipy import special

import tapegrad as tg
from tapegrad.ops.registry import FLOAT, OPS, Aval, arity_of
from tapegrad.recording.live import LiveRecorder
from tapegrad.recording.recorder import Recorder
from tapegrad.recording.symbol import Symbol
from tapegrad.recording.tracer import Tracer
from tapegrad.tape.builder import Builder

# The ops that users reach by an operator or a function of NumPy, with one or two numbers.
OF_FLOATS = [
    (op, n)
    for op in OPS.values()
    for n in (1, 2)
    if op.is_elementwise and op.numpy and set(op.takes) == {FLOAT} and n in arity_of(op)
]


def symbol(shape=()):
    recorder = Recorder(Builder("f"))
    return Symbol(recorder, recorder.builder.parameter(Aval(shape, FLOAT)))


def live(*values):
    """Tracers of one live trace."""
    recorder = LiveRecorder(Builder("f"))
    slots = [recorder.builder.parameter(Aval(np.shape(value), FLOAT)) for value in values]
    return [Tracer(recorder, slot, value) for slot, value in zip(slots, values, strict=True)]


def finished(x):
    """The tape of which a symbol or a tracer is the output."""
    return x.recorder.builder.finish((x.slot,))


# Symbols ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "use",
    [
        lambda x: 1.0 if x > 0.0 else 2.0,
        lambda x: x and 1.0,
        lambda x: not x,
        lambda x: x.plain(),
        lambda x: x.decide(),
        np.asarray,
        lambda x: np.full(3, x),
        np.exp,
        lambda x: np.add(1.0, x),
        lambda x: np.add.reduce([x, x]),
        float,
        hash,
    ],
)
def test_a_rule_that_asks_a_symbol_for_its_number_is_an_error(use):
    with pytest.raises(TypeError):  # a TraceError is one
        use(symbol())


@pytest.mark.parametrize("shape", [(), (3,)])
def test_a_rule_that_branches_is_an_error_that_says_so(shape):
    with pytest.raises(tg.TraceError, match="a derivative rule decided on a traced value"):
        bool(symbol(shape) > 0.0)


def test_the_entries_of_a_rule_belong_to_the_line_that_is_set():
    x = symbol()
    line = tg.trace(lambda a: a * 2.0, 1.0).tape.entries[0].source
    x.recorder.at = line
    assert [entry.source for entry in finished(x * 2.0 + x).entries] == [line, line]
    with pytest.raises(tg.TraceError, match=f"decided on a traced value at {__file__}:{line.line}"):
        bool(x)


@pytest.mark.parametrize(
    ("f", "op"),
    [
        (lambda x, a: a + x, "add"),
        (lambda x, a: a * x, "mul"),
        (lambda x, a: a - x, "sub"),
        (lambda x, a: a / x, "div"),
        (lambda x, a: a @ x, "matmul"),
        (lambda x, a: a > x, "less"),
        (lambda x, a: a == x, "equal"),
        (lambda x, a: a[0] * x, "mul"),
        (lambda x, a: a**x, "power"),
    ],
)
def test_arrays_and_numpys_numbers_leave_operators_to_symbols(f, op):
    made = f(symbol((3,)), np.array([1.0, 2.0, 3.0]))
    assert type(made) is Symbol
    (entry,) = finished(made).entries
    assert entry.op.name == op


def test_symbols_of_two_recordings_do_not_mix():
    with pytest.raises(tg.TraceError, match="a traced value of another trace"):
        symbol() + symbol()


def test_derivatives_are_recorded_on_symbols_alone(monkeypatch):
    """No rule needs what tracers have besides."""
    made = tg.trace(lambda v: np.log(special.expit(v)).sum() + np.sort(v)[0] * np.cumsum(v)[1], np.ones(3))

    def refuse(*args):
        raise AssertionError("a tracer was made")

    monkeypatch.setattr(Tracer, "__init__", refuse)
    assert np.isfinite(made.hessian(np.array([0.3, 0.1, 0.2]))).all()


# The short way for floats -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("op", "n"), OF_FLOATS, ids=lambda x: getattr(x, "name", x))
@pytest.mark.parametrize("x", [0.7, 1.0, -2.5, 0.0, -0.0, np.inf, -np.inf, np.nan, 5e-324, 1.7e308])
def test_floats_are_recorded_as_by_the_general_way(op, n, x):
    """The same entries and the same bits, whatever the op, and whether the other operand is traced or not."""
    general, short = live(x, 0.5), live(x, 0.5)
    with np.errstate(all="ignore"):
        if n == 1:
            pairs = [(general[0].apply(op, general[:1], {}), short[0].recorder.unary(op, short[0]))]
        else:
            others = [1, 0.5, np.float64(-3.0), 2, 0.0]
            pairs = [
                (general[0].apply(op, (general[0], y), {}), short[0].recorder.binary(op, short[0], z))
                for y, z in [(general[1], short[1]), *zip(others, others, strict=True)]
            ]
            pairs += [
                (general[0].apply(op, (y, general[0]), {}), short[0].recorder.binary(op, y, short[0]))
                for y in others
            ]
    for a, b in pairs:
        assert type(a.held) is type(b.held)
        assert np.asarray(a.held).tobytes() == np.asarray(b.held).tobytes() or (
            np.isnan([a.held, b.held]).all()
        )
        assert (a.slot, a.dtype, a.shape) == (b.slot, b.dtype, b.shape)
    a, b = finished(general[0]), finished(short[0])
    assert [(e.op, e.inputs, e.output, e.attrs) for e in a.entries] == [
        (e.op, e.inputs, e.output, e.attrs) for e in b.entries
    ]
    assert [(c.slot, repr(c.value)) for c in a.constants] == [(c.slot, repr(c.value)) for c in b.constants]


# The user's line --------------------------------------------------------------------------------------------


def test_each_entry_has_the_line_of_the_user_however_deep_the_library():
    def helper(x):
        return x * x

    def f(a, v):
        here = sys._getframe().f_lineno
        y = a * 2.0  # 1
        y = 2.0 - y  # 2
        y = np.exp(y)  # 3
        y = y + np.var(v)  # 4: a function written in ops
        y = y + v.max()  # 5: a method
        y = y + functools.reduce(np.add, [a, a])  # 6: called by Python's own library
        y = y + sum(x for x in [a, y])  # 7: in a generator
        y = y + helper(a) + np.vectorize(helper)(v).sum()
        y = y + special.logit(special.expit(a))  # 9
        y = y if a > 0.0 else -y  # 10: a guard
        lines.append(here)
        return y

    lines: list[int] = []
    tape = tg.trace(f, dict(a=0.5, v=np.ones(3)))
    at = {entry.source.line - lines[0] for entry in tape.tape.entries}
    assert at == {-3, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
    assert {entry.source.file for entry in tape.tape.entries} == {__file__}
    assert [guard.source.line - lines[0] for guard in tape.tape.guards] == [10]


def test_instructions_of_a_line_have_it_each_and_always_the_same():
    def f(a):
        for _ in range(2):
            a = a * 2.0 + a * 3.0
        return a

    tape = tg.trace(f, 1.0).tape
    sources = [entry.source for entry in tape.entries]
    assert len(set(sources)) == 1  # equal
    assert [sources.index(source) for source in sources] == [0] * 6
    assert len(set(map(id, sources))) == 3
    assert list(map(id, sources[:3])) == list(map(id, sources[3:]))


def test_a_piece_of_a_line_stays_one_while_the_interpreter_specialises_it():
    def f(v):
        total = 0.0
        for _ in range(200):
            total = total + v[:, None].sum()
        return total

    entries = tg.trace(f, np.ones(3), reroll=False).tape.entries
    assert len({id(entry.source) for entry in entries if entry.op.name == "getitem"}) == 1


# After the trace --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [1.5, np.array([1.0, 2.0])])
def test_nothing_is_written_on_a_tape_whose_trace_is_over(value):
    x, other = live(value, value)
    view = x[:1] if x.ndim else x
    is_positive, whole = x > 0.0, x.astype(int)
    handed = np.asarray(x)
    builder = x.recorder.builder
    x.recorder.close()
    before = builder.finish(())
    uses = [
        lambda: x + other,
        lambda: x * 2.0,
        lambda: 2.0 * x,
        lambda: x**2,
        lambda: -x,
        lambda: abs(x),
        lambda: x > 0.0,
        lambda: np.exp(x),
        lambda: np.sqrt(x),
        lambda: np.add(1.0, x),
        lambda: np.sum(x),
        lambda: x.mean(),
        lambda: x[...],
        lambda: x.copy(),
        lambda: x.plain(),
        lambda: np.zeros_like(x),
        lambda: np.zeros(3, like=x),
        lambda: np.where(is_positive, 1.0, x),
        lambda: is_positive.any(),
        lambda: whole.tolist(),
        lambda: view + 1.0,
        lambda: np.asarray(whole),
        lambda: x.receive(2.0),
        lambda: np.stack([x, x]),
        lambda: x @ x if x.ndim else x * x,
        lambda: handed.sum() if handed.ndim else x + 1.0,
    ]
    for use in uses:
        with pytest.raises(tg.TraceError, match="a traced value of another trace was used"):
            use()
    after = builder.finish(())
    assert len(after.entries) == len(before.entries)
    assert after.guards == before.guards
    assert type(x.recorder) is LiveRecorder
