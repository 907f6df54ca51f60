"""The passes: each with its listing before and after, and all of them together against the record."""

from __future__ import annotations

import re
from textwrap import dedent

import numpy as np
import pytest
from scipy import special

import tapegrad as tg
from tapegrad.backends.replay import evaluate
from tapegrad.derive.pullback import reverse
from tapegrad.passes import FINISHING, PASSES, dce, repeats, simplify, statistics, sums, tidy
from tapegrad.passes.writer import Writer
from tapegrad.tape.slots import deciding_slots

X = np.array([1.0, 2.0, 4.0])


def recorded(f, **params):
    return tg.trace(f, params).tape


def shared(tape):
    """A tape after a walk without rules, which folds constants and shares what is equal."""
    return Writer(tape).written()


def ops(tape):
    return [entry.op.name for entry in tape.entries]


def lines(tape):
    """The entries of a listing, without the lines of code that they come from."""
    return [re.sub(r"\s+\w+\.py:.*", "", line) for line in str(tape).splitlines()[1:]]


def assert_lists(tape, listing):
    assert lines(tape) == dedent(listing).strip("\n").splitlines()


def same(before, after, *thetas):
    tg.verify(after)
    for theta in thetas:
        vector = np.array(theta, dtype=float)
        a, b = evaluate(before, vector, {}), evaluate(after, vector, {})
        for s, t in zip(before.outputs, after.outputs, strict=True):
            np.testing.assert_allclose(a[s], b[t], rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("tape_pass", [*PASSES, *FINISHING], ids=lambda p: p.__name__)
def test_each_pass_keeps_values_gradient_and_guards(tape_pass):
    def f(a, b):
        if a > 0.0:
            a = a * 2.0
        z = (X - a) / np.exp(b)
        return (-0.5 * z**2 - b).sum() + np.zeros_like(X).sum() * a

    tape = recorded(f, a=0.3, b=0.2)
    for before in (tape, reverse(tape)):
        after = tape_pass(before)
        same(before, after, [0.3, 0.2], [1.5, -0.4])
        assert len(after.guards) == len(before.guards)
        assert after.labels[:2] == before.labels[:2]


def test_sharing_computes_what_depends_on_no_parameter():
    def f(a):
        ones = np.ones_like(a)
        return (np.log(ones * 2.0) * a).sum()

    tape = recorded(f, a=np.array([1.0, 2.0]))
    assert ops(tape) == ["mul", "log", "mul", "sum"]
    after = shared(tape)
    assert ops(after) == ["mul", "sum"]
    same(tape, after, [1.0, 2.0], [2.0, -1.0])


def test_sharing_before_and_after():
    def f(a):
        return (special.gammaln(np.ones_like(a) * X + 1.0) * a).sum()

    tape = recorded(f, a=X)
    assert_lists(
        tape,
        """
        [0]  mul      const[3], X  -> %3  (3,)
        [1]  add      %3, 1        -> %5  (3,)
        [2]  gammaln  %5           -> %6  (3,)
        [3]  mul      %6, a        -> %7  (3,)
        [4]  sum      %7, axis=0   -> %8  scalar
        """,
    )
    after = shared(tape)
    assert_lists(
        after,
        """
        [0]  mul  const[3], a  -> %8  (3,)
        [1]  sum  %8, axis=0   -> %9  scalar
        """,
    )
    assert dict(after.constants)[after.entries[0].inputs[0]] == pytest.approx(special.gammaln(X + 1.0))


def test_sharing_leaves_data_alone():
    tape = tg.trace(lambda a, y: (np.log(y) * a).sum(), dict(a=1.0), data=dict(y=X)).tape
    assert ops(shared(tape)) == ["log", "mul", "sum"]


def test_sharing_shares_equal_entries():
    tape = recorded(lambda a: np.exp(a) * X.sum() + np.exp(a), a=1.0)
    assert ops(tape) == ["exp", "mul", "exp", "add"]
    assert ops(shared(tape)) == ["exp", "mul", "add"]
    same(tape, shared(tape), [1.0], [2.0])


def test_sharing_across_value_and_gradient_before_and_after():
    # The slope of log(s) is 1 / s, which the value has already.
    tape = reverse(shared(recorded(lambda s: np.log(s) + np.exp(X * np.reciprocal(s)).sum(), s=2.0)))
    assert_lists(
        tape,
        """
         [0]  log           s            -> %2   scalar
         [1]  reciprocal    s            -> %3   scalar
         [2]  mul           X, %3        -> %4   (3,)
         [3]  exp           %4           -> %5   (3,)
         [4]  sum           %5, axis=0   -> %6   scalar
         [5]  add           %2, %6       -> %7   scalar
         [6]  broadcast_to  1, shape=3   -> %9   (3,)
         [7]  mul           %9, %5       -> %10  (3,)
         [8]  mul           %10, X       -> %11  (3,)
         [9]  sum           %11, axis=0  -> %12  scalar
        [10]  neg           %3           -> %13  scalar
        [11]  mul           %12, %13     -> %14  scalar
        [12]  mul           %14, %3      -> %15  scalar
        [13]  div           1, s         -> %16  scalar
        [14]  add           %15, %16     -> %17  scalar
        """,
    )
    assert_lists(
        shared(tape),
        """
         [0]  log           s            -> %3   scalar
         [1]  reciprocal    s            -> %4   scalar
         [2]  mul           X, %4        -> %5   (3,)
         [3]  exp           %5           -> %6   (3,)
         [4]  sum           %6, axis=0   -> %7   scalar
         [5]  add           %3, %7       -> %8   scalar
         [6]  broadcast_to  1, shape=3   -> %9   (3,)
         [7]  mul           %9, %6       -> %10  (3,)
         [8]  mul           %10, X       -> %11  (3,)
         [9]  sum           %11, axis=0  -> %12  scalar
        [10]  neg           %4           -> %13  scalar
        [11]  mul           %12, %13     -> %14  scalar
        [12]  mul           %14, %4      -> %15  scalar
        [13]  div           1, s         -> %16  scalar
        [14]  add           %15, %16     -> %17  scalar
        """,
    )
    tidied = tidy(tape, [tape_pass for tape_pass in PASSES if tape_pass is not statistics])
    assert_lists(
        tidied,
        """
         [0]  log         s           -> %2   scalar
         [1]  reciprocal  s           -> %3   scalar
         [2]  mul         X, %3       -> %4   (3,)
         [3]  exp         %4          -> %5   (3,)
         [4]  sum         %5, axis=0  -> %6   scalar
         [5]  add         %2, %6      -> %7   scalar
         [6]  mul         %5, X       -> %8   (3,)
         [7]  sum         %8, axis=0  -> %9   scalar
         [8]  mul         %9, %3      -> %10  scalar
         [9]  mul         %10, %3     -> %11  scalar
        [10]  sub         %3, %11     -> %12  scalar
        """,
    )
    same(tape, tidied, [2.0], [-0.7])


def test_sharing_shares_arrays_of_the_same_bits():
    groups = np.array([0, 1, 1, 0])
    tape = recorded(lambda u: u[groups.copy()] @ np.exp(u[groups.copy()]), u=np.array([0.3, 0.4]))
    assert ops(shared(tape)) == ["getitem", "exp", "matmul"]
    zeros, negative = np.zeros(3), -np.zeros(3)
    assert ops(shared(recorded(lambda a: (a / zeros) @ (a / negative), a=1.0))) == ["div", "div", "matmul"]
    holes = np.array([1.0, np.nan])
    assert ops(shared(recorded(lambda a: (a * holes) @ (a * holes.copy()), a=1.0))) == ["mul", "matmul"]


def test_sharing_keeps_the_name_of_what_it_keeps():
    def f(a):
        return (a * (1.0 * X)).sum() + np.exp(a * X).sum()

    tape = recorded(f, a=0.3)
    assert "X" in dict(shared(tape).labels).values()
    assert len(shared(tape).constants) == 1


def test_sharing_tells_zeros_apart():
    tape = recorded(lambda a: (a / 0.0) * 0.0 + a / -0.0, a=1.0)
    assert ops(shared(tape)).count("div") == 2


def test_dce_drops_what_nobody_needs():
    def f(a):
        np.exp(a)
        return a * 2.0

    tape = recorded(f, a=1.0)
    assert ops(tape) == ["exp", "mul"]
    assert ops(dce(tape)) == ["mul"]


def test_dce_before_and_after():
    tape = recorded(lambda a: (np.exp(a), a * 2.0)[1], a=1.0)
    assert_lists(
        tape,
        """
        [0]  exp  a     -> %1  scalar
        [1]  mul  a, 2  -> %3  scalar
        """,
    )
    assert_lists(dce(tape), "[0]  mul  a, 2  -> %2  scalar")


def test_dce_keeps_guards():
    tape = recorded(lambda a: a * 2.0 if np.exp(a) > 0.5 else a, a=1.0)
    assert ops(dce(tape)) == ["exp", "greater", "mul"]


def test_a_scalar_factor_leaves_the_sum_before_and_after():
    tape = recorded(lambda s, t: (s * np.sin(t * X) * X).sum(), s=0.3, t=0.4)
    assert_lists(
        tape,
        """
        [0]  mul  t, X        -> %3  (3,)
        [1]  sin  %3          -> %4  (3,)
        [2]  mul  s, %4       -> %5  (3,)
        [3]  mul  %5, X       -> %6  (3,)
        [4]  sum  %6, axis=0  -> %7  scalar
        """,
    )
    after = dce(simplify(tape))
    assert_lists(
        after,
        """
        [0]  mul  t, X        -> %3  (3,)
        [1]  sin  %3          -> %4  (3,)
        [2]  mul  %4, X       -> %5  (3,)
        [3]  sum  %5, axis=0  -> %6  scalar
        [4]  mul  s, %6       -> %7  scalar
        """,
    )
    same(tape, after, [0.3, 0.4], [-2.0, 7.0], [0.0, 1.0])


def test_a_scalar_leaves_a_sum_of_logarithms_before_and_after():
    tape = recorded(lambda a, b: (a - b * np.log1p(b * X)).sum(), a=0.5, b=2.0)
    assert_lists(
        tape,
        """
        [0]  mul    b, X        -> %3  (3,)
        [1]  log1p  %3          -> %4  (3,)
        [2]  mul    b, %4       -> %5  (3,)
        [3]  sub    a, %5       -> %6  (3,)
        [4]  sum    %6, axis=0  -> %7  scalar
        """,
    )
    after = dce(simplify(tape))
    assert_lists(
        after,
        """
        [0]  mul    b, X        -> %4  (3,)
        [1]  log1p  %4          -> %5  (3,)
        [2]  sum    %5, axis=0  -> %6  scalar
        [3]  mul    b, %6       -> %7  scalar
        [4]  mul    3, a        -> %8  scalar
        [5]  sub    %8, %7      -> %9  scalar
        """,
    )
    same(tape, after, [0.5, 2.0], [-3.0, 0.1], [0.0, 0.0])


def test_a_scalar_stays_in_a_sum_of_exact_terms():
    large = 1e8 + X
    tape = recorded(lambda a, b: (a - b * large).sum(), a=1.0, b=1.0)
    assert ops(simplify(tape)) == ["mul", "sub", "sum"]
    assert evaluate(simplify(tape), np.array([1e8, 1.0]), {})[-1] == -X.sum()


def test_simplify_computes_on_the_small_operand():
    tape = recorded(lambda a: (np.exp(np.broadcast_to(a, (3,))) * X).sum(), a=0.7)
    after = dce(simplify(tape))
    assert ops(after) == ["exp", "mul"]
    assert after.avals[after.entries[0].output].shape == ()


def test_simplify_keeps_the_bits_that_a_branch_reads():
    def f(a):
        return a if 0.1 * (3.0 * a) > 0.3 * a else -a

    tape = recorded(f, a=0.7)
    assert ops(tidy(tape))[:2] == ["mul", "mul"]
    traced = tg.trace(f, dict(a=0.7))
    for a in np.linspace(-2.0, 2.0, 101):
        assert traced(dict(a=a)) == f(a)


def test_simplify_never_drops_a_factor_of_zero():
    traced = tg.trace(lambda a: 0.0 * np.exp(a), dict(a=1.0))
    assert ops(tidy(traced.tape)) == ["exp", "mul"]
    with pytest.warns(tg.NonFiniteWarning):
        assert np.isnan(traced(dict(a=1e4)))


def test_sums_before_and_after():
    def f(a):
        total = np.exp(a)
        for x in X:
            total = total + x
        return total

    tape = recorded(f, a=1.0)
    assert_lists(
        tape,
        """
        [0]  exp  a      -> %1  scalar
        [1]  add  %1, 1  -> %3  scalar
        [2]  add  %3, 2  -> %5  scalar
        [3]  add  %5, 4  -> %7  scalar
        """,
    )
    assert_lists(
        sums(tape),
        """
        [0]  exp    a            -> %4  scalar
        [1]  add_n  %4, 1, 2, 4  -> %5  scalar
        """,
    )


def test_sums_turns_a_chain_into_one_entry():
    def f(a):
        total = 0.0
        for x in X:
            total = total + np.exp(a * x)
        for x in X:
            total = np.sin(a * x) + total
        return total

    tape = dce(shared(simplify(recorded(f, a=0.7))))
    assert ops(tape).count("add") == 5
    after = sums(tape)
    assert ops(after).count("add") == 0
    assert len(after.entries[-1].inputs) == 6
    same(tape, after, [0.7], [-1.3])
    theta = np.array([0.3])
    before = evaluate(tape, theta, {})[tape.outputs[0]]
    assert before == evaluate(after, theta, {})[after.outputs[0]]


def test_sums_leaves_partial_sums_that_are_read_elsewhere():
    def f(a):
        total = 0.0
        seen = []
        for x in X:
            total = total + np.exp(a * x)
            seen.append(total)
        return total * seen[1]

    tape = dce(shared(simplify(recorded(f, a=0.7))))
    assert ops(sums(tape)).count("add_n") == 0
    same(tape, sums(tape), [0.7])


def test_the_gradient_of_a_linear_function_is_constant():
    tape = tg.trace(lambda b: (X * b).sum() - 3.0 * b, dict(b=1.0))
    gradient = tape.grad_tape
    assert dict(gradient.constants)[gradient.outputs[1]] == pytest.approx(4.0)


def test_what_where_decides_keeps_its_bits():
    def f(x):
        return np.where(1.02 * (2.68 * x) > 2.3782320000000006, 100.0 * x, x)

    at = 0.8700000000000002
    assert tg.trace(f, 0.5)(at) == f(np.float64(at)) == pytest.approx(87.0)


def test_a_threshold_on_a_sum_keeps_its_bits():
    def f(mu):
        return np.where(((X - mu) ** 2).sum() > 4.666666666666667, 100.0 * mu, mu)

    tape = tg.trace(f, 0.5)
    for mu in np.linspace(1.0, 3.7, 57):
        assert tape(mu) == pytest.approx(f(np.float64(mu)), rel=1e-14)


ROW = np.array([0.5, -0.0, np.inf])


@pytest.mark.parametrize(
    ("table", "f", "kept"),
    [
        (np.tile(ROW, (20, 1)), lambda x, table: x * table, (1, 3)),
        (np.tile(ROW, (20, 1)), lambda x, table: x[0] * table, (20, 3)),  # which gives the result its rows
        (
            np.vstack([np.tile(ROW, (19, 1)), -ROW * [-1, 1, -1]]),
            lambda x, table: x * table,
            (20, 3),
        ),  # 0 and -0
        (np.arange(60.0).reshape(20, 3), lambda x, table: x * table, (20, 3)),
        (np.tile(ROW, (20, 1)), lambda x, table: x @ table.T, (20, 3)),
    ],
)
def test_repeats_keeps_rows_that_are_the_same_once(table, f, kept):
    with np.errstate(invalid="ignore"):
        before = tg.trace(lambda x: f(x, table), np.ones((20, 3))).tape
    after = dce(repeats(before))
    (shape,) = {value.shape for _, value in after.constants if np.ndim(value) == 2}
    assert shape in (kept, kept[::-1])
    x = np.linspace(-1.0, 1.0, 60)
    values = [evaluate(tape, x, {})[tape.outputs[0]] for tape in (before, after)]
    assert np.asarray(values[0]).tobytes() == np.asarray(values[1]).tobytes()


@pytest.mark.parametrize(
    ("f", "decides"),
    [
        (lambda x: np.where(x > 0.5, x, 0.0), True),
        (lambda x: np.where(x == 0.25, x, 0.0), True),
        (lambda x: np.where((x > 0.5) & (x < 0.9), x, 0.0), True),
        (lambda x: np.where(x == 0.0, 1.0, x), False),
        (lambda x: np.where(x != 0.0, x, 1.0), False),
        (lambda x: np.where((x != 0.0).any(), x, 1.0), False),
        (lambda x: np.where(np.isfinite(x) & ~np.isnan(x), x, 1.0), False),
        (lambda x: np.where(x > 0.0, x, np.nan), False),
        (lambda x: np.where(x * x <= 0.0, x, np.nan), False),
        (lambda x: np.where(x / (x + 2.0) <= 1.0, x, np.nan), False),
        (lambda x: np.where(x / (x + 2.0) < 1.0, x, np.nan), True),
        (lambda x: np.where(x / (x - 0.1) <= 1.0, x, np.nan), True),
        (lambda x: np.where(x - 0.5 > 0.0, x, np.nan), True),
        (lambda x: np.where(np.log(x) > 0.0, x, np.nan), True),
        (lambda x: np.where(x <= 1.0, x, np.nan), True),
    ],
)
def test_what_rounding_cannot_change_decides_on_no_last_bit(f, decides):
    tape = tg.trace(lambda x: f(np.exp(x)), np.linspace(-2.0, -0.05, 7)).tape
    exp = next(entry.output for entry in tape.entries if entry.op.name == "exp")
    assert bool(deciding_slots(tape)[exp]) is decides
