"""Which tape serves which parameters: paths through a function's branches, recorded when first met."""

from __future__ import annotations

import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tapegrad.backends.replay import Broken
from tapegrad.errors import BranchWarning, LongTapeWarning, RetraceWarning, TraceError, UnrolledWarning
from tapegrad.function.agreement import differing, sizes_of
from tapegrad.function.condensing import LongTrace
from tapegrad.function.derived import VALUE, Derived, Tapes
from tapegrad.function.lengths import Comparison
from tapegrad.function.long import LENGTHS
from tapegrad.function.paths import Path, PathTree, outcome_key
from tapegrad.function.record import data_value, plain_call, record
from tapegrad.function.running import Programs, Running
from tapegrad.function.seen import Taken
from tapegrad.function.told import check_told
from tapegrad.function.trials import Trial, copied
from tapegrad.function.witness import without_choices, witnessed
from tapegrad.nest import Structure, Vector, scan
from tapegrad.recording.frames import location
from tapegrad.tape.tape import Guard, Tape

RETRACES_BEFORE_WARNING = 20
SECONDS_BEFORE_WARNING = 1.0
LONG = 20_000
# How much longer than recording it takes to derive, print and compile: value, gradient, Hessian.
FIRST_CALLS = (10.0, 30.0, 60.0)
clock = time.perf_counter


class Router:
    """The paths of one function on given data.

    Attributes
    ----------
    current : Path
        The path of the latest evaluation.
    outputs : Structure
        What the function returns, on every path.
    retraces : int
        How often a path was traced after the first.
    """

    def __init__(
        self,
        f: Callable[..., Any],
        structure: Structure,
        data: Mapping[str, Any],
        vector: Vector,
        running: Running,
    ) -> None:
        self._f = f
        self._running = running
        self._structure = structure
        self.data = dict(data)
        self.retraces = 0
        self._spent = 0.0
        self._is_told = False
        self._tree = PathTree()
        self._lock = threading.RLock()
        self.current, self.outputs = self._record(vector)
        self._tree.insert(self.current)

    @property
    def running(self) -> Running:
        """How its tapes are run."""
        return self._running

    def with_data(self, data: Mapping[str, Any]) -> Router:
        """A router on other data, that knows the current path and has traced nothing by itself."""
        if self._running.long is not None:
            raise ValueError(
                "data in pieces cannot be replaced: trace anew, and give `fit` the function itself"
            )
        twin = object.__new__(Router)
        twin.__dict__.update(self.__dict__)
        twin.data = {**self.data, **data}
        twin.retraces = 0
        twin._spent = 0.0
        twin._tree = PathTree()
        twin._lock = threading.RLock()
        tape = self.current.tape
        values = {slot: data_value(tape, slot, twin.data) for slot in tape.data}
        twin.current = Path(self.current.programs, values, self.current.thin)
        twin._tree.insert(twin.current)
        return twin

    def path_at(self, vector: Vector) -> Path:
        """The path that `vector` takes."""
        return self.run(VALUE, vector, lambda outputs: None)[1]

    def run(
        self,
        kind: Derived,
        inputs: Vector,
        read: Callable[[Sequence[Any]], Any],
        directions: Iterable[Vector] | None = None,
    ) -> tuple[Any, Path]:
        """Run one of the executables of the path that `inputs` take; what was read, and the path.

        `inputs` begin with the parameters, which decide on the path.
        """
        path, is_new, is_compared = self.current, False, False
        is_taken = False  # whatever its guards say
        guard: Guard | None = None  # because of which there is a new path
        tried: set[int] = set()
        while True:
            start = clock() if is_new else 0.0
            executable = path.executable(kind)
            if is_new:
                self._spend(clock() - start, guard)
            news = None if path.seen is None or is_compared else path.seen.news
            result = executable.run(inputs, read, directions, check=not is_taken, news=news)
            if isinstance(result, Taken):
                path, is_new = self._compared(path, inputs[: self._structure.size].copy(), result)
                is_compared, is_taken = not is_new, is_new
                continue
            if not isinstance(result, Broken):
                self.current = path
                if path.thin is not None and kind is not VALUE:
                    _warn_of(path)
                return result, path
            outcomes = (*path.outcomes_until(result.place), outcome_key(result.value))
            known = self._tree.find(outcomes)
            # Two paths may see one guard at a tie differently: the second time round it is taken as is. But
            # paths with choices are found by some of their decisions only, and may be wrong ones.
            is_lost = known is not None and id(known) in tried and (known.seen or path.seen) is not None
            if known is None or is_lost:
                vector = inputs[: self._structure.size]
                guard = path.tape.guards[result.place]
                decided = [guard.outcome for guard in path.tape.guards[: result.place]] + [result.value]
                path, is_new = self._retrace(vector, None if is_lost else outcomes, guard, decided)
                # A trace itself decides at its own parameters, so the guards of a new path hold by
                # definition; on some of the rows it decides for those alone.
                is_taken = is_new and self._running.long is None
            else:
                path, is_new = known, id(known) in tried
                is_taken = is_new
            tried.add(id(path))

    def _compared(self, path: Path, vector: Vector, taken: Taken) -> tuple[Path, bool]:
        """The path with sides that no plain call has confirmed, if this one does; else a new path without."""
        assert path.seen is not None
        with self._lock:
            if not path.seen.is_void and self._agrees(path, vector, taken):
                return path, False
            for other in self._tree.paths():
                if other.seen is not None:
                    other.seen.is_void = True
            path.seen.is_void = True
            self._running = replace(self._running, loops=without_choices(self._running.loops))
            self._tree = PathTree()
            return self._retrace(vector, None, path.tape.guards[0])

    def _agrees(self, path: Path, vector: Vector, taken: Taken) -> bool:
        """Whether a path gives what a plain call gives; what is no number confirms nothing."""
        plain = plain_call(self._f, self._structure, vector, self.data)
        outputs, expected = scan(plain, "output", lambda node, label: np.asarray(node, dtype=np.float64))
        if outputs != self.outputs:
            return False
        values = path.executable(VALUE).run(vector, copied, check=False)
        place = differing(values, expected, lambda: sizes_of(path.tapes.short, vector, path.data.values()))
        if place is None and all(np.isfinite(value).all() for value in expected):
            assert path.seen is not None
            path.seen.confirm(taken)
        return place is None

    def _retrace(
        self,
        vector: Vector,
        outcomes: tuple[Hashable, ...] | None,
        guard: Guard,
        decided: Sequence[Any] = (),
    ) -> tuple[Path, bool]:
        """A path for these outcomes, or for what `vector` decides; and whether it was traced here.

        Another thread may have traced it just now. How the first decisions fall is `decided` by all rows,
        where the trace sees some of them.
        """
        with self._lock:
            known = None if outcomes is None else self._tree.find(outcomes)
            if known is not None:
                return known, False
            self.retraces += 1
            start = clock()
            path, outputs = self._record(vector, decided if self._running.long is not None else ())
            self._spend(clock() - start, guard, self.retraces % RETRACES_BEFORE_WARNING == 0)
            if outputs != self.outputs:
                raise TraceError(
                    f"{path.tape.name} returns {outputs.expected()} on this branch, and "
                    f"{self.outputs.expected()} on another: return the same structure and shapes on all"
                )
            self._tree.insert(path)
            return path, True

    def _spend(self, seconds: float, guard: Guard | None, is_due: bool = False) -> None:
        """Count the time that new paths take, and say so when it has come to a second."""
        before = self._spent
        self._spent += seconds
        if is_due or before < SECONDS_BEFORE_WARNING <= self._spent:
            times = "once" if self.retraces == 1 else f"{self.retraces} times"
            warnings.warn(
                f"{self.current.tape.name} has been traced again {times}, which took {self._spent:.1f} s, "
                f"because a branch keeps changing{location(guard.source if guard else None)}; np.where, "
                "np.maximum and np.clip decide without a new trace",
                RetraceWarning,
                stacklevel=6,
            )

    def _record(self, vector: Vector, decided: Sequence[Any] = ()) -> tuple[Path, Structure]:
        start = clock()
        witness = witnessed(self._f, self._structure, vector, self.data, self._running.loops, decided)
        tape, data, outputs, *_ = witness.recorded
        long = self._running.long
        twins: list[Tapes] = []
        bound: Mapping[int, Any] | None = None
        traced: LongTrace | None = None
        if long is not None:
            outcomes = [guard.outcome for guard in tape.guards]
            few = [long.sample(n, self.data) for n in LENGTHS[1:]]
            others = [record(self._f, self._structure, vector, each, outcomes).tape for each in few]
            # These say what is wrong before anything is derived.
            compared = Comparison([tape, *others], LENGTHS)
            # No pass multiplies now what depends on the number of rows with what does so in another way.
            tape, *others = [compared.rewritten(place) for place in range(len(LENGTHS))]
            check_told(self._f, self._structure, vector, self.data, compared, long.rows.length)
            data = dict(zip(tape.data, [*data.values(), float(LENGTHS[0])], strict=True))
            bound = long.values(tape)
            passes = self._running.passes
            twins = [
                Tapes(one, one, passes, Trial(one, {}, ()), rows=rows)
                for one, rows in zip(others, LENGTHS[1:], strict=True)
            ]
            if long.has_statistics:
                traced = LongTrace([tape, *others], bound, data, long.rows, witness.looks[-1].vector)
        short = witness.short if long is None else tape
        if not self._is_told:
            self._is_told = _tell(short, witness.recorded.unrolled, clock() - start)
        trial = Trial(short, data, witness.looks)
        rows = None if long is None else LENGTHS[0]
        tapes = Tapes(tape, short, self._running.passes, trial, twins, rows, traced)
        return Path(Programs(tapes, self._running), data, witness.thin, bound), outputs


