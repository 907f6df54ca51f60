"""What an op is, and the one table of all ops.

An op is declared once, with everything the library knows about it: how NumPy computes it, the shape it
gives, its derivative, and the samples that the test table runs. Rules are written with Python operators and
other ops, so the same rule works on numbers, on arrays, and on anything `Recordable`.
"""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cache, cached_property
from typing import Any, NamedTuple

import numpy as np

from tapegrad.ops.attributes import Kind
from tapegrad.ops.declarations import Elementwise as Elementwise
from tapegrad.ops.declarations import Factor as Factor
from tapegrad.ops.declarations import Gate as Gate
from tapegrad.ops.declarations import Linear as Linear
from tapegrad.ops.declarations import Partial as Partial
from tapegrad.ops.declarations import Per as Per
from tapegrad.ops.declarations import Products as Products
from tapegrad.ops.declarations import Raised as Raised
from tapegrad.ops.declarations import Rule as Rule
from tapegrad.ops.declarations import Together as Together

ANY_NUMBER = range(1, sys.maxsize)  # of inputs

FLOAT: np.dtype[Any] = np.dtype(np.float64)
BOOL: np.dtype[Any] = np.dtype(np.bool_)
INT: np.dtype[Any] = np.dtype(np.int64)

Shape = tuple[int, ...]
Attrs = tuple[tuple[str, Any], ...]


class Aval(NamedTuple):
    """The shape and dtype of a slot: all that is known about it before it has a value."""

    shape: Shape
    dtype: np.dtype[Any]


SCALAR = Aval((), FLOAT)


