"""Random programs over rows: pieces give what the rows give in one place, on every backend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import tapegrad as tg
from tapegrad.backends.c.compiler import compiler
from tapegrad.backends.programs import BACKENDS
from tapegrad.backends.replay import evaluate
from tapegrad.derive.pushforward import jacobian_by_columns
from tapegrad.passes import tidy
from tapegrad.pieces import shard
from tapegrad.pieces.combine import merged
from tapegrad.pieces.rows import LocalRows
from tapegrad.pieces.shard import resized
from tapegrad.plan.split import Part, split
from tapegrad.tape.verify import verify
from tests.row_programs import PROGRAM, Program, data, run

da = pytest.importorskip("dask.array")
dask = pytest.importorskip("dask")

N = 3_001
START = np.array([0.4, -0.3, 0.2])
POINTS = (START, np.array([0.9, 0.5, -0.6]))
pytestmark = [
    pytest.mark.filterwarnings("ignore::tapegrad.BranchWarning"),
    pytest.mark.filterwarnings("ignore::tapegrad.RetraceWarning"),
    pytest.mark.filterwarnings("ignore::tapegrad.UnusedParameterWarning"),
]
SETTINGS = settings(
    deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck), derandomize=True
)
few = settings(SETTINGS, max_examples=12)
many = settings(SETTINGS, max_examples=2_000, derandomize=False)
CUTS = st.lists(st.integers(0, N), min_size=1, max_size=5)
SEEDS = st.integers(0, 50)


def near(found: Any, expected: Any, what: str) -> None:
    """Equal to 1e-12 of the largest element, or of 1: nothing in the programs is larger than a few."""
    scale = max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12 * scale, err_msg=what)


def memory(program: Program, columns: Mapping[str, Any], backend: str = "replay") -> tg.TracedFunction:
    def f(b: Any, X: Any, y: Any, g: Any, m: Any) -> Any:
        return run(program, b, X, y, g, m)

    return tg.trace(f, dict(b=START), data=columns, backend=backend, sufficient_statistics=False)


# A split, run by hand ---------------------------------------------------------------------------------------


def evaluated(part: Part, values: Mapping[int, Any]) -> list[Any]:
    """What a part without rows gives."""
    found = evaluate(part.tape, flat(part, values), {})
    return [found[slot] for slot in part.tape.outputs]


def flat(part: Part, values: Mapping[int, Any]) -> Any:
    return np.concatenate([np.ravel(np.asarray(values[slot], dtype=float)) for slot in part.reads] or [[]])


def of_pieces(tape: tg.Tape, values: dict[int, Any], cuts: Sequence[int], backend: str) -> list[Any]:
    """The outputs of a tape, whose split is run on a backend for pieces with these ends."""
    found = split(tape, N)
    values = values | dict(tape.constants)
    for each in found.rounds:
        verify(each.shard.tape)
        values.update(zip(each.before.gives, evaluated(each.before, values), strict=True))
        parts = []
        for start, stop in zip([0, *cuts], [*cuts, N], strict=True):
            if stop > start:
                program = BACKENDS["replay" if each.is_exact else backend](
                    resized(each.shard.tape, N, stop - start), (), 1
                )
                columns = [
                    np.ascontiguousarray(np.moveaxis(np.moveaxis(v, k, 0)[start:stop], 0, k))
                    for v, k in ((values[slot], values[slot].shape.index(N)) for slot in each.shard.columns)
                ]
                workspace = program.workspace(dict(zip(program.tape.data, columns, strict=True)))
                workspace.run(flat(each.shard, values))
                parts.append([np.array(output) for output in workspace.outputs])
        values.update(zip(each.shard.gives, merged(parts, each.how, each.axes), strict=True))
    values.update(zip(found.after.gives, evaluated(found.after, values), strict=True))
    return [values[slot] for slot in tape.outputs]


def held_split(program: Program, cuts: Sequence[int], seed: int, backend: str) -> None:
    columns = data(N, seed)
    traced = memory(program, columns)
    tapes = traced._router.current.tapes
    second = tidy(jacobian_by_columns(tapes.gradient_alone))
    kinds = [("value", traced.tape), ("gradient", traced.grad_tape), ("second", second)]
    for kind, tape in kinds:
        values = dict(zip(tape.data, columns.values(), strict=True)) | {tape.parameters[0]: START}
        expected = evaluate(tape, START, {slot: values[slot] for slot in tape.data})
        for output, slot in zip(of_pieces(tape, values, sorted(cuts), backend), tape.outputs, strict=True):
            near(output, expected[slot], f"{kind} {program}")


@few
@given(PROGRAM, CUTS, SEEDS, st.sampled_from(["replay", "numpy"]))
def test_a_split_gives_what_the_tape_gives(program, cuts, seed, backend):
    held_split(program, cuts, seed, backend)


@pytest.mark.slow
@many
@given(PROGRAM, CUTS, SEEDS, st.sampled_from(["replay", "numpy"]))
def test_many_splits_give_what_their_tapes_give(program, cuts, seed, backend):
    held_split(program, cuts, seed, backend)


@pytest.mark.slow
@pytest.mark.skipif(compiler() is None, reason="there is no C compiler")
@settings(SETTINGS, max_examples=60, derandomize=False)
@given(PROGRAM, CUTS, SEEDS)
def test_a_split_gives_in_c_what_the_tape_gives(program, cuts, seed):
    held_split(program, cuts, seed, "c")


# Data in pieces ---------------------------------------------------------------------------------------------


def on_disk(columns: Mapping[str, Any], folder: Any) -> dict[str, Any]:
    found = {}
    for name, array in columns.items():
        np.save(folder / f"{name}.npy", array)
        found[name] = np.load(folder / f"{name}.npy", mmap_mode="r")
    return found


def in_chunks(columns: Mapping[str, Any], cuts: Sequence[int]) -> dict[str, Any]:
    ends = [0, *sorted(cuts), N]
    chunks = tuple(int(n) for n in np.diff(ends))
    return {name: da.from_array(array, chunks=(chunks, *array.shape[1:])) for name, array in columns.items()}


def held_pieces(
    program: Program, columns: Mapping[str, Any], pieces: Mapping[str, Any], backend: str
) -> None:
    """Value, gradient and Hessian of data in pieces against those of the arrays in memory."""
    whole = memory(program, columns)
    with pytest.MonkeyPatch.context() as patch, dask.config.set(scheduler="synchronous"):
        patch.setattr(shard, "UNIT", 128)  # so that programs are printed for pieces of these
        patch.setattr(LocalRows.__init__, "__defaults__", (1_100, None))
        cut = memory(program, pieces, backend)
        for point in POINTS:
            for ask in ("value_and_grad_flat", "hessian_flat"):
                found, expected = getattr(cut, ask)(point), getattr(whole, ask)(point)
                pairs = zip(found, expected, strict=True) if isinstance(found, tuple) else [(found, expected)]
                for one, other in pairs:
                    near(one, other, f"{ask} {program}")


@few
@given(PROGRAM, CUTS, SEEDS, st.sampled_from(["replay", "numpy"]))
def test_chunks_give_what_arrays_give(program, cuts, seed, backend):
    columns = data(N, seed)
    held_pieces(program, columns, in_chunks(columns, cuts), backend)


@few
@given(program=PROGRAM, seed=SEEDS)
def test_arrays_on_disk_give_what_arrays_give(tmp_path_factory, program, seed):
    columns = data(N, seed)
    held_pieces(program, columns, on_disk(columns, tmp_path_factory.mktemp("rows")), "numpy")


@pytest.mark.slow
@many
@given(PROGRAM, CUTS, SEEDS, st.sampled_from(["replay", "numpy"]))
def test_many_chunks_give_what_arrays_give(program, cuts, seed, backend):
    columns = data(N, seed)
    held_pieces(program, columns, in_chunks(columns, cuts), backend)
