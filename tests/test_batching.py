"""The bodies of loops in other forms: all steps at once, number by number, and on Python's numbers."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from bodies import body_of, tape_of

import tapegrad as tg
from tapegrad.backends.numpy.twins import _TWINS, FUNCTIONS, Twin, twin
from tapegrad.backends.replay import evaluate
from tapegrad.derive import batching
from tapegrad.derive.batching import BatchingError, batched
from tapegrad.derive.scan import scan_
from tapegrad.ops import OPS
from tapegrad.ops.indexing import ARRAY, scatter
from tapegrad.ops.linalg import dot_, gated_matmul
from tapegrad.ops.recurrences import recurrence_
from tapegrad.ops.registry import BOOL
from tapegrad.passes import unfold
from tapegrad.passes.unfold import unfolded
from tapegrad.tape.body import Body

COUNT = 5


def _assigned(x: Any, v: Any) -> Any:
    y = x * 1.0
    y[0, 1:] = v[:2]
    y[:, 0] = 0.5
    return y


def _gathered_assignment(x: Any, v: Any) -> Any:
    y = x * 1.0
    y[[0, 1], [2, 0]] = v[1]
    y[1] = v[None]
    return y


def _positive(x: Any) -> Any:
    return x @ x.T + np.eye(2)


def _decomposed(x: Any, v: Any) -> Any:
    left, values, right = np.linalg.svd(x * v, full_matrices=False)
    return np.concatenate([left.ravel(), values, right.ravel()])


def _with_loops(x: Any, v: Any) -> Any:
    states = scan_(v[:1], x[0, 0], v, body=INNER, count=3)
    return recurrence_(0.5, v, x[0, 0], reverse=False) + states[:, 0]


INNER = body_of(lambda s, r, e: (s * r + np.sin(e) * s,), [0.3], [0.2], [0.1])
Function = Callable[..., Any]
# Functions of a matrix, shape (2, 3), and a vector of 3 elements.
MIXED: dict[str, Function] = {
    "ranks": lambda x, v: x * v + v[0] - x[:, :1],
    "constants": lambda x, v: x * np.array([1.0, 2.0, -1.0]) + 3.0 * v,
    "sums": lambda x, v: (x * v).sum(axis=0) + x.sum() + v.sum(keepdims=True),
    "extremes": lambda x, v: x.max(axis=1, keepdims=True) + (x - v).min(axis=0),
    "truths": lambda x, v: (
        np.where((x > v).all(axis=0), x[0], v) + np.where((x > v).any(axis=1), 1.0, x[:, 0])[:1]
    ),
    "logsumexp": lambda x, v: tg.special.logsumexp(x + v, axis=1) + tg.special.logsumexp(v),
    "keepdims": lambda x, v: tg.special.logsumexp(x, axis=0, keepdims=True) * v,
    "running": lambda x, v: np.cumsum(x * v, axis=1) + np.cumprod(x + v, axis=0) + np.cumsum(v),
    "products": lambda x, v: np.prod(x - v, axis=1) * v.prod(),
    "positions": lambda x, v: np.argmax(x * v, axis=1) * 1.0 + np.argmin(x, axis=1),
    "order": lambda x, v: np.argsort(x - v, axis=1) * 1.0,
    "sorted": lambda x, v: np.sort(x - v, axis=1) + np.sort(v),
    "looked up": lambda x, v: v[np.argmax(x, axis=1)] + x[np.argsort(v[:2])][0, 0],
    "shapes": lambda x, v: np.reshape(x, (3, 2)).T + np.transpose(x * v).reshape(2, 3),
    "axes": lambda x, v: (x[:, :, None] * v).transpose(2, 0, 1),
    "broadcast": lambda x, v: np.broadcast_to(v, (2, 3)) + np.broadcast_to(x[:, None], (2, 2, 3)).sum(axis=1),
    "index": lambda x, v: x[1] + v[::-1] - x[..., 2][0] + x[None, 0, 1:].sum(),
    "gather": lambda x, v: x[:, [2, 0]] * v[[1, 1]] + x[[0, 1], [2, 0]],
    "assignment": _assigned,
    "gathered assignment": _gathered_assignment,
    "joins": lambda x, v: np.concatenate([x, v[None], np.ones((1, 3))], axis=0) + np.hstack([v[:2], v[:1]]),
    "matrix times vector": lambda x, v: x @ v,
    "vector times matrix": lambda x, v: v @ x.T,
    "vectors": lambda x, v: v @ v + x[0] @ v,
    "matrices": lambda x, v: x @ (x * v).T,
    "stacks": lambda x, v: (x[None] * np.ones((2, 1, 1))) @ v + (np.ones((4, 2, 2)) @ x).sum(axis=(0, 2)),
    "dot": lambda x, v: dot_(x, v),
    "gated products": lambda x, v: gated_matmul(v, x.T) + gated_matmul(x, v),
    "systems": lambda x, v: np.linalg.solve(_positive(x), x[:, :1] * v[0]) + np.linalg.solve(np.eye(2), x),
    "inverses": lambda x, v: np.linalg.inv(_positive(x) * v[0]),
    "determinants": lambda x, v: np.linalg.det(_positive(x)) + sum(np.linalg.slogdet(_positive(x * v))),
    "roots": lambda x, v: np.linalg.cholesky(_positive(x * v)),
    "eigenvalues": lambda x, v: np.linalg.eigvalsh(_positive(x * v)),
    "eigenvectors": lambda x, v: np.linalg.eigh(_positive(x * v))[1],
    "singular values": _decomposed,
    "orthonormal columns": lambda x, v: np.linalg.qr((x * v).T)[0],
    "real eigenvalues": lambda x, v: np.linalg.eig(_positive(x * v))[1] @ np.linalg.eigvals(_positive(x)),
    "partitions": lambda x, v: np.partition(x, 1, axis=1)[:, 1] + np.argpartition(v, 1)[1],
    "a diagonal": lambda x, v: np.diag(v[:2]) @ x,
    "inner loops": _with_loops,
    "scattered": lambda x, v: (
        scatter(v, index=((0, 3, None),), shape=(4,))
        + scatter(x[0], np.array([3, 1, 3]), index=(ARRAY,), shape=(4,))
    ),
    "recurrences": lambda x, v: (
        recurrence_(x[0], v, v[1], reverse=False)
        + recurrence_(x[1, 0], v, 0.5, reverse=True)
        + recurrence_(x[:, :2], x.T, v[:2], reverse=False)[:, 1]
        + recurrence_(x.T[:, :, None] * v[:2], x.T, v[:2], reverse=True)[:, 0]
    ),
    "loops": lambda x, v: (
        tg.scan(lambda c, e: (np.sin(c) * x[0, 0] + e * 0.7, c), v[0], v)[1]
        + tg.scan(lambda c, e: (np.tanh(x[:, :2] @ c) + e, c[0] * c[1]), v[:2], np.arange(3.0))[1]
    ),
    "only the vector": lambda x, v: v * 2.0,
    "choices": lambda x, v: np.where(x > v, x, v) + np.maximum(x, 0.3) + np.clip(v, -0.2, 0.5),
}


def _drawn() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(COUNT, 2, 3)), rng.normal(size=(COUNT, 3))


def _as_tuple(f: Function) -> Function:
    return lambda *args: (f(*args),)


@pytest.mark.parametrize("varying", ["both", "the matrix", "the vector"])
@pytest.mark.parametrize("name", MIXED)
def test_all_steps_at_once_are_each_step(name, varying):
    f, (xs, vs) = MIXED[name], _drawn()
    tape = tape_of(_as_tuple(f), [xs[0], vs[0]])
    carried, fixed = {"both": (2, 0), "the matrix": (1, 1), "the vector": (0, 1)}[varying]
    together = batched(Body(tape, carried, fixed), COUNT)
    tg.verify(together)
    if varying == "the matrix":
        vs = np.broadcast_to(vs[:1], vs.shape)
    elif varying == "the vector":
        xs = np.broadcast_to(xs[:1], xs.shape)
    given = [
        values if len(together.avals[slot].shape) == values.ndim else values[0]
        for slot, values in zip(together.parameters, (xs, vs), strict=True)
    ]
    found = evaluate(together, np.concatenate([np.ravel(x) for x in given]), {})[together.outputs[0]]
    expected = np.array([f(x, v) for x, v in zip(xs, vs, strict=True)])
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", MIXED)
def test_number_by_number_is_the_whole(name):
    f, (xs, vs) = MIXED[name], _drawn()
    tape = tape_of(_as_tuple(f), [xs[0], vs[0]])
    numbers = unfolded(tape, 1_000)
    lacking = {op.name for op in tape.entries.ops() if not op.is_elementwise and op not in unfold.RULES}
    if lacking or (any(len(aval.shape) > 2 for aval in tape.avals) and "matmul" in tape.entries.op_names()):
        assert numbers is None
        return
    assert numbers is not None
    tg.verify(numbers)
    assert all(aval.shape == () for aval in numbers.avals)
    for x, v in zip(xs, vs, strict=True):
        values = evaluate(numbers, np.concatenate([x.ravel(), v]), {})
        found = np.reshape([values[slot] for slot in numbers.outputs], tape.avals[tape.outputs[0]].shape)
        np.testing.assert_allclose(found, f(x, v), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("rules", [batching.RULES, unfold.RULES])
def test_each_rule_is_met(rules):
    xs, vs = _drawn()
    tapes = [tape_of(_as_tuple(f), [xs[0], vs[0]]) for f in MIXED.values()]
    assert {op.name for op in rules} <= {name for tape in tapes for name in tape.entries.op_names()}


def test_what_has_no_rule_says_so_with_its_line():
    def step(x: Any) -> Any:
        return (np.interp(x, np.arange(3.0), np.array([1.0, 3.0, 2.0])),)

    with pytest.raises(BatchingError, match=r"^no batching rule for \w+ \(test_batching.py:\d+: `return "):
        batching.check(body_of(step, [np.array([0.5, 1.5])], [], []))
    columns = body_of(lambda x, v: (x[:, np.argsort(v)], v), [np.ones((2, 3)), np.ones(3)], [], [])
    with pytest.raises(BatchingError, match="an index that varies"):
        batching.check(columns)
    apart = body_of(lambda x: (x[[0, 1], :, [1, 0]],), [np.zeros((2, 2, 2))], [], [])
    with pytest.raises(BatchingError, match="index arrays that stand apart"):
        batching.check(apart)


def test_bodies_of_many_numbers_are_left_as_they_are():
    tape = tape_of(lambda x: (np.exp(x) * x,), [np.ones(30)])
    assert unfolded(tape, 60) is not None
    assert unfolded(tape, 59) is None


def test_numbers_that_are_equal_are_computed_once():
    tape = tape_of(lambda x: (np.exp(np.broadcast_to(x, (4, 3))).sum(axis=0),), [np.ones(3)])
    numbers = unfolded(tape, 100)
    assert numbers is not None
    assert [op.name for op in numbers.entries.ops()] == ["exp", "exp", "exp", "add_n", "add_n", "add_n"]


# Python's numbers -------------------------------------------------------------------------------------------

SPECIAL = (0.0, -0.0, 1.0, -1.0, 2.5, 800.0, -800.0, np.inf, -np.inf, np.nan)


@pytest.mark.parametrize("op", [pytest.param(op, id=op.name) for op in OPS.values() if twin(op)])
def test_a_twin_is_its_op(op):
    found = twin(op)
    assert isinstance(found, Twin)
    rng = np.random.default_rng(1)
    domain = op.domain or ((-2.0, 2.0),) * len(op.samples[0][0])
    names = "abcd"[: len(domain)]
    text = found.text.format(*names) if "{" in found.text else found.text.join(names)
    f = eval(f"lambda {', '.join(names)}: {text}", dict(FUNCTIONS))
    points = [*itertools.product(SPECIAL, repeat=len(domain))]
    points += [tuple(rng.uniform(low, high) for low, high in domain) for _ in range(300)]
    met = 0
    for point in points:
        args = [x > 0.5 if op.takes_at(i) == BOOL else x for i, x in enumerate(point)]
        try:
            value = f(*args)
        except (ArithmeticError, ValueError):
            continue  # the loop then runs again with the op itself
        met += 1
        with np.errstate(all="ignore"):
            expected = op.kernel(*args)
        assert type(value) in (float, bool)
        tolerance = 0.0 if found.same_bits else 4.5e-16
        np.testing.assert_allclose(value, expected, rtol=tolerance, atol=0.0, err_msg=f"{op.name}{point}")
    assert met > 150


def test_the_table_holds_what_ops_do_not_say_themselves():
    assert [op.name for op in _TWINS if op.python] == ["log"]
