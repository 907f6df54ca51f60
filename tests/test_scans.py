"""The op `scan`: loops whose steps are not linear in what they carry, against the loops themselves."""

from __future__ import annotations

import json
import math
import pickle
from dataclasses import replace
from typing import Any

import mpmath
import numpy as np
import pytest
from bodies import Step, body_of, looped, scanned

import tapegrad as tg
from tapegrad.backends.numpy import loops
from tapegrad.backends.numpy.twins import FUNCTIONS
from tapegrad.backends.replay import evaluate
from tapegrad.derive import scan
from tapegrad.derive.scan import scan_
from tapegrad.function.trace import trace_quietly
from tapegrad.tape.body import Body
from tapegrad.tape.builder import Builder
from tapegrad.tape.entries import Entries
from tapegrad.tape.storage import StorageError, tape_from_json, tape_to_json
from tapegrad.tape.tape import TapeError

T = 7
Y = np.sin(np.arange(1.0, T + 1.0))
TRANSITIONS = np.log(np.array([[0.8, 0.15, 0.05], [0.1, 0.7, 0.2], [0.25, 0.05, 0.7]]))
TREND = np.array([[1.0, 1.0], [0.0, 1.0]])


def theta_logistic(n: Any, r: Any, k: Any, power: Any, shock: Any) -> Any:
    return (n * np.exp(r * (1.0 - (n / k) ** power) + shock),)


def predator_and_prey(x: Any, y: Any, a: Any, b: Any) -> Any:
    return x * np.exp(a - b * y), y * np.exp(b * x - a)


def hidden_markov(alpha: Any, log_a: Any, emission: Any) -> Any:
    return (tg.special.logsumexp(alpha[:, None] + log_a, axis=0) + emission,)


def kalman(x: Any, p: Any, q: Any, r: Any, y: Any) -> Any:
    x, p = TREND @ x, TREND @ p @ TREND.T + q * np.eye(2)
    gain = p[:, 0] / (p[0, 0] + r)
    return x + gain * (y - x[0]), p - np.outer(gain, p[0])


def with_a_choice(h: Any, e: Any, a: Any, y: Any) -> Any:
    return a + np.where(e < 0.0, 0.3, 0.1) * e**2 + 0.5 * h, y - a


def unlike(kept: Any, forgotten: Any, moved: Any, rate: Any, unused: Any, y: Any) -> Any:
    """A part that stays as it is, one that depends on nothing, and an input without influence."""
    return kept, 0.7, moved * rate * kept + y * forgotten


# A step, its start, what stays the same, and what each step has of its own.
CASES: dict[str, tuple[Step, list[Any], list[Any], list[Any]]] = {
    "theta-logistic": (theta_logistic, [0.8], [0.5, 1.2, 0.9], [0.1 * Y]),
    "no own inputs": (predator_and_prey, [0.7, 0.4], [0.1, 0.3], []),
    "hidden Markov": (hidden_markov, [np.log([0.2, 0.5, 0.3])], [TRANSITIONS], [np.outer(Y, [0.3, -0.2, 1])]),
    "Kalman": (kalman, [np.zeros(2), 2.0 * np.eye(2)], [0.1, 0.5], [Y]),
    "a choice": (with_a_choice, [1.0, 0.0], [0.2], [Y]),
    "unlike": (unlike, [0.4, 0.3, 1.5], [0.9, 0.1], [Y]),
}


def program(run: Any, case: str, count: int = T) -> tuple[Any, list[Any]]:
    """A loop as a scalar function of all of its inputs, and these."""
    step, carried, fixed, each = CASES[case]
    ends = np.cumsum([len(carried), len(fixed)])
    start = [*carried, *fixed, *(x[:count] for x in each)]
    width = sum(np.size(x) for x in carried)
    weights = np.cos(np.arange(1.0, count * width + 1.0)).reshape(count, width)

    def f(parts: Any) -> Any:
        states = run(step, parts[: ends[0]], parts[ends[0] : ends[1]], parts[ends[1] :], count)
        return (states * weights).sum() + (states[-1] ** 2).sum()

    return f, start


@pytest.mark.filterwarnings("ignore::tapegrad.UnusedParameterWarning")
@pytest.mark.parametrize("count", [1, 2, T])
@pytest.mark.parametrize("case", CASES)
def test_a_scan_is_its_loop(case, count, backend):
    f, start = program(scanned, case, count)
    loop, _ = program(looped, case, count)
    one = tg.trace(f, start, backend=backend)
    other = tg.trace(loop, start, reroll=False)
    tg.verify(one.tape)
    elsewhere = [x * 1.03 + 0.01 for x in start]
    for theta in (start, elsewhere):
        vector = one.ravel(theta)
        assert one.value_flat(vector) == pytest.approx(other.value_flat(vector), rel=1e-12)
        found, expected = (traced.value_and_grad_flat(vector)[1] for traced in (one, other))
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-13)
        expected = other.hessian_flat(vector)
        np.testing.assert_allclose(
            one.hessian_flat(vector), expected, rtol=1e-10, atol=1e-12 * np.abs(expected).max()
        )


