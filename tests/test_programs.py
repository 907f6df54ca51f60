"""Programs say what they run, under every backend; and what is too long to be printed is interpreted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.backends import programs
from tapegrad.backends.numpy import compiled
from tapegrad.backends.numpy.compiled import Compiled, NumpyWorkspace
from tapegrad.backends.replay import evaluate
from tapegrad.function.derived import derived
from tapegrad.plan.plan import entry_by_entry, plan
from tapegrad.plan.stages import Interpreted, Plan, RowLoop, Whole
from tapegrad.tape.tape import Tape, listing
from tests.conftest import TINY

RNG = np.random.default_rng(0)
STEPS = 40
RETURNS = RNG.normal(size=STEPS)
LONG = RNG.normal(size=20_000)
START = dict(omega=0.1, alpha=0.15, beta=0.7, mu=0.05)


def recursion_and_rows(omega: float, alpha: float, beta: float, mu: float) -> float:
    """A recursion of scalar steps, and a sum over many rows."""
    variance, total = omega / (1.0 - beta), 0.0
    for value in RETURNS:
        variance = omega + alpha * (value - mu) ** 2 + beta * variance
        total -= 0.5 * (np.log(variance) + (value - mu) ** 2 / variance)
    return total - np.log1p((LONG - mu) ** 2 / variance).sum()


@pytest.fixture
def short_stretches(monkeypatch: pytest.MonkeyPatch) -> None:
    """A printer that gives up after ten entries."""

    def plan_of_ten(tape: Tape, late: Sequence[int], block: int, longest: int) -> Plan:
        return plan(tape, late, block, 10)

    monkeypatch.setattr(compiled, "plan", plan_of_ten)


# What a program answers -------------------------------------------------------------------------------------


def test_numpy_shows_the_code_that_it_compiles() -> None:
    tape = tg.trace(recursion_and_rows, START)
    program = tape._router.current.programs[derived("gradient")]
    assert isinstance(program, Compiled)
    assert tape.source() == program.printed.text
    assert tape.plan is program.plan
    assert "for b" in tape.source()
    assert "rows: 20,000 in 3 blocks of 8,192" in str(tape.plan)


def test_the_blocks_are_those_of_the_backend(tiny_backend: str) -> None:
    tape = tg.trace(lambda mu: np.log1p((RETURNS - mu) ** 2).sum(), dict(mu=0.1), backend=tiny_backend)
    assert f"{STEPS} rows by 1" in tape.source()
    assert f"rows: {STEPS} in {STEPS} blocks of 1" in str(tape.plan)


def test_a_replay_says_that_it_goes_entry_by_entry() -> None:
    tape = tg.trace(recursion_and_rows, START, backend="replay", reroll=False)
    (stage,) = tape.plan.stages
    finished = tape._router.current.programs.finished(derived("gradient"))[1]
    assert isinstance(stage, Interpreted)
    assert stage.entries == finished.entries
    assert str(tape.plan).splitlines() == [
        "plan of recursion_and_rows: 1 stage",
        f"  entry by entry: {len(finished.entries)} entries, "
        f"{sum(finished.avals[e.output].shape == () for e in finished.entries)} of them scalar",
    ]
    first, *lines = tape.source().splitlines()
    assert first == "# Nothing is printed: the tape is replayed entry by entry."
    assert "\n".join(lines) == listing(finished)


def test_a_replay_takes_what_depends_on_directions_last() -> None:
    tape = tg.trace(lambda a, b: np.sin(a) * b, dict(a=0.3, b=0.5), backend="replay")
    program = tape._router.current.programs[derived("hvp")]
    early, late = program.plan.stages
    directions = set(program.tape.parameters[2:])
    assert directions.isdisjoint(slot for entry in early.entries for slot in entry.inputs)
    assert len(early.entries) + len(late.entries) == len(program.tape.entries)
    assert program.plan.late == 1


def test_what_is_not_a_scalar_shows_its_value() -> None:
    tape = tg.trace(lambda mu: np.exp(mu * RETURNS), dict(mu=0.1))
    assert "np_exp(" in tape.source()
    assert len(tape.plan.tape.outputs) == 1


# Long stretches ---------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("short_stretches")
@pytest.mark.parametrize("kind", ["value", "gradient", "hvp"])
def test_long_stretches_are_interpreted_and_the_rest_is_printed(kind: str) -> None:
    program = tg.trace(recursion_and_rows, START)._router.current.programs[derived(kind)]
    kinds = [type(stage) for stage in program.plan.stages]
    assert Interpreted in kinds
    assert RowLoop in kinds
    assert "entry by entry: " in str(program.plan)
    assert " steps0(" in program.source
    assert "run(loop0, rows[0])" in program.source
    assert program.source.count("\n") < 100


def test_a_stretch_of_more_than_5000_entries_is_interpreted() -> None:
    def f(a: float) -> float:
        total = np.sin(a * LONG).sum()
        for _ in range(2_600):
            a = 1.5 * a * (1.0 - a)
        return total + a

    with np.errstate(all="ignore"):
        tape = tg.trace(f, dict(a=0.3), reroll=False)
    assert "steps0(" in tape.source()
    assert "np_sin(" in tape.source()
    reference = tg.trace(f, dict(a=0.3), backend="replay")
    for theta in (0.3, 0.62):
        value, gradient = tape.value_and_grad_flat(np.array([theta]))
        expected, slope = reference.value_and_grad_flat(np.array([theta]))
        assert value == pytest.approx(expected, rel=1e-14)
        np.testing.assert_allclose(gradient, slope, rtol=1e-13)


@pytest.mark.usefixtures("short_stretches")
@pytest.mark.parametrize("threads", [1, 2])
def test_the_numbers_are_those_of_the_reference(threads: int) -> None:
    tape = tg.trace(recursion_and_rows, START, threads=threads)
    reference = tg.trace(recursion_and_rows, START, backend="replay", reroll=False)
    for shift in (0.0, 0.02):
        theta = np.array(list(START.values())) + shift
        assert tape(theta) == pytest.approx(recursion_and_rows(*theta), rel=1e-14)
        value, gradient = tape.value_and_grad_flat(theta)
        expected_value, expected = reference.value_and_grad_flat(theta)
        assert value == pytest.approx(expected_value, rel=1e-14)
        np.testing.assert_allclose(gradient, expected, rtol=1e-12)
        np.testing.assert_allclose(tape.hessian(theta), reference.hessian(theta), rtol=1e-10)


@pytest.mark.usefixtures("short_stretches")
def test_a_stretch_of_numbers_alone_keeps_the_bits_of_the_reference() -> None:
    def f(a: float, b: float) -> float:
        for _ in range(30):
            a, b = np.sqrt(a * a + 0.3) - b / 3.0, -a * np.exp(-b * b)
        return a + b

    tape, reference = (tg.trace(f, dict(a=0.3, b=0.2), backend=name) for name in ("numpy", "replay"))
    assert isinstance(tape.plan.stages[0], Interpreted)
    for theta in np.random.default_rng(1).normal(size=(20, 2)):
        value, gradient = tape.value_and_grad_flat(theta)
        expected, slope = reference.value_and_grad_flat(theta)
        assert value == expected
        np.testing.assert_array_equal(gradient, slope)


@pytest.mark.usefixtures("short_stretches")
def test_truths_and_whole_numbers_pass_between_printed_and_interpreted_stages() -> None:
    places = np.arange(5)

    def f(a: float, b: float) -> float:
        total = np.sin(a * LONG).sum()
        for _ in range(6):
            is_larger = np.greater(a, b)
            a = np.where(is_larger, a * 0.5, a + b) + np.argmax(a * places) * 1e-3
            a = a + np.maximum(a, b) * total * 1e-9
        return a + np.where(is_larger, total, b) + np.exp(a * LONG[::-1]).sum() * is_larger

    for theta in (dict(a=0.3, b=0.2), dict(a=-0.3, b=0.25)):
        tape = tg.trace(f, theta)
        assert any(isinstance(stage, Interpreted) for stage in tape.plan.stages)
        assert tape(theta) == pytest.approx(f(**theta), rel=1e-13)
        reference = tg.trace(f, theta, backend="replay")
        for name, slope in reference.grad(theta).items():
            assert tape.grad(theta)[name] == pytest.approx(slope, rel=1e-12)


@pytest.mark.usefixtures("short_stretches")
def test_where_python_raises_in_a_stretch_the_ufuncs_take_over_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: NumpyWorkspace, inputs: Any) -> None:
        raise AssertionError("the whole tape need not be replayed")

    def f(a: float) -> float:
        b = a
        for _ in range(12):
            b = 0.5 * b + 1.0 / (a - 1.0)
        return b + np.exp(b)

    tape = tg.trace(f, dict(a=0.5))
    monkeypatch.setattr(NumpyWorkspace, "_refer", refuse)
    with np.errstate(all="ignore"):
        assert tape(dict(a=1.0)) == np.inf
        assert tape(dict(a=1.0001)) == f(np.float64(1.0001)) == np.inf
    assert tape(dict(a=0.25)) == pytest.approx(f(0.25), rel=1e-14)


def test_the_reference_that_takes_over_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    init = compiled.Workspace.__init__

    def counted(self: Any, *args: Any) -> None:
        made.append(1)
        init(self, *args)

    monkeypatch.setattr(compiled.Workspace, "__init__", counted)
    tape = tg.trace(lambda a: 1.0 / (a - 1.0), dict(a=0.5))
    for _ in range(3):
        assert tape(dict(a=1.0)) == np.inf
        assert tape(dict(a=3.0)) == 0.5
    assert len(made) == 1


@pytest.mark.usefixtures("short_stretches")
def test_threads_do_not_share_the_numbers_of_a_stretch() -> None:
    tape = tg.trace(recursion_and_rows, START)
    thetas = [np.array([0.1, 0.1, 0.6, 0.01 * i]) for i in range(40)]
    expected = [tape.value_and_grad_flat(theta) for theta in thetas]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(tape.value_and_grad_flat, thetas))
    for (value, gradient), (expected_value, slope) in zip(found, expected, strict=True):
        assert value == expected_value
        np.testing.assert_array_equal(gradient, slope)


@pytest.mark.usefixtures("short_stretches")
def test_guards_are_read_behind_a_stretch() -> None:
    def f(a: float) -> float:
        b = a
        for _ in range(15):
            b = 0.9 * b + 0.1 * np.sin(b)
        return b * b if b > 0.0 else -b

    tape = tg.trace(f, dict(a=0.5))
    for a in (0.5, -0.5, 0.7, -0.1):
        assert tape(dict(a=a)) == pytest.approx(f(a), rel=1e-14)
    assert tape.retraces == 1


# A row loop says what it reads ------------------------------------------------------------------------------


def test_a_row_loop_is_a_function_of_whole_values_and_a_block_to_sums() -> None:
    """Its data are enough to run it apart from the plan, block by block and in any order."""
    x, group = RNG.normal(size=24), RNG.integers(0, 3, 24)
    design = RNG.normal(size=(24, 2))

    def f(beta: Any, effects: Any, scale: float) -> Any:
        eta = design @ beta + effects[group]
        return np.log1p((x - eta) ** 2 / scale).sum()

    tape = tg.trace(f, dict(beta=np.array([0.1, 0.2]), effects=np.array([0.3, 0.1, -0.2]), scale=1.3))
    found = plan(tape.grad_tape, block=4)
    values = evaluate(tape.grad_tape, np.array([0.2, 0.1, 0.4, 0.0, -0.1, 1.1]), {})
    (loop,) = [stage for stage in found.stages if isinstance(stage, RowLoop)]
    written = {entry.output for entry in loop.entries}
    assert written.isdisjoint((*loop.whole, *loop.columns))
    sums: dict[int, Any] = dict.fromkeys(loop.sums, 0.0)
    for start in (8, 0, 20, 4, 16, 12):
        local = {slot: values[slot] for slot in loop.whole}
        for slot in loop.columns:
            axis = found.row_axis(slot)
            local[slot] = np.take(values[slot], range(start, start + 4), axis)
        for op, inputs, output, attrs, _ in loop.entries:
            shape = [4 if n == 24 else n for n in found.tape.avals[output].shape]
            out = np.empty(shape, found.tape.avals[output].dtype)
            op.kernel(*[local[slot] for slot in inputs], out=out, **dict(attrs))
            local[output] = out
        for slot in loop.sums:
            sums[slot] = sums[slot] + local[slot]
    for slot, total in sums.items():
        np.testing.assert_allclose(total, values[slot], rtol=1e-12)
    assert len(loop.sums) >= 4  # the value, and what becomes of it in each parameter
    assert not loop.stored


# A further backend ------------------------------------------------------------------------------------------


class Evaluated:
    """A backend that evaluates the tape anew each time: as small as one can be."""

    def __init__(self, tape: Tape, late: Sequence[int], threads: int) -> None:
        self.tape = tape
        self.plan = entry_by_entry(tape, late)
        self.source = "evaluate(tape, theta, data)"

    def workspace(self, data: Mapping[int, Any], shared: object = None) -> EvaluatedWorkspace:
        return EvaluatedWorkspace(self.tape, data)


class EvaluatedWorkspace:
    def __init__(self, tape: Tape, data: Mapping[int, Any]) -> None:
        self.tape, self.data = tape, data
        self.theta = np.empty(0)
        self.outputs: Sequence[Any] = ()

    def run(self, inputs: Any) -> None:
        self.theta = inputs.copy()
        if inputs.size == sum(int(np.prod(self.tape.avals[s].shape)) for s in self.tape.parameters):
            self.run_late(np.empty(0))

    def run_late(self, inputs: Any) -> None:
        values = evaluate(self.tape, np.concatenate([self.theta, inputs]), self.data)
        self.outputs = [np.asarray(values[slot]) for slot in self.tape.outputs]

    def broken(self) -> None:
        return None


def test_a_backend_is_one_line_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(programs.BACKENDS, "evaluated", Evaluated)
    tape, other = (tg.trace(recursion_and_rows, START, backend=name) for name in ("evaluated", "numpy"))
    assert tape.source() == "evaluate(tape, theta, data)"
    assert str(tape.plan).startswith("plan of recursion_and_rows: 1 stage\n  entry by entry: ")
    assert tape(START) == pytest.approx(other(START), rel=1e-13)
    np.testing.assert_allclose(tape.hessian(START), other.hessian(START), rtol=1e-10)


def test_the_names_of_the_backends() -> None:
    assert set(programs.BACKENDS) == {"numpy", "replay", "c", "jax", TINY}


def test_a_plan_of_few_entries_has_nothing_interpreted() -> None:
    tape = tg.trace(recursion_and_rows, START)
    assert {type(stage) for stage in tape.plan.stages} == {Whole, RowLoop}
