"""The flat face of a traced function: float64 vectors in and out, as optimisers and samplers want them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from tapegrad.backends.programs import AUTO
from tapegrad.function import jacobians, swept
from tapegrad.function.derived import CURVES, GRADIENT, HESSIAN, HVP, OUTER, ROUNDING, SECOND, VALUE, Derived
from tapegrad.function.long import LENGTHS
from tapegrad.function.router import Router
from tapegrad.nest import Leaf, Structure, Vector
from tapegrad.pieces.program import stay_where_they_are
from tapegrad.pieces.shard import resized_shape
from tapegrad.tape.tape import Tape


class FlatFunction:
    """A function recorded as a tape, of one flat vector of parameters.

    Nothing is converted here, and a NaN comes without a warning. `TracedFunction` adds parameters in their
    structure, calls in the form of the function's own, and warnings.

    Attributes
    ----------
    structure : Structure
        How the parameters are nested.
    """

    def __init__(self, structure: Structure, router: Router) -> None:
        self.structure = structure
        self._router = router

    @property
    def retraces(self) -> int:
        """How often the function was traced again because a branch changed."""
        return self._router.retraces

    @property
    def outputs(self) -> Structure:
        """The structure of what the function returns."""
        return self._router.outputs

    @property
    def names(self) -> tuple[str, ...]:
        """Labels of the elements of the flat parameter vector."""
        return self.structure.names

    @property
    def tape(self) -> Tape:
        """The tape of the current path, as recorded: immutable, printable, picklable."""
        return self._router.current.tape

    @property
    def short_tape(self) -> Tape:
        """The tape of the current path with its loops as array code; derivatives are made of it."""
        return self._router.current.tapes.short

    @property
    def grad_tape(self) -> Tape:
        """The tape of value and gradient on the current path, after the passes."""
        self.require_scalar("the gradient")
        return self._router.current.tapes[GRADIENT]

    @property
    def hessian_tape(self) -> Tape:
        """The tape of the Hessian on the current path, after the passes: one output of shape (p, p)."""
        self.require_scalar("the Hessian")
        return self._router.current.tapes[HESSIAN]

    def ravel(self, theta: Any) -> Vector:
        """Parameters as one flat vector in the order of `names`; errors say what was expected."""
        return self.structure.ravel(theta)

    def unravel(self, vector: Any) -> Any:
        """A flat vector in the structure of the parameters."""
        return self.structure.unravel(vector)

    # Value and derivatives ----------------------------------------------------------------------------------

    def value_flat(self, vector: Vector) -> float:
        """The value at a flat float64 vector, for optimisers: no conversions, and NaN without a warning."""
        self.require_scalar("value_flat")
        value: float = self._replay(VALUE, vector, _first_float)
        return value

    def value_and_grad_flat(self, vector: Vector) -> tuple[float, Vector]:
        """Value and flat gradient at a flat float64 vector, for optimisers; NaN comes without a warning."""
        self.require_scalar("the gradient")

        def read(outputs: Sequence[Any]) -> tuple[float, Vector]:
            return float(outputs[0]), self.structure.join(outputs[1:])

        result: tuple[float, Vector] = self._replay(GRADIENT, vector, read)
        return result

    def jacobian_flat(self, vector: Vector) -> Vector:
        """The Jacobian of all elements of the outputs at a flat float64 vector; NaN comes without a warning.

        It takes as few products as it can: by columns or by rows, whichever are fewer, or through the
        narrowest array in the middle.

        Parameters
        ----------
        vector : ndarray, shape (p,)
            The parameters, in the order of `names`.

        Returns
        -------
        ndarray, shape (m, p)
            A row for each element of the outputs, in the order of ``outputs.names``. A function of one number
            has one row.

        Examples
        --------
        >>> import numpy as np, tapegrad as tg
        >>> traced = tg.trace(lambda a, b: dict(ratio=a / b, square=b * b), dict(a=1, b=np.array([2.0, 4.0])))
        >>> traced.outputs.names
        ('ratio[0]', 'ratio[1]', 'square[0]', 'square[1]')
        >>> traced.jacobian_flat(np.array([1.0, 2.0, 4.0]))
        array([[ 0.5   , -0.25  ,  0.    ],
               [ 0.25  ,  0.    , -0.0625],
               [ 0.    ,  4.    ,  0.    ],
               [ 0.    ,  0.    ,  8.    ]])
        """
        path = self._router.path_at(vector)
        return jacobians.dense_jacobian(self._replays(vector), path, self.outputs, self.structure)

    def _sparse_jacobian(self, vector: Vector) -> Any:
        path = self._router.path_at(vector)
        return jacobians.sparse_jacobian(self._replays(vector), path, self.outputs, self.structure)

    def rounding_flat(self, vector: Vector) -> float:
        """By how much the value may be wrong if every entry on the tape rounds once; infinite where unknown.

        The rounding of an entry changes the result by its adjoint times the spacing of floats at its value;
        their sizes are added up. Points next to each other do not tell as much: they may round in the same
        way.
        """
        self.require_scalar("rounding")
        found: float = self._replay(ROUNDING, vector, _first_float)
        return found if np.isfinite(found) else np.inf

    def hvp_flat(self, vector: Vector, direction: Vector) -> Vector:
        """The Hessian at a flat float64 vector times another, for optimisers; NaN comes without a warning."""
        product: Vector = self._replay(HVP, vector, self.structure.join, [direction])[0]
        return product

    def hessian_flat(self, vector: Vector) -> Vector:
        """The exact Hessian at a flat float64 vector, for optimisers; NaN comes without a warning.

        With the backend "auto", the first few are found without a program, see `tapegrad.function.swept`.
        """
        found = self._swept(vector) if self._sweeps_first else None
        if found is not None:
            return found
        if self._router.current.tapes.has_cheap_hessian:
            return symmetric(self._replay(HESSIAN, vector, copies)[0])
        return self._by_columns(HVP, vector)

    @property
    def _sweeps_first(self) -> bool:
        """Whether the next Hessian may do without a program: not that of data in pieces."""
        running, tapes = self._router.running, self._router.current.tapes
        return running.backend == AUTO and running.long is None and not tapes.ledger.is_spent

    def _swept(self, vector: Vector) -> Vector | None:
        """The Hessian without a program; None where that does not pay, or the result is not finite.

        What is not finite is the program's to tell, as it is to explain.
        """
        path = self._router.current
        if path.tape.guards:
            _, path = self._router.run(GRADIENT, vector, _nothing)
        tapes = path.tapes
        if not tapes.ledger.sweeps():
            return None
        data = dict(zip(tapes.gradient_alone.data, path.data.values(), strict=True))
        found = symmetric(swept.hessian(tapes.gradient_alone, tapes.gates, vector, data))
        return found if np.isfinite(found).all() else None

    @property
    def has_quick_hessian(self) -> bool:
        """Whether a Hessian takes no longer than as many gradients as there are parameters.

        Not as long as it has no program, and would need none.
        """
        return not self._sweeps_first and self._router.current.tapes.has_quick_hessian

    def _sparse_hessian(self, vector: Vector) -> Any:
        return jacobians.sparse_hessian(self._replays(vector), self._router.path_at(vector))

    def _by_columns(self, kind: Derived, inputs: Vector) -> Vector:
        return symmetric(
            np.array(self._replay(kind, inputs, self.structure.join, np.eye(self.structure.size)))
        )

    def second_flat(self, vector: Vector, first: Vector, directions: Iterable[Vector]) -> Vector:
        """Second derivatives of the outputs along two directions; NaN comes without a warning.

        Parameters
        ----------
        vector : ndarray, shape (p,)
            The parameters, in the order of `names`.
        first : ndarray, shape (p,)
            One direction.
        directions : iterable of k ndarrays, shape (p,)
            The other one, each in its turn.

        Returns
        -------
        ndarray, shape (k, m)
            A row for each of `directions`: ``first' H_j direction`` with the Hessian of element j.

        Examples
        --------
        >>> import numpy as np, tapegrad as tg
        >>> traced = tg.trace(lambda b: np.array([1.0, 2.0]) * b[0] * b[1] ** 2, np.array([1.0, 3.0]))
        >>> traced.second_flat(np.array([1.0, 3.0]), np.array([0.0, 1.0]), np.eye(2))
        array([[ 6., 12.],
               [ 2.,  4.]])
        """
        inputs = np.concatenate([vector, first])
        return np.array(self._replay(SECOND, inputs, self.outputs.join, directions))

    def run(self, kind: Derived, inputs: Vector, directions: Iterable[Vector] | None = None) -> Any:
        """What the derived tape of one kind gives, and the tapes of the path that was taken.

        Parameters
        ----------
        kind : Derived
        inputs : ndarray
            The parameters, and after them what else the tape takes early, as one flat vector.
        directions : iterable of ndarray, optional
            What it takes late; the outputs then are a list with those for each.

        Returns
        -------
        outputs : list
        tapes : Tapes
        """
        outputs, path = self._router.run(kind, inputs, copies, directions)
        return outputs, path.tapes

    # Of data in pieces --------------------------------------------------------------------------------------

    @property
    def is_in_pieces(self) -> bool:
        """Whether the data are on disk or on a cluster: sums over them are computed there."""
        return self._router.running.long is not None

    @property
    def returns_rows(self) -> bool:
        """Whether the data are in pieces, and the function returns numbers for each row."""
        return self.is_in_pieces and any(LENGTHS[0] in leaf.shape for leaf in self.outputs.leaves)

    def require_sums(self) -> None:
        """Raise ValueError where it does."""
        long = self._router.running.long
        if long is not None and self.returns_rows:
            raise stay_where_they_are(self.tape.name, long.rows.length)

    def kept(self, kind: Derived, vector: Vector) -> list[Any]:
        """The outputs of a derived tape at the parameters of the trace, where the data are in pieces.

        Outputs that have a number for each row are arrays of Dask's where the data are, and have not been
        computed yet; of data on disk they are arrays in memory.
        """
        return self._router.current.kept(kind, vector)

    def of_each_row(
        self,
        vector: Vector,
        find: Callable[[Sequence[Any]], Any],
        merge: Callable[[Sequence[Any]], Any],
    ) -> Any:
        """What a function finds in slopes and second derivatives of data in pieces, where the rows are.

        Parameters
        ----------
        vector : ndarray, shape (p,)
        find : callable
            Takes a list of one array of shape (p + p p, m), for some of the rows: the slopes of each, and
            below them the second derivatives.
        merge : callable
            Makes one of what was found in several parts of the rows, in their order.
        """
        _, path = self._router.run(OUTER, vector, _nothing)
        return path.of_each(CURVES, vector, find, merge)

    def _replays(self, vector: Vector) -> jacobians.Replay:
        return partial(self._replay, vector=vector)

    def _replay(
        self,
        kind: Derived,
        vector: Vector,
        read: Callable[[Sequence[Any]], Any],
        directions: Iterable[Vector] | None = None,
    ) -> Any:
        return self._router.run(kind, vector, read, directions)[0]

    def require_scalar(self, what: str) -> None:
        """Raise ValueError where the function returns anything but one number, which `what` needs."""
        if not self.outputs.is_scalar:
            name, root = self.tape.name, self.outputs.root
            shape = root.shape if isinstance(root, Leaf) else ()
            if self._router.running.long is not None:
                shape = resized_shape(shape, LENGTHS[0], self._router.running.long.rows.length)
            returns = f"shape {shape}: end it with .sum()?" if isinstance(root, Leaf) else "several outputs"
            raise ValueError(f"{what} needs a scalar; {name} returns {returns}")


def symmetric(matrix: Vector) -> Vector:
    """Its symmetric part: the two halves of a Hessian differ in their last bits."""
    symmetric: Vector = 0.5 * (matrix + matrix.T)
    return symmetric


def _nothing(outputs: Sequence[Any]) -> None:
    """For who asks for the path alone."""


def _first_float(outputs: Sequence[Any]) -> float:
    return float(outputs[0])


def copies(outputs: Sequence[Any]) -> list[Any]:
    """Outputs of a program that its next run does not overwrite, numbers as floats."""
    return [output if type(output) is float else _copy(output) for output in outputs]


def _copy(output: Any) -> Any:
    return output.copy() if output.ndim else float(output)