@pytest.mark.parametrize("case", ["theta-logistic", "hidden Markov", "Kalman"])
def test_third_derivatives(case):
    f, start = program(scanned, case, 3)
    loop, _ = program(looped, case, 3)
    one, other = tg.trace(f, start), tg.trace(loop, start, reroll=False)
    v = np.linspace(-1.0, 1.0, one.ravel(start).size)
    expected = other.third(start, v)
    np.testing.assert_allclose(one.third(start, v), expected, rtol=1e-9, atol=1e-11 * np.abs(expected).max())


# Derivatives step by step -----------------------------------------------------------------------------------


@pytest.fixture
def all_are_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """The derivative of each loop is a loop."""
    monkeypatch.setattr(scan, "WIDEST", 0)


@pytest.mark.filterwarnings("ignore::tapegrad.UnusedParameterWarning")
@pytest.mark.parametrize("count", [1, 2, T])
@pytest.mark.parametrize("case", CASES)
def test_a_derivative_is_a_loop_where_much_is_carried(case, count, all_are_wide, backend):
    test_a_scan_is_its_loop(case, count, backend)
    f, start = program(scanned, case, count)
    ops = tg.trace(f, start).grad_tape.entries.op_names()
    assert "recurrence" not in ops


@pytest.mark.parametrize("case", ["theta-logistic", "hidden Markov", "Kalman"])
def test_third_derivatives_step_by_step(case, all_are_wide):
    test_third_derivatives(case)


def test_states_that_cannot_be_reached_have_a_gradient_step_by_step(monkeypatch):
    def f(stay: Any) -> Any:
        log_a = np.where(
            np.eye(3) > 0.0, np.log(stay), np.where(np.eye(3, k=1) > 0, np.log(1.0 - stay), -np.inf)
        )
        start, each = np.array([0.0, -np.inf, -np.inf]), np.outer(Y, [0.3, -0.2, 1.0])
        return tg.special.logsumexp(scanned(hidden_markov, [start], [log_a], [each], T)[-1])

    found = []
    for widest in (12, 0):
        monkeypatch.setattr(scan, "WIDEST", widest)
        traced = tg.trace(f, 0.7)
        found.append([traced.grad(0.7), traced.hessian(0.7).item()])
    assert np.isfinite(found[0]).all()
    assert found[1] == pytest.approx(found[0], rel=1e-12)


def test_a_loop_that_carries_much_has_no_matrices():
    """Thirty numbers: nothing on the gradient's tape has a matrix of 30 by 30 for each step."""
    f = tg.trace(lambda x: scanned(lambda s, y: (np.tanh(s * y),), [x], [], [Y], T).sum(), np.ones(30))
    tape = f.grad_tape
    assert "scan" in tape.entries.op_names()
    assert max(np.prod(aval.shape, initial=1) for aval in tape.avals) <= T * 30
    slope = tg.trace(lambda x: looped(lambda s, y: (np.tanh(s * y),), [x], [], [Y], T).sum(), np.ones(30))
    np.testing.assert_allclose(f.grad(np.ones(30)), slope.grad(np.ones(30)), rtol=1e-12)


def test_the_logistic_map_against_many_digits():
    body = body_of(lambda x, r: (r * x * (1.0 - x),), [0.3], [3.0], [])
    f = tg.trace(lambda r: scan_(np.array([0.3]), r, body=body, count=12)[-1, 0], {"r": 3.7})

    def exactly(r: Any) -> Any:
        x = mpmath.mpf(0.3)
        for _ in range(12):
            x = r * x * (1 - x)
        return x

    with mpmath.workdps(60):
        value, first, second, third = (float(mpmath.diff(exactly, mpmath.mpf(3.7), n)) for n in range(4))
    assert f.value_flat(np.array([3.7])) == pytest.approx(value, rel=1e-12)
    assert f.grad({"r": 3.7})["r"] == pytest.approx(first, rel=1e-11)
    assert f.hessian({"r": 3.7})[0, 0] == pytest.approx(second, rel=1e-11)
    assert f.third({"r": 3.7}, [1.0])[0, 0] == pytest.approx(third, rel=1e-10)


# Generated loops --------------------------------------------------------------------------------------------


