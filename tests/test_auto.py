"""The backend "auto": NumPy first, then C once compiling pays; counted, never timed."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import tapegrad as tg
from tapegrad.backends import effort
from tapegrad.backends.c import backend as c
from tapegrad.backends.c import compiler as found
from tapegrad.backends.c.commands import CompilationFailed
from tapegrad.backends.c.compiler import compiler
from tapegrad.backends.c.program import CProgram
from tapegrad.backends.effort import Meter
from tapegrad.backends.numpy.compiled import Compiled
from tapegrad.function import running
from tapegrad.function.derived import GRADIENT, HVP

needs_compiler = pytest.mark.skipif(compiler() is None, reason="needs a C compiler")
X = np.random.default_rng(5).normal(1.0, 2.0, 400)
START = dict(mu=0.5, log_sigma=0.2)


def loglik(mu: Any, log_sigma: Any) -> Any:
    z = (X - mu) / np.exp(log_sigma)
    return (-1.5 * np.log1p(z * z / 2.0) - log_sigma).sum()


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiling costs little: it pays after some ten runs of these models."""
    monkeypatch.setattr(effort, "PROGRAM", 5e4)
    monkeypatch.setattr(effort, "LINE", 10.0)


def traced(function: Callable[..., Any] = loglik, **given: Any) -> tg.TracedFunction:
    return tg.trace(function, START, backend="auto", sufficient_statistics=False, **given)


def program(f: tg.TracedFunction) -> Any:
    return f._router.current.programs[GRADIENT]


def turn(f: tg.TracedFunction, most: int = 200) -> int:
    """Run value and gradient until C has taken over; after how many runs."""
    for run in range(most):
        f.value_and_grad(START)
        if isinstance(program(f), CProgram):
            return run
    return most


# When it turns ----------------------------------------------------------------------------------------------


@needs_compiler
@pytest.mark.usefixtures("cheap")
def test_numpy_first_and_then_c() -> None:
    f, g = traced(), tg.trace(loglik, START, backend="numpy", sufficient_statistics=False)
    expected = g.value_and_grad(START)
    assert f.value_and_grad(START) == expected
    assert isinstance(program(f), Compiled)
    assert "def bind" in f.source()
    before = str(f.plan)
    runs = turn(f)
    assert 2 < runs < 100
    assert "piece0" in f.source()
    assert str(f.plan) != before
    value, gradient = f.value_and_grad(START)
    assert_allclose(value, expected[0], rtol=1e-13)
    assert_allclose(f.ravel(gradient), f.ravel(expected[1]), rtol=1e-12)


@needs_compiler
@pytest.mark.usefixtures("cheap")
def test_it_turns_after_the_same_number_of_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    first = turn(traced())
    for name in ("time", "perf_counter", "monotonic", "process_time"):
        clock = getattr(time, name)
        monkeypatch.setattr(time, name, lambda clock=clock: 1e3 * clock())
    assert [turn(traced()) for _ in range(2)] == [first, first]


def test_small_models_stay_with_numpy_for_a_fit() -> None:
    f = traced()
    f.value_and_grad(START)
    (meter,) = f._router.current.programs._meters.values()
    assert 5_000 < meter.left < 500_000


@needs_compiler
@pytest.mark.usefixtures("cheap")
def test_all_data_count_together() -> None:
    def on(mu: Any, log_sigma: Any, x: Any) -> Any:
        z = (x - mu) / np.exp(log_sigma)
        return (-1.5 * np.log1p(z * z / 2.0) - log_sigma).sum()

    f = traced(on, data=dict(x=X))
    alone = turn(traced(on, data=dict(x=X)))
    for i in range(alone + 1):
        twin = f.with_data(x=X + i)
        value, _ = twin.value_and_grad(START)
    assert isinstance(program(twin), CProgram)
    assert_allclose(value, on(**START, x=X + alone), rtol=1e-13)
    assert f.value_and_grad(START)[0] == pytest.approx(loglik(**START), rel=1e-13)


@needs_compiler
def test_long_source_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effort, "PROGRAM", 1e4)
    monkeypatch.setattr(effort, "LINE", 10.0)
    soon = turn(traced())
    monkeypatch.setattr(effort, "LINE", 400.0)  # so that it makes a difference how long the source is
    f = traced()
    f.value_and_grad(START)
    (meter,) = f._router.current.programs._meters.values()
    guessed = meter.left + 1
    assert turn(f) > guessed > soon


def test_meters_count_what_has_a_form_in_c() -> None:
    def left(f: tg.TracedFunction) -> int:
        f.value_and_grad(START)
        return next(iter(f._router.current.programs._meters.values())).left

    rows = left(traced())
    longer = left(
        tg.trace(lambda mu, log_sigma: sum_over(np.tile(X, 50), mu, log_sigma), START, backend="auto")
    )
    assert longer < rows / 5

    def recursion(mu: Any, log_sigma: Any) -> Any:
        h, ll = 1.0, 0.0
        for x in X:
            h = 0.1 + np.exp(log_sigma) * h / (1.0 + h)
            ll = ll - 0.5 * (np.log(h) + (x - mu) ** 2 / h)
        return ll

    assert left(traced(recursion)) < rows


def sum_over(x: Any, mu: Any, log_sigma: Any) -> Any:
    return (-1.5 * np.log1p(((x - mu) / np.exp(log_sigma)) ** 2) - log_sigma).sum()


