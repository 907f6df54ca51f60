"""What `trace` returns: a function that replays its tape, and re-traces when a branch changes."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tapegrad import inspection
from tapegrad.backends.replay import Array, Broken, Executable, adjoints, evaluate
from tapegrad.errors import NonFiniteWarning, RetraceWarning, UnusedParameterWarning
from tapegrad.paths import Path, PathTree, outcome_key
from tapegrad.recording import Recorded, check_against_plain, record
from tapegrad.tape import Guard, Tape
from tapegrad.tracing.params import Structure, Vector, argument_name, structure_of

RETRACES_BEFORE_WARNING = 20


class TracedFunction:
    """A function recorded as a tape; made by `trace`.

    Calling it replays the tape at other parameters. Guards are checked on every replay: where the function's
    branches go another way, a tape recorded earlier for that way is used, or the function is traced again.
    One traced function may be called from many threads at once.

    Attributes
    ----------
    names : tuple of str
        Labels of the elements of the flat parameter vector: ``mu``, ``beta[2]``.
    retraces : int
        How often the function was traced again because a branch changed.
    """

    def __init__(self, f: Callable[..., Any], structure: Structure, data: Mapping[str, Any]) -> None:
        self.f = f
        self.structure = structure
        self.data = dict(data)
        self.retraces = 0
        self._tree = PathTree()
        self._lock = threading.RLock()
        self._current: Path

    @property
    def names(self) -> tuple[str, ...]:
        """Labels of the elements of the flat parameter vector."""
        return self.structure.names

    @property
    def tape(self) -> Tape:
        """The tape of the current path, as recorded: immutable, printable, picklable."""
        return self._current.tape

    @property
    def grad_tape(self) -> Tape:
        """The tape of value and gradient on the current path, after the passes."""
        self._require_scalar("the gradient")
        return self._current.gradient_tape

    @property
    def nobs(self) -> int | None:
        """The number of observations, if all named data arrays agree on their first axis; else None."""
        return inspection.common_length(self.tape)

    def __str__(self) -> str:
        return str(self.tape)

    def __repr__(self) -> str:
        return (
            f"<TracedFunction {self.tape.name}({', '.join(self.names[:6])}{', ...' * (len(self.names) > 6)})>"
        )

    # Parameters ---------------------------------------------------------------------------------------------

    def ravel(self, theta: Any) -> Vector:
        """Parameters as one flat vector in the order of `names`; errors say what was expected."""
        return self.structure.ravel(theta)

    def unravel(self, vector: Any) -> Any:
        """A flat vector in the structure of the parameters."""
        return self.structure.unravel(vector)

    # Evaluation ---------------------------------------------------------------------------------------------

    def __call__(self, theta: Any) -> Any:
        """The value at `theta`: a float, or an array where the function returns one.

        Parameters
        ----------
        theta : structure or array_like, shape (p,)
            Parameters in the structure given to `trace`, or as one flat vector.

        Warns
        -----
        NonFiniteWarning
            If the value is NaN; the message names the entry where the first NaN arose.
        """
        vector = self.ravel(theta)
        value = self._replay("value", vector, _read_value)
        if np.isnan(value).any():
            self._warn_nan("the value", vector)
        return value

    def grad(self, theta: Any) -> Any:
        """The gradient at `theta`, in the structure of the parameters.

        Raises
        ------
        ValueError
            If the function's value is not a scalar.
        """
        return self.value_and_grad(theta)[1]

    def value_and_grad(self, theta: Any) -> tuple[float, Any]:
        """Value and gradient in one replay; the gradient in the structure of the parameters."""
        vector = self.ravel(theta)
        value, gradient = self.value_and_grad_flat(vector)
        if np.isnan(value) or np.isnan(gradient).any():
            self._warn_nan("the value" if np.isnan(value) else "the gradient", vector)
        return value, self.unravel(gradient)

    def value_flat(self, vector: Vector) -> float:
        """The value at a flat float64 vector, for optimisers: no conversions, and NaN without a warning."""
        self._require_scalar("value_flat")
        value: float = self._replay("value", vector, _read_value)
        return value

    def value_and_grad_flat(self, vector: Vector) -> tuple[float, Vector]:
        """Value and flat gradient at a flat float64 vector, for optimisers; NaN comes without a warning."""
        self._require_scalar("the gradient")
        result: tuple[float, Vector] = self._replay("gradient", vector, self._read_gradient)
        return result

    def hessian(self, theta: Any) -> Vector:
        """The exact Hessian at `theta`, shape (p, p), in the order of `names`."""
        self._require_scalar("the Hessian")
        vector = self.ravel(theta)
        p = self.structure.size
        hessian = np.empty((p, p))
        for i in range(p):
            direction = np.zeros(p)
            direction[i] = 1.0
            hessian[i] = self._replay("hessian_product", vector, self._read_flat, direction)
        return 0.5 * (hessian + hessian.T)

    def values(self, theta: Any) -> inspection.Values:
        """Every slot's value and adjoint at `theta`, entry by entry: for reading, not for speed.

        The adjoint of a slot is the derivative of the result with respect to it; None where the result does
        not depend on it, or is not a scalar.
        """
        vector = self.ravel(theta)
        self._replay("value", vector, _read_value)  # settles which path theta is on
        tape = self._current.tape
        values = evaluate(tape, vector, self._current.data)
        return inspection.Values(tape, values, adjoints(tape, values) if self._is_scalar() else {})

    def with_data(self, **data: Any) -> TracedFunction:
        """The same function on other data, without a new trace as long as its guards hold.

        Parameters
        ----------
        **data : array_like
            New values for some of the arrays given as `data` to `trace`, of the same shapes.
        """
        unknown = sorted(set(data) - set(self.data))
        if unknown:
            raise ValueError(f"{unknown} is not data of this function; its data are {sorted(self.data)}")
        twin = TracedFunction(self.f, self.structure, {**self.data, **data})
        slots = {slot: inspection.data_value(self.tape, slot, twin.data) for slot in self.tape.data}
        with self._lock:
            twin._adopt(self._current.with_data(slots))
        return twin

    # Paths --------------------------------------------------------------------------------------------------

    def _replay(
        self, kind: str, vector: Vector, read: Callable[[list[Array]], Any], direction: Vector | None = None
    ) -> Any:
        path = self._current
        inputs = vector if direction is None else np.concatenate([vector, direction])
        while True:
            executable: Executable = getattr(path, kind)
            result = executable.run(inputs, read)
            if not isinstance(result, Broken):
                self._current = path
                return result
            prefix = (*path.outcomes[: result.place], outcome_key(result.value))
            known = self._tree.find(prefix)
            if known is None:
                path = self._retrace(vector, path.tape.guards[result.place])
                # The trace itself decided at these parameters: its guards hold by definition.
                return getattr(path, kind).run(inputs, read, check=False)
            path = known

    def _retrace(self, vector: Vector, guard: Guard) -> Path:
        with self._lock:
            self.retraces += 1
            if self.retraces % RETRACES_BEFORE_WARNING == 0:
                line = (
                    ""
                    if guard.source is None
                    else f" at {guard.source.file}:{guard.source.line}: `{guard.source.text}`"
                )
                warnings.warn(
                    f"{self.tape.name} has been traced again {self.retraces} times, because a branch keeps "
                    f"changing{line}; np.where, np.maximum or np.clip decide without a new trace",
                    RetraceWarning,
                    stacklevel=4,
                )
            return self._record(vector)

    def _record(self, vector: Vector) -> Path:
        recorded: Recorded = record(self.f, self.structure, vector, self.data)
        path = Path(recorded.tape, recorded.data)
        value = evaluate(recorded.tape, vector, recorded.data)[recorded.tape.outputs[0]]
        check_against_plain(self.f, self.structure, vector, self.data, recorded, value)
        self._adopt(path)
        return path

    def _adopt(self, path: Path) -> None:
        self._tree.insert(path)
        self._current = path

    # Reading ------------------------------------------------------------------------------------------------

    def _read_gradient(self, outputs: list[Array]) -> tuple[float, Vector]:
        return float(outputs[0]), self._read_flat(outputs[1:])

    def _read_flat(self, outputs: list[Array]) -> Vector:
        flat = np.empty(self.structure.size)
        for leaf, output in zip(self.structure.leaves, outputs, strict=True):
            flat[leaf.place] = output if output.ndim < 2 else output.ravel()
        return flat

    def _is_scalar(self) -> bool:
        tape = self._current.tape
        return tape.avals[tape.outputs[0]].shape == ()

    def _require_scalar(self, what: str) -> None:
        if not self._is_scalar():
            tape = self._current.tape
            shape = tape.avals[tape.outputs[0]].shape
            raise ValueError(f"{what} needs a scalar; {tape.name} returns shape {shape}: end it with .sum()?")

    def _warn_nan(self, what: str, vector: Vector) -> None:
        tape = self._current.tape
        values = evaluate(tape, vector, self._current.data)
        where = inspection.first_nan(tape, values)
        warnings.warn(f"{what} of {tape.name} is NaN: {where}", NonFiniteWarning, stacklevel=3)


def _read_value(outputs: list[Array]) -> Any:
    return float(outputs[0]) if outputs[0].ndim == 0 else outputs[0].copy()


def trace(f: Callable[..., Any], params: Any, *, data: Mapping[str, Any] | None = None) -> TracedFunction:
    """Record a function once as a tape, to replay its value and derivatives.

    Parameters
    ----------
    f : callable
        A plain NumPy function of the parameters. It is called twice: on tracers, and plainly, to compare.
    params : float, array_like, or nest of lists, tuples and dicts of them
        Start values. A dict is passed to `f` as keyword arguments, anything else as one argument. All
        numbers are taken as float64.
    data : mapping of str to array_like, optional
        Arrays passed to `f` as further keyword arguments, which `with_data` can replace without a new
        trace. Arrays that `f` finds by itself (closures, globals) are copied and frozen when it is traced.

    Returns
    -------
    TracedFunction

    Raises
    ------
    TraceError
        If a step of `f` cannot be recorded; the message names the line and what to write instead.
    ReplayError
        If the tape does not reproduce `f`: it draws random numbers, or writes through a view.
    ValueError, TypeError
        If `params` is empty, not finite, or not made of numbers.

    Warns
    -----
    UnusedParameterWarning
        If the result does not depend on a parameter, and no branch was taken on one.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> x = np.array([1.0, 2.0, 4.0])
    >>> tape = tg.trace(lambda rate: (np.log(rate) - rate * x).sum(), dict(rate=1.0))
    >>> tape(dict(rate=0.5))
    -5.579441541679836
    >>> tape.grad(dict(rate=0.5))
    {'rate': -1.0}
    """
    structure, vector = structure_of(params, argument_name(f))
    traced = TracedFunction(f, structure, data or {})
    path = traced._record(vector)
    unused = inspection.unused_parameters(path.tape)
    if unused and not path.tape.guards:
        labels = ", ".join(structure.leaves[i].label for i in unused)
        warnings.warn(
            f"the result of {path.tape.name} does not depend on {labels}: its gradient there is zero",
            UnusedParameterWarning,
            stacklevel=2,
        )
    return traced
