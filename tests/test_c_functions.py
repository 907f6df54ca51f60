"""The special functions in C: against mpmath, and next to the kernels of the ops where both have a rule."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import c_coefficients
from benchmarks.c_functions import TABLE, Asked, caller, errors
from tapegrad.backends.c.compiler import compiler
from tapegrad.backends.c.forms import calls_of
from tapegrad.backends.c.program import CProgram
from tapegrad.backends.c.runtime import NAMES, declared, header, headers
from tapegrad.function.trace import trace_quietly
from tapegrad.ops import OPS
from tapegrad.ops.registry import Op, arity_of
from tapegrad.ops.scaled import gated_times_power, times_power
from tests.c_batches import outputs_of

needs_compiler = pytest.mark.skipif(compiler() is None, reason="no C compiler")


def _name(asked: Asked) -> str:
    return f"{asked.op} {asked.orders}"


@needs_compiler
@pytest.mark.parametrize("asked", TABLE, ids=_name)
def test_worst_errors_against_mpmath(asked: Asked) -> None:
    """A smaller version of ``python -m benchmarks.c_functions``."""
    ours, kernels, _ = errors(asked, 60)
    assert np.max(ours) <= asked.bound
    # No worse than the kernel over the same points, up to what 60 points leave to chance.
    assert np.max(ours) <= max(5.0 * np.max(kernels), 5e-15)


EDGES = np.array(
    [
        *(np.nan, np.inf, -np.inf, 0.0, -0.0, 5e-324, 1e-310, -1e-300, 1.7e308, -1.7e308, 1e155, 1e16),
        *(1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 3.0, 8.0, -2.5, 700.0, -700.0, 40.0, -40.0),
    ]
)
UNARY = [name for name, op in OPS.items() if "tg_" in op.c and op.is_elementwise and arity_of(op).stop == 2]


@needs_compiler
@pytest.mark.parametrize("name", UNARY)
def test_special_values_of_one_argument_are_those_of_the_kernel(name: str) -> None:
    op = OPS[name]
    # SciPy's gammaln is infinite at the smallest numbers, where it is about 745.
    at = EDGES[~((EDGES > 0.0) & (EDGES < 1e-300))] if name == "gammaln" else EDGES
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(caller(op.c, 1)(at), op.kernel(at), rtol=1e-12, atol=1e-307)


@needs_compiler
@pytest.mark.parametrize("asked", [asked for asked in TABLE if asked.orders], ids=_name)
def test_special_values_of_ops_of_an_order_are_those_of_the_kernel(asked: Asked) -> None:
    op = OPS[asked.op]
    count = arity_of(op).start - len(asked.orders)
    inside = {"gamma_rest": ~np.signbit(EDGES), "log1p_over": ~(EDGES < -1.0)}
    at: tuple[Any, ...] = (EDGES[inside[asked.op]] if asked.op in inside else EDGES,)
    # The functions of two arguments are those of counts, for x > 0 and a = 0, 1, 2, ...
    if count == 2:
        pairs = itertools.product((np.nan, 1e-300, 1.0, 3.0, 700.0, 1e16), (0.0, 1.0, 3.0, 1e9))
        at = tuple(np.array(list(pairs)).T)
    if count == 4:
        shapes = (0.0, 1.0, 2.0, 0.5, np.inf, np.nan, -1.0)
        a, b, x = np.array(list(itertools.product(shapes, shapes, (0.0, 1.0, 0.3, np.nan, -0.1, 1.1)))).T
        at = a, b, x, 1.0 - x
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours, kernels = caller(op.c, count, asked.orders)(*at), op.kernel(*asked.orders, *at)
    np.testing.assert_allclose(ours, kernels, rtol=1e-11, atol=1e-299)


@pytest.mark.parametrize("polynomial", c_coefficients.POLYNOMIALS, ids=lambda polynomial: polynomial.name)
def test_the_polynomials_are_those_that_are_written(polynomial: c_coefficients.Polynomial) -> None:
    assert "\n".join(c_coefficients._lines(polynomial)) in header("polynomials.h")


def test_every_function_that_an_op_calls_is_declared() -> None:
    ways = ("TG_FORM", "TG_EXACT", "TG_ALONE", "TG_EXACT_ALONE")
    called = {name for op in OPS.values() for name in calls_of(op.c) if name.startswith("tg_")}
    assert called <= declared(*ways)


def test_headers_stand_in_the_order_of_their_calls() -> None:
    known: set[str] = set()
    for name in NAMES:
        text = header(name)
        defined = set(re.findall(r"\b(tg_\w+)\([^;{}]*\) \{", text))
        called = {name for name in re.findall(r"\b(tg_\w+)\(", text) if "column" not in name}  # by macros
        assert called <= known | defined, name
        known |= defined


def test_a_wheel_has_the_headers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build = pytest.importorskip("hatchling.build")
    monkeypatch.chdir(Path(__file__).parent.parent)
    wheel = tmp_path / build.build_wheel(str(tmp_path))
    code = "from tapegrad.backends.c.runtime import NAMES, headers; print(len(headers(['tg_betaln('])))"
    asked = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(wheel)!r}); {code}"]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(asked, cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    assert int(done.stdout) == len(headers(["tg_betaln("]))


@needs_compiler
@pytest.mark.parametrize("op", [times_power, gated_times_power], ids=lambda op: op.name)
def test_products_with_powers_stay_in_range(op: Op) -> None:
    """Of every size, with zeros, infinities and NaN among them, against the kernel, element by element."""
    rng = np.random.default_rng(7)
    x, p = 10.0 ** rng.uniform(-200, 200, 400), rng.uniform(-3.0, 3.0, 400)
    factors = [rng.choice([-1.0, 1.0], 400) * 10.0 ** rng.uniform(-300, 300, 400) for _ in range(3)]
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 5e-324, 1.0, 2.0])
    for array in (x, p, *factors):
        places = rng.random(400) < 0.1
        array[places] = rng.choice(special, places.sum())
    with np.errstate(all="ignore"):
        power = np.power(x, p)
        arrays = (x, p, power, *factors)
        expected = np.array([op.kernel(*row) for row in zip(*arrays, strict=True)], dtype=float)
    traced = trace_quietly(lambda rows: op(*rows), [np.ones(400)] * len(arrays))
    for shortest in (10_000, 2):
        with np.errstate(all="ignore"):
            (found,) = outputs_of(CProgram(traced.tape, shortest=shortest), np.concatenate(arrays))
        np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-320)
