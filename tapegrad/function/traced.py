"""Traced functions: they replay tapes, and trace again when a branch changes."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from tapegrad.backends.programs import Program
from tapegrad.backends.replay import adjoints, evaluate
from tapegrad.derive.inline import inline
from tapegrad.errors import TraceError
from tapegrad.function import counting, jacobians
from tapegrad.function.calling import Calling
from tapegrad.function.derived import GRADIENT, HESSIAN, HVP, JACOBIAN, JVP, THIRD, VALUE, VJP, Derived
from tapegrad.function.direct import direct
from tapegrad.function.explanation import Explanation
from tapegrad.function.flat import FlatFunction, copies
from tapegrad.function.inspection import Values
from tapegrad.function.long import LENGTHS
from tapegrad.function.nonfinite import explained, has_nan, warn_nan, warn_nan_matrix
from tapegrad.function.router import Router
from tapegrad.function.showing import shown
from tapegrad.nest import Structure, Vector, has_traced
from tapegrad.ops.registry import Recordable
from tapegrad.ops.shaping import transpose_
from tapegrad.plan.stages import Plan
from tapegrad.viewer.page import Page


class TracedFunction(FlatFunction):
    """A function recorded as a tape; made by `trace`.

    Calling it replays the tape at other parameters. Guards are checked on every replay: where the function's
    branches go another way, a tape recorded earlier for that way is used, or the function is traced again.
    One traced function may be called from many threads at once.

    It has the signature of the function that was traced. With parameters `mu` and `ls` in a dict, call it as
    ``traced(dict(mu=5.0, ls=0.0))``, ``traced([5.0, 0.0])``, ``traced(5.0, 0.0)`` or
    ``traced(mu=5.0, ls=0.0)``.

    Attributes
    ----------
    structure : Structure
        How the parameters are nested.
    made : dict
        Further functions that have been traced through this one, on its data, under keys of those who did:
        fits keep those of their free coordinates.
    """

    def __init__(self, structure: Structure, router: Router, calling: Calling) -> None:
        super().__init__(structure, router)
        self.made: dict[Hashable, TracedFunction] = {}
        self._calling = calling
        if calling.signature is not None:
            self.__signature__ = calling.signature

    @property
    def plan(self) -> Plan:
        """How value and gradient are run on the current path; the value alone, if it is not a scalar."""
        return self._program.plan

    def source(self) -> str:
        """The code that is run for them, or a word on why there is none.

        Of data in pieces, what is kept of all rows comes first, and for each pass over them what is computed
        of the data once, and what for each replay.
        """
        return f"{self._router.current.tapes.kept}{self._program.source}"

    @property
    def _program(self) -> Program:
        return self._router.current.programs[GRADIENT if self.outputs.is_scalar else VALUE]

    @property
    def backend(self) -> str:
        """The backend that was asked for."""
        return self._router.running.backend

    @property
    def threads(self) -> int:
        """The threads that may share the blocks of a row loop."""
        return self._router.running.threads

    @property
    def nobs(self) -> int | None:
        """The number of observations, or None where it is not known.

        It is the number of rows returned, that of the rows of `data`, if all agree, or that of the rows that
        the sums at the end of the tape run over.
        """
        counted, long = counting.observations(self.tape), self._router.running.long
        return counted if long is None or counted != LENGTHS[0] else long.rows.length

    def __str__(self) -> str:
        return str(self.tape)

    def __repr__(self) -> str:
        return (
            f"<TracedFunction {self.tape.name}({', '.join(self.names[:6])}{', ...' * (len(self.names) > 6)})>"
        )

    def _repr_html_(self) -> str:
        return self.tape._repr_html_()

    # Evaluation ---------------------------------------------------------------------------------------------

    def __call__(self, *args: Any, **named: Any) -> Any:
        """The value: a float or an array, or a nest of them where the function returns one.

        Parameters
        ----------
        *args, **named
            The parameters in one piece, in the structure given to `trace` or as one flat vector (p,); or,
            where they are a dict, one by one as the function itself takes them, by position or by keyword.
            Inside another function under trace they may be traced; this holds for every derivative, too.

        Warns
        -----
        NonFiniteWarning
            If the value is NaN; the message names the entry where the first NaN arose.
        """
        theta = args[0] if len(args) == 1 and not named else self._calling.theta(args, named)
        vector = self._vector(theta)
        if vector is None:
            return self.outputs.build(self._inline(VALUE, theta))
        values = self._replay(VALUE, vector, copies)
        if any(map(has_nan, values)):
            warn_nan("the value", self._router.current, vector, 2)
        return self.outputs.build(values)

    def grad(self, *args: Any, **named: Any) -> Any:
        """The gradient, in the structure of the parameters.

        Where these are a dict and given by position, it is a tuple in the order of the arguments.

        Raises
        ------
        ValueError
            If the function's value is not a scalar.
        """
        return self._value_and_grad(args, named)[1]

    def value_and_grad(self, *args: Any, **named: Any) -> tuple[Any, Any]:
        """Value and gradient in one replay, as `grad` gives it."""
        short = self._router.current.direct
        if short is not None and len(args) == 1 and not named and type(args[0]) is dict:
            found = short(args[0])
            if found is not None:
                return found
        return self._value_and_grad(args, named)

    def _value_and_grad(self, args: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, Any]:
        if len(args) == 1 and not named and type(args[0]) in (dict, np.ndarray):
            return self._at(args[0])
        value, gradient = self._at(self._calling.theta(args, named))
        if self._calling.by_position(args, named):
            gradient = tuple(gradient[name] for name in self._calling.arguments)
        return value, gradient

    def _at(self, theta: Any) -> tuple[Any, Any]:
        self.require_scalar("the gradient")
        vector = self._vector(theta)
        if vector is None:
            value, *gradients = self._inline(GRADIENT, theta)
            return value, self.structure.build(gradients)
        (value, *gradients), path = self._router.run(GRADIENT, vector, copies)
        if path.direct is None and path.seen is None and path.thin is None and self.structure.keys:
            path.direct = direct(self.structure, path.executable(GRADIENT))
        if value != value or any(map(has_nan, gradients)):
            warn_nan("the value" if value != value else "the gradient", self._router.current, vector, 4)
        return value, self.structure.build(gradients)

    # Further derivatives ------------------------------------------------------------------------------------

    def jvp(self, theta: Any, v: Any) -> Any:
        """The directional derivative along `v`, in the structure of the outputs.

        Parameters
        ----------
        theta, v : structure or array_like, shape (p,)
            Parameters, and a direction in the same structure.
        """
        vector, direction = self._vector(theta), self._vector(v)
        if vector is None or direction is None:
            further = self.structure.operands(v)
            return self.outputs.build(self._inline(JVP, theta, further))
        (flat,) = self._replay(JVP, vector, self.outputs.join, [direction])
        if has_nan(flat):
            warn_nan("the derivative", self._router.current, vector, 2, JVP, direction)
        return self.outputs.unravel(flat)

    def vjp(self, theta: Any, w: Any) -> Any:
        """The vector-Jacobian product with `w`, in the structure of the parameters.

        Parameters
        ----------
        theta : structure or array_like, shape (p,)
        w : structure or array_like, a cotangent in the structure of the outputs, or of all their elements
        """
        vector = self._vector(theta)
        if vector is None or has_traced(w):
            further = self.outputs.operands(w)
            return self.structure.build(self._inline(VJP, theta, further))
        self.require_sums()
        cotangent = self.outputs.ravel(w)
        (flat,) = self._replay(VJP, vector, self.structure.join, [cotangent])
        if has_nan(flat):
            warn_nan("the derivative", self._router.current, vector, 2, VJP, cotangent)
        return self.unravel(flat)

    def jacobian(self, theta: Any, *, sparse: bool = False) -> Any:
        """The Jacobian at `theta`.

        Parameters
        ----------
        theta : structure or array_like, shape (p,)
        sparse : bool
            Give one `scipy.sparse.csc_array` of shape (m, p) instead, all outputs' elements by all
            parameters', computed with as many products as its pattern needs colours.

        Returns
        -------
        structure
            In the structure of the parameters, one array of shape ``output + leaf`` per leaf. A function with
            several outputs gives such a structure for each of them, in their structure.
        """
        vector = self._vector(theta)
        if vector is None:
            (columns,) = self._inline(JACOBIAN, theta)
            return jacobians.split(transpose_(columns), self.outputs, self.structure)
        find = self._sparse_jacobian if sparse else self.jacobian_flat
        matrix = find(vector)
        warn_nan_matrix("the Jacobian", self._router.current, vector, matrix, JVP)
        return matrix if sparse else jacobians.split(matrix, self.outputs, self.structure)

    def hvp(self, theta: Any, v: Any) -> Any:
        """The Hessian at `theta` times `v`, in the structure of the parameters."""
        self.require_scalar("the Hessian")
        vector, direction = self._vector(theta), self._vector(v)
        if vector is None or direction is None:
            further = self.structure.operands(v)
            return self.structure.build(self._inline(HVP, theta, further))
        product = self.hvp_flat(vector, direction)
        if has_nan(product):
            warn_nan("the Hessian times a vector", self._router.current, vector, 2, HVP, direction)
        return self.unravel(product)

    def hessian(self, *args: Any, sparse: bool = False, **named: Any) -> Any:
        """The exact Hessian, shape (p, p), in the order of `names`, or of the arguments given by position.

        With `sparse`, it is a `scipy.sparse.csc_array`, found with as many products as its pattern needs
        colours.
        """
        found = self._hessian(self._calling.theta(args, named), sparse)
        return self._calling.ordered(found) if self._calling.by_position(args, named) else found

    def _hessian(self, theta: Any, sparse: bool) -> Any:
        self.require_scalar("the Hessian")
        vector = self._vector(theta)
        if vector is None:
            return self._inline(HESSIAN, theta)[0]
        find = self._sparse_hessian if sparse else self.hessian_flat
        matrix = find(vector)
        warn_nan_matrix("the Hessian", self._router.current, vector, matrix, HVP, 3)
        return matrix

    def third(self, theta: Any, v: Any) -> Vector:
        """The derivative of the Hessian at `theta` along `v`, shape (p, p), in the order of `names`."""
        self.require_scalar("the third derivative")
        inputs = np.concatenate([self.ravel(theta), self.ravel(v)])
        matrix = self._by_columns(THIRD, inputs)
        warn_nan_matrix("the third derivative", self._router.current, inputs, matrix, THIRD)
        return matrix

    def values(self, theta: Any) -> Values:
        """Every slot's value and adjoint at `theta`, entry by entry: for reading, not for speed.

        The adjoint of a slot is the derivative of the result with respect to it; None where the result does
        not depend on it, or is not a scalar.

        Raises
        ------
        ValueError
            If the data are in pieces: no array of theirs is in memory.
        """
        self._require_whole("the value of every slot")
        vector = self.ravel(theta)
        path = self._router.path_at(vector)
        tape = path.tape_at(vector)
        values = evaluate(tape, vector, path.data)
        found = adjoints(tape, values) if self.outputs.is_scalar else {}
        return Values(tape, values, found)

    def explain(self, theta: Any) -> Explanation:
        """Where the first NaN or infinity arises at `theta`: print it.

        It names the entry, in the value, in an adjoint or in the Hessian, with your source line and the
        numbers that it was made of, or says that value and gradient are finite. Where the function is not
        scalar, only its value is looked at. Of data in pieces, the first rows are looked at.
        """
        vector = self.ravel(theta)
        path = self._router.path_at(vector)
        rows = self.hvp_flat(vector, np.ones(vector.size)) if self.outputs.is_scalar else None
        return explained(path, vector, self.names, rows)

    def show(self, theta: Any = None, path: str | os.PathLike[str] | None = None) -> Page:
        """The tape as a page for a browser, which needs no network: your code beside the entries, linked.

        Further tabs show the derived tapes, the plan with its stages, and the generated code. Loops can be
        folded, everything can be searched, and the first NaN or infinity is marked, with its cause.

        Parameters
        ----------
        theta : structure or array_like of shape (p,), optional
            The parameters at which the value and the adjoint of each slot are shown; without, there are none.
        path : str or path, optional
            Write the page to this file.

        Returns
        -------
        Page
            A notebook displays it where it is the last line of a cell. Its `open` shows it in a browser, and
            its `write` keeps it.

        Raises
        ------
        ValueError
            If numbers are asked for, and the data are in pieces: no array of theirs is in memory.

        Examples
        --------
        >>> import tempfile, tapegrad as tg
        >>> traced = tg.trace(lambda mu: -0.5 * (mu - 3.0) ** 2, dict(mu=0.0))
        >>> page = traced.show(dict(mu=1.0), path=tempfile.mkdtemp() + "/normal.html")
        >>> page.html.startswith("<!DOCTYPE html>")
        True
        """
        kind = GRADIENT if self.outputs.is_scalar else VALUE
        vector = None if theta is None else self.ravel(theta)
        if vector is not None:
            self._require_whole("the value of every slot")
        at = self._router.current if vector is None else self._router.path_at(vector)
        made = shown(at, vector, kind, None if theta is None else self.explain(theta))
        return made if path is None else made.write(path)

    def _require_whole(self, what: str) -> None:
        if self.is_in_pieces:
            raise ValueError(
                f"{what} of {self.tape.name} needs whole arrays, and its data are in pieces: trace it on "
                "some rows, as arrays in memory"
            )

    @property
    def data(self) -> dict[str, Any]:
        """The arrays that were given as `data`, by their names; in pieces they stay where they are."""
        long = self._router.running.long
        return dict(self._router.data) if long is None else long.given

    def on(self, theta: Any, data: Mapping[str, Any]) -> Any:
        """The value at `theta` on other data, where both may be traced: for use in a function under trace.

        Parameters
        ----------
        theta : structure or array_like, shape (p,)
        data : mapping of str to array_like
            As in `with_data`.
        """
        plain = {name: _plain_value(value) for name, value in data.items()}
        twin = self.with_data(**plain) if data else self
        if not has_traced(data):
            return twin(theta)
        return self.outputs.build(twin._inline(VALUE, theta, data=data))

    def with_data(self, **data: Any) -> TracedFunction:
        """The same function on other data, without a new trace as long as its guards hold.

        Parameters
        ----------
        **data : array_like
            New values for some of the arrays given as `data` to `trace`, of the same shapes.
        """
        known = sorted(self._router.data)
        unknown = sorted(set(data).difference(known))
        if unknown:
            raise ValueError(f"{unknown} is not data of this function; its data are {known}")
        return TracedFunction(self.structure, self._router.with_data(data), self._calling)

    def __reduce__(self) -> Any:
        raise TypeError(
            f"a traced function cannot be pickled, because it holds your function: pickle its tapes "
            f"(.tape, .grad_tape), or trace {self.tape.name} anew where it is needed"
        )

    # Under another trace ------------------------------------------------------------------------------------

    def _vector(self, theta: Any) -> Vector | None:
        """Parameters as a flat vector, or None if some of them are traced."""
        try:
            return self.ravel(theta)
        except (TypeError, ValueError):
            if has_traced(theta):
                return None
            raise

    def _inline(
        self,
        kind: Derived,
        theta: Any,
        further: Sequence[Any] = (),
        data: Mapping[str, Any] | None = None,
    ) -> list[Any]:
        """The outputs of a tape, of this kind, of the path that traced parameters (and `data`) take."""
        if self.is_in_pieces:
            raise TraceError(
                f"{self.tape.name} sums over data in pieces, and cannot be part of another traced function: "
                "call the plain function there, and pass the data to that"
            )
        operands = self.structure.operands(theta)
        vector = self.structure.join([np.asarray(_plain_value(operand)) for operand in operands])
        path = self._router.path_at(vector)
        tape = path.tapes[kind]
        labels = dict(path.tape.labels)
        bound = [(data or {}).get(labels[slot], value) for slot, value in path.data.items()]
        # Further parameters shift the slots of the data, but not their order.
        return inline(tape, [*operands, *further], dict(zip(tape.data, bound, strict=True)))


def _plain_value(operand: Any) -> Any:
    return operand.plain() if isinstance(operand, Recordable) else operand