def _warn_of(path: Path) -> None:
    """Warn once that a derivative belongs to a branch that holds at single points only."""
    assert path.thin is not None
    guard, path.thin = path.thin, None
    warnings.warn(
        f"{path.tape.name} is differentiated where a branch holds at single points, or nearly"
        f"{location(guard.source)}: the derivative is that of the branch, not of the function around it. "
        "Begin beside it, or choose with np.where",
        BranchWarning,
        stacklevel=5,
    )


def _tell(tape: Tape, unrolled: str | None, seconds: float) -> bool:
    """Say what makes a tape long, and what to expect, before it is derived; whether there was anything."""
    if unrolled is not None:
        warnings.warn(unrolled, UnrolledWarning, stacklevel=6)
    lines = Counter(entry.source for entry in tape.entries if tape.avals[entry.output].shape == ())
    if lines.total() > LONG:
        value, gradient, hessian = (factor * seconds for factor in FIRST_CALLS)
        warnings.warn(
            f"{tape.name} has {lines.total():,} steps on single numbers, most of them"
            f"{location(lines.most_common(1)[0][0])}. Recording them took {seconds:.1f} s; expect about "
            f"{value:.0f} s for the first value, {gradient:.0f} s for the first gradient and {hessian:.0f} s "
            "for the first Hessian. An operation on whole arrays is one step",
            LongTapeWarning,
            stacklevel=6,
        )
    return unrolled is not None or lines.total() > LONG
