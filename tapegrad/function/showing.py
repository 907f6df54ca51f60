"""What a page shows of a traced function: its tapes with their numbers, the plan, and the generated code."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from tapegrad.backends.c.program import CProgram
from tapegrad.backends.numpy.compiled import Compiled
from tapegrad.backends.programs import Program
from tapegrad.backends.replay import adjoints, evaluate
from tapegrad.function.derived import GRADIENT, HESSIAN, HVP, JVP, VALUE, Derived
from tapegrad.function.explanation import Explanation
from tapegrad.function.paths import Path
from tapegrad.nest import Vector
from tapegrad.plan.stages import Interpreted, Plan, RowLoop, described
from tapegrad.tape.entries import Entries
from tapegrad.tape.showing import numbers, sheet
from tapegrad.tape.tape import Tape
from tapegrad.viewer.page import Page, page

# Entries of a tape from which on its derivatives and code are left out: they would be some hundred megabytes.
LONGEST = 30_000


def shown(path: Path, vector: Vector | None, kind: Derived, explanation: Explanation | None) -> Page:
    """The page of a traced function.

    Parameters
    ----------
    path : Path
    vector : ndarray or None
        The parameters whose numbers are shown.
    kind : Derived
        What the plan and the code are of: value and gradient, or the value of a function that is no scalar.
    explanation : Explanation or None
        Of NaN and infinity at these parameters.
    """
    recorded = path.tape if vector is None else path.tape_at(vector)
    sheets, texts, notes = [_recorded(path, recorded, vector, kind is GRADIENT)], [], []
    if len(path.tapes.short.entries) > LONGEST:
        notes.append(
            f"Derivatives and code are left out of tapes of more than {LONGEST:,} entries: print "
            "traced.grad_tape, traced.plan and traced.source()."
        )
    else:
        sheets += _derived(path, vector, kind)
        program = path.programs[kind]
        sheets.append(_planned(path, program.plan, vector, kind))
        texts = list(_codes(program))
    return page(recorded.name, sheets, texts, notes, _finding(explanation))


def _recorded(path: Path, tape: Tape, vector: Vector | None, is_scalar: bool) -> dict[str, Any]:
    found = sheet(tape, "Recorded", "What your function did, as recorded.")
    if vector is not None:
        values = evaluate(tape, vector, path.data)
        found["value"] = numbers(values)
        if is_scalar:
            back = adjoints(tape, values)
            found["adjoint"] = numbers([back.get(slot) for slot in range(len(values))])
    return found


def _derived(path: Path, vector: Vector | None, kind: Derived) -> Iterator[dict[str, Any]]:
    """The tape with loops as array code, where there are any, and the derivatives."""
    tapes = path.tapes
    if len(tapes.short.entries) != len(tapes.recorded.entries):
        yield _sheet(path, tapes.short, vector, "Loops as arrays", "The same, with loops as array code.")
    if kind is GRADIENT:
        text = "Value and gradient, after the passes."
        yield _sheet(path, tapes[GRADIENT], vector, "Gradient", text)
        if tapes.has_cheap_hessian or len(tapes[GRADIENT].entries) * len(tapes[VALUE].parameters) <= LONGEST:
            yield _sheet(path, tapes[HESSIAN], vector, "Hessian", "The Hessian as a matrix.")
        else:
            yield sheet(tapes[HVP], "Hessian", "The Hessian times a direction, the last inputs.")
    else:
        yield _sheet(path, tapes[VALUE], vector, "Value", "The value, after the passes.")
        yield sheet(tapes[JVP], "Jacobian", "The Jacobian times a direction, the last inputs.")


def _sheet(path: Path, tape: Tape, vector: Vector | None, title: str, note: str) -> dict[str, Any]:
    found = sheet(tape, title, note)
    if vector is not None:
        data = dict(zip(tape.data, path.data.values(), strict=True))
        found["value"] = numbers(evaluate(tape, vector, data))
    return found


def _planned(path: Path, plan: Plan, vector: Vector | None, kind: Derived) -> dict[str, Any]:
    """The entries of a plan in the order in which they run, with its stages."""
    entries = [entry for stage in plan.stages for entry in stage.entries]
    tape = replace(plan.tape, entries=Entries(entries))
    found = sheet(tape, "Plan", "What is run, stage by stage.")
    if vector is not None:
        found["value"] = numbers(evaluate(tape, vector, path.programs.values(kind, path.data)))
    start, stages = 0, []
    for stage in plan.stages:
        end = start + len(stage.entries)
        name = (
            "rows"
            if isinstance(stage, RowLoop)
            else "interpreted"
            if isinstance(stage, Interpreted)
            else "whole"
        )
        stages.append({"from": start, "to": end, "kind": name, "title": described(plan, stage)})
        start = end
    found["stages"] = stages
    return found


def _codes(program: Program) -> Iterator[Mapping[str, str]]:
    """The source that runs, and that of the other backend."""
    for name, language, make in (("numpy", "NumPy", Compiled), ("c", "C", CProgram)):
        is_running = isinstance(program, make)
        text = program.source if is_running else make(program.tape).source
        note = f"The code that runs, in {language}." if is_running else f"What backend={name!r} runs."
        yield {"title": f"{language} code", "note": note, "text": text}


def _finding(explanation: Explanation | None) -> dict[str, Any] | None:
    if explanation is None:
        return None
    entry, text = explanation.entry, explanation.text
    if entry is not None and entry.source is not None:  # the folder is nobody else's business
        text = text.replace(entry.source.file, os.path.basename(entry.source.file))
    slot = None if entry is None or explanation.quantity == "hessian" else entry.output
    return {"text": text, "slot": slot, "bad": explanation.quantity is not None}
