"""The table of derived tapes: what each line says of its tape, and that a line is all that a kind takes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.derive.continuation import Continuation
from tapegrad.derive.pullback import reverse
from tapegrad.derive.pushforward import jacobian_by_columns, pushforward
from tapegrad.function.derived import (
    DERIVED,
    GRADIENT,
    HESSIAN,
    HVP,
    VALUE,
    Derived,
    Tapes,
    derived,
    in_parameters,
)
from tapegrad.function.trials import copied
from tapegrad.ops.decompositions import slogdet
from tapegrad.passes import dce
from tapegrad.tape.tape import size_of

X = np.array([[1.0, 2.0], [3.0, -1.0], [0.5, 0.2]])
Y = np.array([1.0, 2.0, 3.0])
W = np.array([0.3, 0.4])


def rss(w: Any) -> Any:
    return ((Y - X @ w) ** 2).sum() + np.exp(w[0])


def nested(a: Any, b: Any) -> Any:
    return np.sin(a * b.sum()) + (X @ b).sum()


@pytest.mark.parametrize("kind", DERIVED.values(), ids=list(DERIVED))
def test_a_tape_takes_points_and_then_what_is_late(kind: Derived) -> None:
    """Its inputs are those of the function, once or more often, and then those that the line calls late."""
    tapes = tg.trace(nested, dict(a=0.5, b=W))._router.current.tapes
    value, tape = tapes[VALUE], tapes[kind]
    late = [value.avals[slot] for slot in kind.late(tapes)]
    point = [value.avals[slot] for slot in value.parameters]
    inputs = [tape.avals[slot] for slot in tape.parameters]
    times = (len(inputs) - len(late)) // len(point)
    assert times >= 1
    assert inputs == point * times + late


@pytest.mark.parametrize("kind", DERIVED.values(), ids=list(DERIVED))
def test_a_kind_runs_alike_on_every_backend(kind: Derived, backend: str) -> None:
    at = dict(a=0.5, b=W)
    found = []
    for name in ("replay", backend):
        traced = tg.trace(nested, at, backend=name)
        tapes = traced._router.current.tapes
        tape, late = tapes[kind], kind.late(tapes)
        sizes = [size_of(tape.avals[slot].shape) for slot in tape.parameters]
        start = sum(sizes[: len(sizes) - len(late)])
        inputs = np.concatenate([traced.ravel(at), np.linspace(0.5, 1.0, sum(sizes))])[: sum(sizes)]
        directions = [inputs[start:], 2.0 * inputs[start:]] if late else None
        found.append(traced._router.run(kind, inputs[:start], copied, directions)[0])
        assert kind in tapes.trial.passed
    if late:
        found = [[*first, *second] for first, second in found]
    for expected, ours in zip(*found, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-14)


def test_an_unknown_name_is_refused_with_those_that_there_are() -> None:
    assert derived("hvp") is HVP
    with pytest.raises(ValueError, match="no derived tape 'hesse': there are value, gradient, hessian, "):
        derived("hesse")


def _log_determinant(tapes: Tapes) -> tg.Tape:
    """The log-determinant of the Hessian, as Laplace's method takes it."""
    new = Continuation(tapes[HESSIAN])
    _, value = slogdet(new.value(new.tape.outputs[0]))
    return new.builder.finish((value.slot,))


LOG_DETERMINANT = Derived("log_determinant", _log_determinant)
ITS_GRADIENT = Derived("its_gradient", lambda tapes: reverse(tapes[LOG_DETERMINANT]))
ITS_SLOPE = Derived("its_slope", lambda tapes: pushforward(tapes[LOG_DETERMINANT]), late=in_parameters)


def test_a_kind_is_one_line(backend: str) -> None:
    traced = tg.trace(rss, W, backend=backend)
    hessian = 2.0 * X.T @ X + np.diag([np.exp(W[0]), 0.0])
    expected = np.linalg.slogdet(hessian)[1], np.exp(W[0]) * np.linalg.inv(hessian)[0, 0]
    ((value,), path) = traced._router.run(LOG_DETERMINANT, W, copied)
    assert value == pytest.approx(expected[0], rel=1e-12)
    ((value, gradient), _) = traced._router.run(ITS_GRADIENT, W, copied)
    np.testing.assert_allclose([value, *gradient], [*expected, 0.0], rtol=1e-12, atol=1e-15)
    (slopes, _) = traced._router.run(ITS_SLOPE, W, copied, [np.array([1.0, 5.0]), np.array([-2.0, 0.0])])
    np.testing.assert_allclose(np.ravel(slopes), [expected[1], -2.0 * expected[1]], rtol=1e-12)
    assert path.tapes.trial.passed == {LOG_DETERMINANT, ITS_GRADIENT, ITS_SLOPE}


def _hessian_in(place: int) -> Derived:
    """The Hessian in one of the parameters, as random effects need it: for one model, entered nowhere."""

    def make(tapes: Tapes) -> tg.Tape:
        gradient = tapes[GRADIENT]
        slope = dce(replace(gradient, outputs=gradient.outputs[1 + place : 2 + place]))
        return jacobian_by_columns(slope, slope.parameters[place : place + 1])

    return Derived(f"hessian in parameter {place}", make)


def test_a_kind_may_be_for_some_of_the_parameters(backend: str) -> None:
    traced = tg.trace(nested, dict(a=0.5, b=W), backend=backend)
    whole = traced.hessian(dict(a=0.5, b=W))
    for place, part in enumerate((whole[:1, :1], whole[1:, 1:])):
        ((found,), _) = traced._router.run(_hessian_in(place), np.array([0.5, *W]), copied)
        np.testing.assert_allclose(found, part, rtol=1e-12)
