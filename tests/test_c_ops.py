"""Every op through C: values and derivatives of all samples of the op table, against the reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.backends.c.compiler import compiler
from tapegrad.backends.replay import evaluate
from tapegrad.tape.tape import Tape
from tests.c_batches import outputs_of, programs_of
from tests.test_ops import DIFFERENTIABLE, SAMPLES, Program, _traceable

pytestmark = pytest.mark.skipif(compiler() is None, reason="no C compiler was found")

# Functions by vectors are at most 4 units in the last place from the truth; sums have an order of their own.
TOLERANCE = 1e-13


def _cases(kind: str) -> list[tuple[str, Tape, list[Any]]]:
    found = []
    for parameter in SAMPLES if kind == "value" else DIFFERENTIABLE:
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


def _compared(kind: str, shortest: int) -> None:
    cases = _cases(kind)
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


@pytest.mark.filterwarnings("ignore::tapegrad.UnusedParameterWarning")
@pytest.mark.parametrize("shortest", [32, 2])
@pytest.mark.parametrize("kind", ["value", "gradient", pytest.param("hessian", marks=pytest.mark.slow)])
def test_every_op_agrees_with_the_reference(kind: str, shortest: int) -> None:
    _compared(kind, shortest)
