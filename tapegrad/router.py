"""Which tape serves which parameters: paths through a function's branches, recorded when first met."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any

from tapegrad import inspection
from tapegrad.backends.replay import Broken
from tapegrad.errors import BranchWarning, RetraceWarning, TraceError
from tapegrad.paths import Path, PathTree, Running, Tapes, outcome_key
from tapegrad.tape import Guard
from tapegrad.tracing.frames import location
from tapegrad.tracing.params import Structure, Vector
from tapegrad.trials import Trial
from tapegrad.verification import witnessed

RETRACES_BEFORE_WARNING = 20


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
        self._tree = PathTree()
        self._lock = threading.RLock()
        self.current, self.outputs = self._record(vector)
        self._tree.insert(self.current)

    def with_data(self, data: Mapping[str, Any]) -> Router:
        """A router on other data, that knows the current path and has traced nothing by itself."""
        twin = object.__new__(Router)
        twin.__dict__.update(self.__dict__)
        twin.data = {**self.data, **data}
        twin.retraces = 0
        twin._tree = PathTree()
        twin._lock = threading.RLock()
        tape = self.current.tape
        values = {slot: inspection.data_value(tape, slot, twin.data) for slot in tape.data}
        twin.current = Path(self.current.tapes, values, self.current.thin)
        twin._tree.insert(twin.current)
        return twin

    def path_at(self, vector: Vector) -> Path:
        """The path that `vector` takes."""
        return self.run("value", vector, lambda outputs: None)[1]

    def run(
        self,
        kind: str,
        inputs: Vector,
        read: Callable[[Sequence[Any]], Any],
        directions: Iterable[Vector] | None = None,
    ) -> tuple[Any, Path]:
        """Run one of the executables of the path that `inputs` take; what was read, and the path.

        `inputs` begin with the parameters, which decide on the path.
        """
        path, is_new = self.current, False
        tried: set[int] = set()
        while True:
            # A trace itself decides at its own parameters, so the guards of a new path hold by definition.
            result = path.executable(kind).run(inputs, read, directions, check=not is_new)
            if not isinstance(result, Broken):
                self.current = path
                if path.thin is not None and kind != "value":
                    _warn_of(path)
                return result, path
            outcomes = (*path.outcomes[: result.place], outcome_key(result.value))
            known = self._tree.find(outcomes)
            if known is None:
                vector = inputs[: self._structure.size]
                path, is_new = self._retrace(vector, outcomes, path.tape.guards[result.place])
            else:
                # Two paths may see one guard at a tie differently: the second time round it is taken as is.
                path, is_new = known, id(known) in tried
            tried.add(id(path))

    def _retrace(self, vector: Vector, outcomes: tuple[Hashable, ...], guard: Guard) -> tuple[Path, bool]:
        """A path for these outcomes, and whether it was traced here or by another thread just now."""
        with self._lock:
            known = self._tree.find(outcomes)
            if known is not None:
                return known, False
            self.retraces += 1
            if self.retraces % RETRACES_BEFORE_WARNING == 0:
                warnings.warn(
                    f"{self.current.tape.name} has been traced again {self.retraces} times, because a branch "
                    f"keeps changing{location(guard.source)}; np.where, np.maximum and np.clip decide "
                    "without a new trace",
                    RetraceWarning,
                    stacklevel=5,
                )
            path, outputs = self._record(vector)
            if outputs != self.outputs:
                raise TraceError(
                    f"{path.tape.name} returns {outputs.expected()} on this branch, and "
                    f"{self.outputs.expected()} on another: return the same structure and shapes on all"
                )
            self._tree.insert(path)
            return path, True

    def _record(self, vector: Vector) -> tuple[Path, Structure]:
        (tape, data, outputs, _), looks, thin = witnessed(self._f, self._structure, vector, self.data)
        return Path(Tapes(tape, self._running, Trial(data, looks)), data, thin), outputs


def _warn_of(path: Path) -> None:
    """Say once that a derivative is that of a branch which holds at single points."""
    assert path.thin is not None
    guard, path.thin = path.thin, None
    warnings.warn(
        f"{path.tape.name} is differentiated where a branch holds at single points, or nearly"
        f"{location(guard.source)}: the derivative is that of the branch, not of the function around it. "
        "Begin beside it, or choose with np.where",
        BranchWarning,
        stacklevel=5,
    )