@pytest.fixture
def printed_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loops must not fall back."""
    monkeypatch.setattr(loops, "_AT_ONCE", 3)  # so that they go on from where they stopped

    def run(*args: Any) -> None:
        raise AssertionError("not by the printed loop")

    monkeypatch.setattr(Body, "run", run)


@pytest.mark.parametrize("case", CASES)
def test_what_is_printed_is_run(case, printed_only):
    step, carried, fixed, each = CASES[case]
    expected = looped(step, carried, fixed, each, T)
    body = body_of(step, carried, fixed, [x[0] for x in each])
    printer = loops.LoopPrinter("scan0", body, T, False, {}, repr)
    assert all(aval.shape == () for aval in printer.tape.avals)
    found = np.empty(expected.shape)
    loop = _function(printer)
    start = np.concatenate([np.ravel(x) for x in carried])
    loops.scanned(loop, printer.printed, body, T, found, start, *fixed, *each)
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-15)


def test_states_that_cannot_be_reached_do_not_stop_the_printed_loop(printed_only):
    forbidden = np.where(np.eye(3, k=1) + np.eye(3) > 0.0, TRANSITIONS, -np.inf)
    start, each = np.array([0.0, -np.inf, -np.inf]), np.outer(Y, [0.3, -0.2, 1.0])
    body = body_of(hidden_markov, [np.zeros(3)], [TRANSITIONS], [np.zeros(3)])
    printer = loops.LoopPrinter("scan0", body, T, False, {}, repr)
    found = np.empty((T, 3))
    loops.scanned(_function(printer), printer.printed, body, T, found, start, forbidden, each)
    with np.errstate(all="ignore"):
        expected = [start]
        for row in each:
            expected.append(np.logaddexp.reduce(expected[-1][:, None] + forbidden, axis=0) + row)
    np.testing.assert_allclose(found, expected[1:], rtol=1e-13)


def _function(printer: loops.LoopPrinter) -> Any:
    lines = list(map(str, printer.lines()))
    namespace = {**FUNCTIONS, **printer.namespace}
    exec("\n".join(lines), namespace)
    return namespace[printer.name]


def test_the_source_shows_the_loop_and_the_users_lines():
    f, start = program(scanned, "Kalman")
    source = tg.trace(f, start).source()
    assert "in zip(" in source or ".tolist():  # 7 steps" in source
    assert "x, p = TREND @ x, TREND @ p @ TREND.T + q * np.eye(2)" in source
    assert "np_matmul" not in source.split("def early")[0]


def test_a_body_without_a_form_on_numbers_runs_on_arrays():
    def step(p: Any, q: Any) -> Any:
        return (np.linalg.inv(p + q * np.eye(2)),)

    start = [np.array([[2.0, 0.3], [0.3, 1.0]]), 0.4]

    def f(run: Any) -> Any:
        return lambda parts: run(step, parts[:1], parts[1:], [], 5).sum()

    one, other = tg.trace(f(scanned), start), tg.trace(f(looped), start, reroll=False)
    assert "np_inv(" in one.source()
    vector = one.ravel(start)
    np.testing.assert_allclose(one.hessian_flat(vector), other.hessian_flat(vector), rtol=1e-10)


@pytest.mark.filterwarnings("ignore::tapegrad.NonFiniteWarning")
@pytest.mark.parametrize("start", [2000.0, 0.0, -1.0])
def test_where_python_raises_the_numbers_are_those_of_ieee(start):
    def step(x: Any, r: Any) -> Any:
        return (np.log(x) + r * np.exp(x),)

    def f(x: Any, r: Any) -> Any:
        return scanned(step, [x], [r], [], 4)

    plain = {"x": 0.6, "r": 0.2}
    there = {"x": start, "r": 0.2}
    one, other = (tg.trace(f, plain, backend=backend) for backend in ("numpy", "replay"))
    np.testing.assert_array_equal(one(there), other(there))
    with np.errstate(all="ignore"):
        expected = looped(step, [np.float64(start)], [0.2], [], 4)
    np.testing.assert_array_equal(one(there), expected)
    np.testing.assert_allclose(one(plain), other(plain), rtol=1e-14)  # and the printed loop is taken again


def test_what_decides_keeps_the_bits_of_numpy():
    def step(x: Any, r: Any) -> Any:
        return (np.where(x > 0.4, np.exp(x) * r, x + 0.3),)

    body = body_of(step, [0.5], [0.4], [])
    text = "\n".join(map(str, loops.LoopPrinter("scan0", body, 3, False, {}, repr).lines()))
    assert "np_exp(" in text
    assert body.decides
    body = body_of(lambda x, r: (np.exp(x) * r,), [0.5], [0.4], [])
    for exact in (False, True):
        text = "\n".join(map(str, loops.LoopPrinter("scan0", body, 3, exact, {}, repr).lines()))
        assert ("np_exp(" in text) is exact


# Around it --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_a_stored_tape_and_a_pickled_one_run_as_before(case, tmp_path):
    f, start = program(scanned, case)
    traced = trace_quietly(f, start)
    vector = traced.ravel(start)
    tg.save(traced.tape, tmp_path / "tape.json")
    for tape in (tg.load(tmp_path / "tape.json"), pickle.loads(pickle.dumps(traced.tape))):
        tg.verify(tape)
        assert str(tape).splitlines()[0] == str(traced.tape).splitlines()[0]
        found = evaluate(tape, vector, {})[tape.outputs[0]]
        assert found == pytest.approx(traced.value_flat(vector), rel=1e-14)


def test_a_scan_is_one_readable_line():
    f, start = program(scanned, "hidden Markov")
    (line,) = [line for line in str(tg.trace(f, start).tape).splitlines() if " scan " in line]
    assert ", a step of 4 ops, count=7  ->" in line
    assert repr(body_of(hidden_markov, [np.zeros(3)], [TRANSITIONS], [np.zeros(3)])) == "<a step of 4 ops>"


def test_explain_names_the_step_and_what_happens_in_it():
    def step(x: Any, y: Any) -> Any:
        return (np.log(x) + y,)

    body = body_of(step, [2.0], [], [1.0])
    each = np.array([1.5, 1.2, -3.0, 1.0, 1.0])
    f = tg.trace(lambda s: scan_(s, each, body=body, count=5).sum(), {"s": np.array([30.0])})
    text = str(f.explain({"s": np.array([2.0])}))
    assert "it arises in scan(" in text
    assert "in step 4 of 5, it arises in log(" in text
    assert "return (np.log(x) + y,)" in text
    assert "in step 1 of 5, the parameter" not in str(f.explain({"s": np.array([-1.0])}))


def broken_bodies() -> dict[str, Body]:
    good = body_of(predator_and_prey, [0.7, 0.4], [0.1, 0.3], [])
    wider = body_of(lambda x: (np.concatenate([x, x]),), [np.zeros(2)], [], [])
    empty = body_of(lambda x, r: (x * r,), [np.zeros(0)], [2.0], [])
    builder = Builder("step")
    slot = builder.parameter(good.tape.avals[0])
    builder.datum(good.tape.avals[0])
    return {
        "carries 0 parts": Body(good.tape, 0, 0),
        "too few parameters": Body(good.tape, 2, 7),
        "other shapes than it was given": wider,
        "carries no numbers": empty,
        "or data or guards": Body(builder.finish([slot]), 1, 0),
        "reads a slot before it is written": Body(_damaged(good.tape), 2, 2),
    }


def _damaged(tape: Any) -> Any:
    return replace(tape, entries=Entries(reversed(list(tape.entries))))


@pytest.mark.parametrize("message", broken_bodies())
def test_verify_looks_into_bodies(message):
    body = broken_bodies()[message]
    f, start = program(scanned, "no own inputs")
    tape = tg.trace(f, start).tape
    entries = [e._replace(attrs=(("body", body), ("count", T))) if e.op is scan_ else e for e in tape.entries]
    bad = replace(tape, entries=Entries(entries))
    with pytest.raises(TapeError, match=message):
        tg.verify(bad)
    with pytest.raises(StorageError, match=message):
        tape_from_json(json.loads(json.dumps(tape_to_json(bad))))


def test_verify_compares_the_shapes_of_the_inputs_with_the_body():
    f, start = program(scanned, "hidden Markov")
    tape = tg.trace(f, start).tape
    (scan,) = [entry for entry in tape.entries if entry.op is scan_]
    first, second, third = scan.inputs
    for inputs in ((first, second), (first, third, second), (second, second, third)):
        entries = [e._replace(inputs=inputs) if e.op is scan_ else e for e in tape.entries]
        with pytest.raises(TapeError, match="the op does not take shapes"):
            tg.verify(replace(tape, entries=Entries(entries)))


def test_a_body_is_no_attribute_of_other_kinds():
    f, start = program(scanned, "no own inputs")
    content = json.dumps(tape_to_json(tg.trace(f, start).tape))
    with pytest.raises(StorageError, match="expected tape, carried, fixed"):
        tape_from_json(json.loads(content.replace('"carried"', '"carries"')))
    with pytest.raises(StorageError, match="is no count"):
        tape_from_json(json.loads(content.replace('"carried": 2', '"carried": -2')))


def test_the_sparse_hessian_is_the_dense_one():
    f, start = program(scanned, "theta-logistic")
    traced = tg.trace(f, start)
    dense = traced.hessian(start)
    np.testing.assert_allclose(traced.hessian(start, sparse=True).toarray(), dense, rtol=1e-12)
    assert math.isfinite(dense.sum())