def test_a_meter_counts_directions() -> None:
    f = traced()
    f.hvp_flat(f.ravel(START), np.ones(2))
    meter = f._router.current.programs._meters[HVP]
    before = meter.left
    f._replay(HVP, f.ravel(START), tuple, np.eye(2))
    assert before - meter.left == 3
    assert isinstance(meter, Meter)


# What goes through it ---------------------------------------------------------------------------------------


@needs_compiler
@pytest.mark.usefixtures("cheap")
def test_a_turn_in_the_middle_of_a_fit_does_not_change_it(monkeypatch: pytest.MonkeyPatch) -> None:
    turned = []
    monkeypatch.setattr(running, "compiles", lambda one: turned.append(one) or c.compiles(one))
    one = tg.fit(traced(), START)
    assert turned
    other = tg.fit(tg.trace(loglik, START, backend="numpy", sufficient_statistics=False), START)
    assert_allclose(one.x, other.x, rtol=1e-7)
    assert_allclose(one.llf, other.llf, rtol=1e-13)
    assert_allclose(one.bse, other.bse, rtol=1e-6)


@needs_compiler
@pytest.mark.usefixtures("cheap")
def test_derivatives_of_every_order() -> None:
    f, g = traced(), tg.trace(loglik, START, backend="replay", sufficient_statistics=False)
    v = np.array([0.3, -0.7])
    for _ in range(40):
        found = [f(START), f.hessian(START), f.third(START, v), f.ravel(f.hvp(START, v)), f.jvp(START, v)]
        found.append(f.ravel(f.vjp(START, 2.0)))
        assert_allclose(f.hessian_flat(f.ravel(START)), found[1], rtol=1e-12)
    expected = [g(START), g.hessian(START), g.third(START, v), g.ravel(g.hvp(START, v)), g.jvp(START, v)]
    expected.append(g.ravel(g.vjp(START, 2.0)))
    for one, other in zip(found, expected, strict=True):
        assert_allclose(one, other, rtol=1e-11)
    programs = f._router.current.programs._made.values()
    assert any(isinstance(one, CProgram) for one in programs)


@needs_compiler
@pytest.mark.usefixtures("cheap")
def test_branches() -> None:
    def huber(mu: Any, log_sigma: Any) -> Any:
        r = abs(X - mu).sum() / np.exp(log_sigma)
        return -0.5 * r**2 if r < 600.0 else -r

    f = traced(huber)
    for _ in range(60):
        for mu in (0.5, 4.0):
            here = START | dict(mu=mu)
            assert f(here) == pytest.approx(huber(**here), rel=1e-13)
            f.value_and_grad(here)
    assert f.retraces == 1


@needs_compiler
@pytest.mark.usefixtures("cheap")
def test_many_threads() -> None:
    f = traced()
    points = [START | dict(mu=0.01 * i) for i in range(400)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(f, points))
        gradients = list(pool.map(f.value_and_grad, points))
    assert_allclose(found, [loglik(**point) for point in points], rtol=1e-13)
    assert_allclose([value for value, _ in gradients], found, rtol=1e-13)
    assert isinstance(program(f), CProgram)


# Where C is not there, or is wrong --------------------------------------------------------------------------


@pytest.mark.usefixtures("cheap")
def test_without_a_compiler_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "compiler", lambda: None)
    f = traced()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(100):
            f.value_and_grad(START)
    assert isinstance(program(f), Compiled)
    assert f._router.current.programs._meters == {}


@needs_compiler
@pytest.mark.usefixtures("cheap")
def test_a_failed_compilation_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: Any) -> Any:
        raise CompilationFailed("internal error: too tired")

    monkeypatch.setattr(CProgram, "library", property(fails))
    monkeypatch.setattr(c, "_told", set())
    f = traced()
    with pytest.warns(tg.CompilationWarning, match="too tired") as caught:
        turn(f, 100)
    assert len(caught) == 1
    for _ in range(100):
        f.hessian(START)
    assert isinstance(program(f), Compiled)


@needs_compiler
@pytest.mark.usefixtures("cheap")
def test_a_program_that_computes_something_else_never_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    class Spoilt(CProgram):
        @property
        def source(self) -> str:
            assert "log1p(" in super().source
            return super().source.replace("log1p(", "log1p(1e-6 + ")

    monkeypatch.setattr(running, "CProgram", Spoilt)
    f = traced()
    with pytest.raises(tg.ReplayError, match=r"loses digits: its gradient is .* by NumPy"):
        turn(f)


def test_the_names_of_backends_are_told() -> None:
    with pytest.raises(ValueError, match="no backend 'fortran': choose one of auto, numpy"):
        tg.trace(loglik, START, backend="fortran")
    assert found.reason()


@pytest.mark.parametrize("backend", ["replay", "numpy", "auto"])
def test_a_fit_runs_what_was_chosen(backend: str) -> None:
    def rows(mu: Any, sigma: Any) -> Any:
        return -1.5 * np.log1p(((X - mu) / sigma) ** 2 / 2.0) - np.log(sigma)

    f = tg.trace(rows, dict(mu=0.5, sigma=1.2), backend=backend, threads=2)
    result = tg.fit(f, dict(mu=0.5, sigma=1.2), transforms=dict(sigma=tg.mle.transforms.positive))
    used = result.require_model("a test").function
    assert (used.backend, used.threads) == (backend, 2)