class Recordable:
    """An operand that is not a number: applying an op to it is its own business (it records it)."""

    __slots__ = ()

    def apply(self, op: Op, args: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
        """Apply `op` to `args`, of which at least one is this operand."""
        raise NotImplementedError

    def plain(self) -> Any:
        """The number or array that stands behind this operand now."""
        raise NotImplementedError

    def decide(self) -> Any:
        """The same for Python to decide on, which whoever records has to remember."""
        raise NotImplementedError


class Read(Enum):
    """How an op that acts along the rows of long arrays reads an operand."""

    ALIGNED = "aligned"  # the rows of a block with those of the output, element by element
    TRANSPOSED = "transposed"  # the same, where the rows are columns
    MULTIPLIED = "multiplied"  # the rows of a block as those of a matrix in a product
    BROADCAST = "broadcast"  # the same elements for every row, by NumPy's rules of broadcasting
    WHOLE = "whole"  # all of it for every row
    GATHERED = "gathered"  # those elements whose positions another operand names

    @property
    def by_block(self) -> bool:
        """Whether a block of rows is enough of the operand for a block of the output."""
        return self in (Read.ALIGNED, Read.TRANSPOSED, Read.MULTIPLIED)


class Along(NamedTuple):
    """How an op acts along the rows.

    Attributes
    ----------
    reads : tuple of Read
        How it reads each operand.
    is_sum : bool
        What it gives for each block of rows is to be added up; otherwise it is a block of the output.
    """

    reads: tuple[Read, ...]
    is_sum: bool = False


def _recordable_in(nest: Sequence[Any]) -> Recordable | None:
    """A recordable operand in a nest of lists, or None."""
    for item in nest:
        found = _recordable_in(item) if isinstance(item, (list, tuple)) else item
        if isinstance(found, Recordable):
            return found
    return None


class Copied(NamedTuple):
    """Views of the output and of an input, of one shape: what is copied where; and which input it is."""

    target: Any
    source: Any
    place: int = 0


@dataclass(frozen=True, eq=False)
class Op:
    """All that the library knows about one op.

    Parameters
    ----------
    name : str
        As it stands in a listing.
    kernel : callable
        ``kernel(*inputs, out=array, **attrs)`` with NumPy's meaning. Without `out`, the result may be a view,
        see `views`. An attribute named `shape` gives way to the shape of `out`, which may be a block of rows.
    shape : callable
        ``shape(*input_shapes, **attrs)`` gives the output's shape.
    attrs : mapping of str to callable
        The attributes that the op takes, each with what it may be, see `tapegrad.ops.attributes`.
    arity : range or None
        The numbers of inputs that an elementwise op takes. None: as many as its rule has partials, or as the
        signature of the kernel says, see `arity_of`.
    fits : callable or None
        ``fits(shapes, values, **attrs)``: whether the kernel takes inputs of these shapes and, where they
        are constants, values (None elsewhere). For `verify`, where the shape rule trusts that its caller has
        asked NumPy. It may raise instead of giving False.
    rule : Elementwise, Linear, Products, Together or None
        The derivative; None where it is zero everywhere (comparisons, rounding).
    takes : tuple of dtype or None
        What each input is converted to; None leaves it; the last one holds for all further inputs.
    gives : dtype or None
        The output's dtype; None means that of the first input.
    views : callable or None
        Of which input the output is a view: ``views(in_order, **attrs)`` gives its index, or None where the
        output has memory of its own; `in_order` says whether the input's elements stand one after another in
        memory. None: never a view. See `view_of`.
    masks : bool
        The derivative can be zero because an element was not chosen (where, maximum, indexing). What has
        been masked out of a cotangent stays zero, even times infinity.
    flattens : int or None
        The input beyond which the op flattens out, faster than the reciprocal of that input does: its slope
        times that input goes to 0 where the slope does. See `tapegrad.derive.limits`.
    grows : bool
        Where the op is infinite, it has no pole, and grows as a power of its input or faster.
    scalar : callable or None
        A cheaper way to the same bits on Python floats; where it raises, `kernel` is asked instead.
    links : callable or None
        Which elements of the output depend on which of input `i`: ``links(i, shapes, values, **attrs)``, with
        the inputs' shapes and, where they are constants, values. An int array of the output's shape tells the
        position that each element is taken from, -1 for none; a sparse matrix links outputs (rows) to inputs.
        None: any on all. Elementwise ops need not say.
    rows : callable or None
        How the op acts along a long axis: ``rows(axes, axis, shapes, out, **attrs)``, with the row axes of
        the inputs (None where there is none) and of the output, and their shapes, gives an `Along`, or None
        where the op mixes rows. Elementwise ops need not say.
    copies : callable or None
        Of an op that only moves elements: ``copies(out, *inputs, **attrs)`` says which views of `out` are
        copied from which views of the inputs, as `Copied`, in order. What none of them reaches is 0. It is
        asked where no array stands in an index, and `out` is in order in memory; the inputs may not be.
    python : str
        How it is written on Python floats, as in ``"{0} + {1}"``, or what stands between any number of
        operands; empty where the kernel is called.
    c : str
        The same in C, on doubles, or on int64_t for truths and whole numbers; operands are names or literals,
        and ``{rest}`` is an array of all operands behind the numbered ones, and their number.
        It may call the functions of C and those in `tapegrad/backends/c/runtime`. Empty: NumPy computes it.
    numpy : tuple of callables
        The NumPy or SciPy functions that this op stands for.
    samples : tuple of (args, attrs)
        Inputs for the test table. Elementwise ops give one range per argument instead, `domain`.
    own : bool
        A user has registered it: what is made once for all ops of this package goes without it, and its form
        in C may round otherwise than its kernel.
    """

    name: str
    kernel: Callable[..., Any]
    shape: Callable[..., Shape]
    rule: Elementwise | Linear | Products | Together | None
    takes: tuple[np.dtype[Any] | None, ...] = (FLOAT,)
    gives: np.dtype[Any] | None = FLOAT
    views: Callable[..., int | None] | None = None
    masks: bool = False
    flattens: int | None = None
    grows: bool = False
    scalar: Callable[..., Any] | None = None
    links: Callable[..., Any] | None = None
    rows: Callable[..., Along | None] | None = None
    copies: Callable[..., Iterable[Copied]] | None = None
    python: str = ""
    c: str = ""
    numpy: tuple[Callable[..., Any], ...] = ()
    attrs: Mapping[str, Kind] = field(default_factory=dict, repr=False)
    arity: range | None = None
    fits: Callable[..., bool] | None = None
    samples: tuple[tuple[tuple[Any, ...], dict[str, Any]], ...] = field(default=(), repr=False)
    domain: tuple[tuple[float, float], ...] = ()
    own: bool = False

    def __call__(self, *args: Any, **attrs: Any) -> Any:
        for arg in args:
            if isinstance(arg, Recordable):
                return arg.apply(self, args, attrs)
        for arg in args:
            if isinstance(arg, (list, tuple)) and (item := _recordable_in(arg)) is not None:
                return item.apply(self, args, attrs)
            if isinstance(arg, np.ndarray) and type(arg) is not np.ndarray:
                item = getattr(arg, "recorded", None)  # what has been recorded into a buffer
                if item is not None:
                    return item.apply(self, args, attrs)
        return self.kernel(*args, **attrs)

    def __repr__(self) -> str:
        return f"<op {self.name}>"

    def __reduce__(self) -> tuple[Callable[[str], Op], tuple[str]]:
        return find, (self.name,)

    @cached_property
    def is_elementwise(self) -> bool:
        """Whether each element of the output depends on one element of each input."""
        return self.shape is broadcast

    def view_of(self, attrs: Attrs | Mapping[str, Any], in_order: bool = True) -> int | None:
        """The index of the input that the output is a view of, or None; see `views`."""
        return None if self.views is None else self.views(in_order, **dict(attrs))

    def takes_at(self, index: int) -> np.dtype[Any] | None:
        """The dtype that input `index` is converted to, or None."""
        return self.takes[min(index, len(self.takes) - 1)]

    def aval(self, inputs: Sequence[Aval], attrs: dict[str, Any]) -> Aval:
        """The output's shape and dtype."""
        first = inputs[0]
        dtype = first.dtype if self.gives is None else self.gives
        if self.is_elementwise and inputs.count(first) == len(inputs):  # scalar code comes this way
            return first if first.dtype is dtype else Aval(first.shape, dtype)
        shape = self.shape(*[aval.shape for aval in inputs], **attrs)
        return SCALAR if shape == () and dtype is FLOAT else Aval(shape, dtype)

    def along_rows(
        self,
        axes: tuple[int | None, ...],
        axis: int | None,
        shapes: tuple[Shape, ...],
        out: Shape,
        attrs: Attrs,
    ) -> Along | None:
        """How the op acts along the rows, or None where it does not; see `rows`."""
        if not self.is_elementwise:
            return None if self.rows is None else self.rows(axes, axis, shapes, out, **dict(attrs))
        if axis is None:
            return None
        ends = {len(shape) - a for shape, a in zip(shapes, axes, strict=True) if a is not None}
        if ends != {len(out) - axis}:
            return None
        return Along(tuple(Read.BROADCAST if a is None else Read.ALIGNED for a in axes))

    def differentiable(self, index: int) -> bool:
        """Whether the output has a derivative with respect to input `index`."""
        return self.rule is not None and self.rule.wrt(index)


OPS: dict[str, Op] = {}
NUMPY: dict[Callable[..., Any], Callable[..., Any]] = {}


def find(name: str) -> Op:
    """The op of this name."""
    if name not in OPS:
        raise KeyError(f"no op {name!r}; an op of your own is registered before tapes are read")
    return OPS[name]


def register(op: Op) -> Op:
    """Enter `op` in the table, and under the NumPy functions it stands for."""
    if op.name in OPS:
        raise ValueError(f"op {op.name!r} is declared twice")
    if op.is_elementwise:
        arity_of(op)  # which must be told
    OPS[op.name] = op
    for function in op.numpy:
        NUMPY[function] = op
    return op


@cache
def arity_of(op: Op) -> range:
    """The numbers of inputs that an elementwise op takes; others have a shape rule that refuses them."""
    if op.arity is not None:
        return op.arity
    if isinstance(op.rule, Elementwise):
        count = len(op.rule.partials)
    elif isinstance(op.kernel, np.ufunc):
        count = op.kernel.nin
    else:
        parameters = inspect.signature(op.kernel).parameters.values()
        if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
            raise ValueError(f"op {op.name!r} does not say how many inputs it takes: declare its `arity`")
        count = len([p for p in parameters if p.kind <= p.POSITIONAL_OR_KEYWORD and p.name != "out"])
    return range(count, count + 1)


def implements(*functions: Callable[..., Any]) -> Callable[[Rule], Rule]:
    """Enter a function written in ops as what `functions` mean on recordable operands."""

    def enter(rule: Rule) -> Rule:
        for function in functions:
            NUMPY[function] = rule
        return rule

    return enter


def broadcast(*shapes: Shape) -> Shape:
    """The shape rule of elementwise ops."""
    unlike = {shape for shape in shapes if shape}  # scalars go with anything
    if len(unlike) > 1:
        return np.broadcast_shapes(*shapes)
    return unlike.pop() if unlike else ()


def written(value: Any, out: Any) -> Any:
    """A kernel's result that was computed elsewhere, in `out` if there is one."""
    if out is None:
        return value[()]
    np.copyto(out, value)
    return out


def always_first(in_order: bool, **attrs: Any) -> int:
    """The `views` of an op whose output is a view of its first input, however that stands in memory."""
    return 0


def positions(shape: Shape) -> Any:
    """The position of each element of an array of this shape in its flat order, in that shape."""
    return np.arange(math.prod(shape)).reshape(shape)


def moves(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """The links of an op that only moves the elements of its one input: `kernel` moves their positions."""
    return lambda i, shapes, values, **attrs: kernel(positions(shapes[0]), **attrs)


def elementwise(
    name: str,
    kernel: Callable[..., Any],
    *partials: Partial,
    domain: tuple[float, float] | tuple[tuple[float, float], ...] = (-2.0, 2.0),
    takes: tuple[np.dtype[Any] | None, ...] = (FLOAT,),
    gives: np.dtype[Any] | None = FLOAT,
    masks: bool = False,
    flattens: int | None = None,
    grows: bool = False,
    scalar: Callable[..., Any] | None = None,
    python: str = "",
    c: str = "",
    numpy: tuple[Callable[..., Any], ...] | None = None,
    samples: tuple[tuple[Any, ...], ...] = (),
    own: bool = False,
) -> Op:
    """Declare an elementwise op: its kernel, and one partial per input.

    `domain` is the range of the samples, one for all inputs or one each; `samples` are few arguments instead,
    for kernels that take long. The kernel itself is taken for the NumPy function unless `numpy` says
    otherwise.
    """
    ranges = () if samples else domain if isinstance(domain[0], tuple) else (domain,) * len(partials)
    rule = None if all(partial is None for partial in partials) else Elementwise(partials)
    op = Op(
        name,
        kernel,
        broadcast,
        rule,
        takes=takes,
        gives=gives,
        masks=masks,
        flattens=flattens,
        grows=grows,
        scalar=scalar,
        python=python,
        c=c,
        numpy=(kernel,) if numpy is None else numpy,
        domain=ranges,
        samples=tuple((arguments, {}) for arguments in samples),
        own=own,
    )
    return register(op)
