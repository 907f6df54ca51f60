"""Every op through C: values and derivatives of all samples of the op table, against the reference."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.backends.c.compiler import compiler
from tapegrad.backends.c.forms import EVALUATORS
from tapegrad.backends.replay import evaluate
from tapegrad.ops import OPS
from tapegrad.ops.registry import BOOL
from tapegrad.tape.tape import Tape
from tests.c_batches import outputs_of, programs_of
from tests.test_ops import DIFFERENTIABLE, SAMPLES, SPECIAL_VALUES, Program, _is_free, _traceable

pytestmark = [
    pytest.mark.skipif(compiler() is None, reason="no C compiler was found"),
    pytest.mark.filterwarnings("ignore::tapegrad.UnusedParameterWarning"),
]

# Functions by vectors are at most 4 units in the last place from the truth; sums have an order of their own.
TOLERANCE = 1e-13


def _cases(kind: str, everything: bool) -> list[tuple[str, Tape, list[Any]]]:
    found = []
    samples = SAMPLES if kind == "value" else DIFFERENTIABLE
    for parameter in samples if everything else _some(samples):
        op = parameter.values[0].op
        if not (op.c or op.name in EVALUATORS or everything):
            continue
        program = Program(parameter.values[0], masks=kind == "value")
        if not _traceable(program):
            continue
        f = program.op if kind == "value" else program.scalar
        traced = tg.trace(f, program.params, backend="replay")
        tape = {
            "value": lambda t: t.tape,
            "gradient": lambda t: t.grad_tape,
            "hessian": lambda t: t.hessian_tape,
        }
        points = [traced.ravel(theta) for theta in (program.params, program.elsewhere())]
        found.append((str(parameter.id), tape[kind](traced), points))
    return found


def _some(samples: list[Any]) -> list[Any]:
    """Of an elementwise op two samples, by turns of other shapes; all of other ops."""
    found, ops = [], []
    for op, group in itertools.groupby(samples, key=lambda parameter: parameter.values[0].op):
        cases = list(group)
        ops.append(op)
        first = len(ops) % len(cases)
        found += [cases[first], cases[first - 2]] if op.domain and len(cases) > 2 else cases
    return found


def _compared(kind: str, shortest: int, everything: bool) -> None:
    cases = _cases(kind, everything)
    programs = programs_of([tape for _, tape, _ in cases], shortest)
    bad = []
    for (name, tape, points), program in zip(cases, programs, strict=True):
        for point in points:
            values = evaluate(tape, point, {})
            expected = [values[slot] for slot in tape.outputs]
            # A sum of terms of both signs keeps the digits of its largest term.
            size = max(
                (np.max(np.abs(e[np.isfinite(e)]), initial=0.0) for e in map(np.asarray, expected)),
                default=0.0,
            )
            for found, value in zip(outputs_of(program, point), expected, strict=True):
                if not np.allclose(found, value, rtol=TOLERANCE, atol=TOLERANCE * size, equal_nan=True):
                    bad.append((name, found, value))
    assert not bad


@pytest.mark.parametrize(("kind", "shortest"), [("value", 32), ("gradient", 2)])
def test_every_op_with_a_form_agrees_with_the_reference(kind: str, shortest: int) -> None:
    _compared(kind, shortest, everything=False)


@pytest.mark.slow
@pytest.mark.parametrize("shortest", [32, 2])
@pytest.mark.parametrize("kind", ["value", "gradient", "hessian"])
def test_every_op_agrees_with_the_reference(kind: str, shortest: int) -> None:
    _compared(kind, shortest, everything=True)


# Special values ---------------------------------------------------------------------------------------------


def _at_special_values(op: Any) -> tuple[Any, list[Any], Any]:
    """A program of an op's free inputs, the points, and what the kernel gives."""
    arity = len(op.domain)
    grid = np.array(list(itertools.product(SPECIAL_VALUES, repeat=arity))).T
    args = [row > 0.5 if op.takes_at(i) == BOOL else row for i, row in enumerate(grid)]
    free = [i for i in range(arity) if _is_free(op, i)]
    with np.errstate(all="ignore"):
        expected = op.kernel(*args)

    def f(theta: list[Any]) -> Any:
        merged = list(args)
        for i, value in zip(free, theta, strict=True):
            merged[i] = value
        return op(*merged)

    start = [np.linspace(*op.domain[i], grid.shape[1]) for i in free]
    return tg.trace(f, start, backend="replay"), [grid[i] for i in free], expected


@pytest.mark.parametrize("shortest", [10_000, 2])
def test_special_values_and_ties(shortest: int) -> None:
    """NaN, infinities and zeros of both signs, number by number and by vectors."""
    ops = [op for op in OPS.values() if op.c and op.domain and op.rule is not None]
    cases = [_at_special_values(op) for op in ops]
    programs = programs_of([traced.tape for traced, _, _ in cases], shortest)
    bad = []
    for op, (traced, there, expected), program in zip(ops, cases, programs, strict=True):
        (found,) = outputs_of(program, traced.ravel(there))
        if not np.allclose(found, expected, rtol=TOLERANCE, atol=0.0, equal_nan=True):
            differ = ~np.isclose(found, expected, rtol=TOLERANCE, atol=0.0, equal_nan=True)
            bad.append((op.name, np.array(there)[:, differ], found[differ], expected[differ]))
    assert not bad
