"""What ops say of themselves, held against what their kernels do: views, and what they read along rows."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.ops import OPS
from tapegrad.ops.attributes import ARRAY
from tapegrad.ops.linalg import dot_, matmul
from tapegrad.ops.registry import Along, Op, Read, arity_of
from tests.test_ops import SAMPLES


def arrays_of(sample: Any) -> list[Any]:
    return [np.array(arg) for arg in sample.args]


def turned(array: Any) -> Any:
    """The same numbers in the memory order of columns, with gaps between."""
    wide = np.empty((*array.shape[::-1], 2), array.dtype)
    wide[..., 0] = array.T
    return wide[..., 0].T


@pytest.mark.parametrize("sample", SAMPLES)
def test_the_output_is_a_view_where_the_op_says_so(sample: Any) -> None:
    op, _, attrs = sample
    arrays = arrays_of(sample)
    of = op.view_of(attrs)
    found = np.asarray(op.kernel(*arrays, **attrs))
    shared = [i for i, array in enumerate(arrays) if np.shares_memory(found, array)]
    assert shared == ([] if of is None or not found.size else [of])


IN_ANY_ORDER = [
    param
    for param in SAMPLES
    if param.values[0].op.view_of(param.values[0].attrs, in_order=False) is not None
]


@pytest.mark.parametrize("sample", IN_ANY_ORDER)
def test_it_is_one_in_any_memory_order_where_the_op_says_so(sample: Any) -> None:
    op, _, attrs = sample
    of = op.view_of(attrs, in_order=False)
    arrays = arrays_of(sample)
    arrays[of] = turned(arrays[of])
    assert np.shares_memory(np.asarray(op.kernel(*arrays, **attrs)), arrays[of])


def test_reshape_is_a_view_of_what_stands_in_order_alone() -> None:
    op = OPS["reshape"]
    assert (op.view_of({"shape": (6,)}), op.view_of({"shape": (6,)}, in_order=False)) == (0, None)
    assert not np.shares_memory(op.kernel(matrix := turned(np.ones((2, 3))), shape=(6,)), matrix)


# Along the rows ---------------------------------------------------------------------------------------------


def along_of(op: Op, arrays: list[Any], attrs: Any, rows: int) -> tuple[Along | None, list[Any], int | None]:
    """What an op says of its action along the axes of this length, one at most for each array."""
    out = np.asarray(op.kernel(*arrays, **attrs))
    shapes = [array.shape for array in (*arrays, out)]
    if any(shape.count(rows) > 1 for shape in shapes):
        return None, [], None
    *axes, axis = [shape.index(rows) if rows in shape else None for shape in shapes]
    if axis is None and not any(a is not None for a in axes):
        return None, [], None
    return op.along_rows(tuple(axes), axis, tuple(shapes[:-1]), out.shape, tuple(attrs.items())), axes, axis


def stated() -> Iterator[Any]:
    for param in SAMPLES:
        sample = param.values[0]
        arrays = arrays_of(sample)
        for rows in sorted({n for array in arrays for n in array.shape if n > 1}):
            if along_of(sample.op, arrays, sample.attrs, rows)[0] is not None:
                yield pytest.param(sample, rows, id=f"{param.id}-{rows}")


STATED = list(stated())


@pytest.mark.parametrize(("sample", "rows"), STATED)
def test_rows_come_one_by_one_where_the_op_says_so(sample: Any, rows: int) -> None:
    """The kernel is run on each row apart, with those operands whole that the op reads whole."""
    op, _, attrs = sample
    arrays = arrays_of(sample)
    along, axes, axis = along_of(op, arrays, attrs, rows)
    assert along is not None
    assert len(along.reads) == len(arrays)
    assert [read.by_block for read in along.reads] == [a is not None for a in axes]
    assert along.is_sum == (axis is None)
    full = np.asarray(op.kernel(*arrays, **attrs))
    shape = full.shape if axis is None else tuple(1 if i == axis else n for i, n in enumerate(full.shape))
    found = []
    for row in range(rows):
        cut = [
            array if a is None else np.take(array, [row], a) for array, a in zip(arrays, axes, strict=True)
        ]
        out = np.empty(shape, full.dtype)
        op.kernel(*cut, out=out, **attrs)
        found.append(out)
    joined = np.sum(found, axis=0) if axis is None else np.concatenate(found, axis=axis)
    np.testing.assert_allclose(joined, full, rtol=1e-12, atol=1e-13)


def test_every_way_of_reading_is_stated_by_some_op() -> None:
    found: set[Read] = set()
    for param in STATED:
        sample, rows = param.values
        along, _, _ = along_of(sample.op, arrays_of(sample), sample.attrs, rows)
        assert along is not None
        found.update(along.reads)
    assert found == set(Read)
    assert {param.values[0].op.name for param in STATED} >= {
        *("sum", "max", "getitem", "scatter", "concatenate", "reshape", "transpose", "broadcast_to"),
        *("matmul", "gated_matmul", "dot", "mul", "where"),
    }


@pytest.mark.parametrize(
    ("shapes", "rows", "expected"),
    [
        (((5, 2), (2,)), 5, Along((Read.MULTIPLIED, Read.WHOLE))),
        (((2,), (2, 5)), 5, Along((Read.WHOLE, Read.TRANSPOSED))),
        (((5,), (5, 2)), 5, Along((Read.ALIGNED, Read.MULTIPLIED), is_sum=True)),
        (((2, 5), (5,)), 5, Along((Read.TRANSPOSED, Read.ALIGNED), is_sum=True)),
    ],
)
def test_how_matrix_products_read(shapes: Any, rows: int, expected: Along) -> None:
    for op in (matmul, dot_, OPS["gated_matmul"]):
        assert along_of(op, [np.ones(shape) for shape in shapes], {}, rows)[0] == expected


# The product by np.dot --------------------------------------------------------------------------------------


def test_the_ops_of_a_plan_are_in_the_registry() -> None:
    design = np.ones((30, 2))
    tape = tg.trace(
        lambda b: np.tanh(design @ b).sum() + (np.tanh(b) * b).sum(), dict(b=np.array([0.1, 0.2]))
    )
    ops = {entry.op for entry in tape.plan.tape.entries}
    assert dot_ in ops
    assert all(OPS[op.name] is op for op in ops)


@pytest.mark.parametrize("shapes", [((2, 3), (3, 2)), ((2, 2, 3), (3,)), ((3,), (2, 3, 2))])
def test_dot_refuses_what_is_a_matrix(shapes: Any) -> None:
    with pytest.raises(ValueError, match="dot gives a vector or a number"):
        dot_.shape(*shapes)


# Kernels of numbers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", [pytest.param(op, id=op.name) for op in OPS.values() if op.scalar])
def test_the_way_for_numbers_takes_each_input_once(op: Op) -> None:
    count = len(op.domain) or 2
    op.scalar(*[0.5] * count)
    if op.name != "add_n":
        with pytest.raises(TypeError):
            op.scalar(*[0.5] * (count + 1))


SPECIALS = (np.nan, np.inf, -np.inf, 0.0)


def is_of_order(op: Op) -> bool:
    """Whether its first inputs are orders of derivatives, which are small whole constants."""
    return "of_any_order" in repr(op.kernel)


@pytest.mark.parametrize(
    "op",
    [op for op in OPS.values() if op.is_elementwise and arity_of(op)[-1] <= 3 and not is_of_order(op)],
    ids=str,
)
def test_kernels_take_special_numbers_one_by_one(op: Op) -> None:
    for count in arity_of(op):
        for args in product(SPECIALS, repeat=count):
            with np.errstate(all="ignore"):
                one, many = op.kernel(*args), op.kernel(*map(np.array, zip(args, strict=True)))
            np.testing.assert_array_equal(np.ravel(one), np.ravel(many))


# Moves ------------------------------------------------------------------------------------------------------

MOVING = [
    param
    for param in SAMPLES
    if param.values[0].op.copies is not None and ARRAY not in param.values[0].attrs.get("index", ())
]


@pytest.mark.parametrize("turn", [np.array, turned], ids=["in order", "turned"])
@pytest.mark.parametrize("sample", MOVING)
def test_what_is_copied_where_is_what_the_kernel_does(sample: Any, turn: Any) -> None:
    op, _, attrs = sample
    arrays = arrays_of(sample)
    expected = np.asarray(op.kernel(*arrays, **attrs))
    out = np.zeros_like(expected)
    inputs = [turn(array) for array in arrays]
    for target, source, place in op.copies(out, *inputs, **attrs):
        assert np.shares_memory(target, out)
        assert np.shares_memory(source, inputs[place])
        assert target.shape == source.shape
        target[...] = source
    np.testing.assert_array_equal(out, expected)
