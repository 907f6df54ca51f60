"""The passes: each with its listing before and after, and all of them together against the record."""

from __future__ import annotations

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.backends.replay import evaluate
from tapegrad.derive.reverse import reverse
from tapegrad.passes import PASSES, cse, dce, fold, simplify, sums, tidy

X = np.array([1.0, 2.0, 4.0])


def recorded(f, **params):
    return tg.trace(f, params).tape


def ops(tape):
    return [entry.op.name for entry in tape.entries]


def same(before, after, *thetas):
    tg.verify(after)
    for theta in thetas:
        vector = np.array(theta, dtype=float)
        a, b = evaluate(before, vector, {}), evaluate(after, vector, {})
        for s, t in zip(before.outputs, after.outputs, strict=True):
            np.testing.assert_allclose(a[s], b[t], rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("tape_pass", PASSES, ids=lambda p: p.__name__)
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


def test_fold_computes_what_depends_on_no_parameter():
    def f(a):
        ones = np.ones_like(a)
        return (np.log(ones * 2.0) * a).sum()

    tape = recorded(f, a=np.array([1.0, 2.0]))
    assert ops(tape) == ["mul", "log", "mul", "sum"]
    after = fold(tape)
    assert ops(after) == ["mul", "sum"]
    same(tape, after, [1.0, 2.0], [2.0, -1.0])


def test_fold_leaves_data_alone():
    tape = tg.trace(lambda a, y: (np.log(y) * a).sum(), dict(a=1.0), data=dict(y=X)).tape
    assert ops(fold(tape)) == ["log", "mul", "sum"]


def test_cse_shares_equal_entries():
    tape = recorded(lambda a: np.exp(a) * X.sum() + np.exp(a), a=1.0)
    assert ops(tape) == ["exp", "mul", "exp", "add"]
    assert ops(cse(tape)) == ["exp", "mul", "add"]
    same(tape, cse(tape), [1.0], [2.0])


def test_cse_tells_zeros_apart():
    tape = recorded(lambda a: (a / 0.0) * 0.0 + a / -0.0, a=1.0)
    assert ops(cse(tape)).count("div") == 2


def test_dce_drops_what_nobody_needs():
    def f(a):
        np.exp(a)
        return a * 2.0

    tape = recorded(f, a=1.0)
    assert ops(tape) == ["exp", "mul"]
    assert ops(dce(tape)) == ["mul"]


def test_dce_keeps_guards():
    tape = recorded(lambda a: a * 2.0 if np.exp(a) > 0.5 else a, a=1.0)
    assert ops(dce(tape)) == ["exp", "greater", "mul"]


@pytest.mark.parametrize(
    ("f", "before", "after"),
    [
        (lambda a: (a + 0.0) * 1.0 - 0.0, ["add", "mul", "sub"], []),
        (lambda a: 1.0 * (0.0 + a) / 1.0, ["add", "mul", "div"], []),
        (lambda a: np.negative(-a), ["neg", "neg"], []),
        (lambda a: a * -1.0, ["mul"], ["neg"]),
        (lambda a: np.exp(a) - (-a), ["exp", "neg", "sub"], ["exp", "add"]),
        (lambda a: np.exp(a) + (-a), ["exp", "neg", "add"], ["exp", "sub"]),
        (lambda a: (-a) * (-np.exp(a)), ["neg", "exp", "neg", "mul"], ["exp", "mul"]),
        (lambda a: np.power(a, 2.0), ["power"], ["square"]),
        (lambda a: np.power(a, 1.0) + a, ["power", "add"], ["mul"]),
        (lambda a: 2.0 * (a * 3.0), ["mul", "mul"], ["mul"]),
        (lambda a: np.where(True, a, np.exp(a)), ["exp", "where"], []),
        (
            lambda a: (np.broadcast_to(a, (3,)) * X).sum(),
            ["broadcast_to", "mul", "sum"],
            ["mul"],  # a times the sum of X, which is a constant
        ),
        (
            lambda a: (np.exp(a) * np.sin(a * X)).sum(),
            ["exp", "mul", "sin", "mul", "sum"],
            ["exp", "mul", "sin", "sum", "mul"],
        ),
        (
            lambda a: a * X @ X + (a * X) @ X,
            ["mul", "matmul", "mul", "matmul", "add"],
            ["mul", "matmul", "mul"],
        ),
        (lambda a: np.broadcast_to(a, (3,)).sum(), ["broadcast_to", "sum"], ["mul"]),
    ],
)
def test_simplify_rules(f, before, after):
    tape = recorded(f, a=0.7)
    assert ops(tape) == before
    simplified = dce(simplify(tape))
    assert ops(simplified) == after
    same(tape, simplified, [0.7], [-1.3], [0.0])


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


def test_sums_turns_a_chain_into_one_entry():
    def f(a):
        total = 0.0
        for x in X:
            total = total + np.exp(a * x)
        for x in X:
            total = np.sin(a * x) + total
        return total

    tape = dce(cse(simplify(recorded(f, a=0.7))))
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

    tape = dce(cse(simplify(recorded(f, a=0.7))))
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
