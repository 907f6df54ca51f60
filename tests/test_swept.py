"""Hessians without a program: the numbers of the program, as long as that would take no less."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import gammaln

import tapegrad as tg
from tapegrad.function import swept

RNG = np.random.default_rng(8)
X = RNG.normal(1.0, 2.0, 300)
DESIGN = RNG.normal(size=(300, 4))
COUNTS = RNG.poisson(2.0, 300).astype(float)


def student(mu: Any, log_sigma: Any, log_nu: Any) -> Any:
    nu = np.exp(log_nu)
    z = (X - mu) / np.exp(log_sigma)
    norm = gammaln(0.5 * (nu + 1.0)) - gammaln(0.5 * nu) - 0.5 * np.log(nu) - log_sigma
    return (norm - 0.5 * (nu + 1.0) * np.log1p(z * z / nu)).sum()


def counts(beta: Any, log_alpha: Any) -> Any:
    eta, size = DESIGN @ beta, np.exp(-log_alpha)
    rest = gammaln(COUNTS + size) - gammaln(size) - size * np.logaddexp(0.0, eta + log_alpha)
    return (rest + COUNTS * (eta + log_alpha - np.logaddexp(0.0, eta + log_alpha))).sum()


def loop(log_omega: Any, alpha: Any) -> Any:
    h, ll = 1.0, 0.0
    for x in X.tolist():
        ll = ll - 0.5 * (np.log(h) + x * x / h)
        h = np.exp(log_omega) + alpha * x * x + 0.3 * h
    return ll


def branching(a: Any, b: Any) -> Any:
    return (a * X * X).sum() - b**4 if a > b else (a * X).sum() * b


MODELS = [
    (student, dict(mu=0.5, log_sigma=0.2, log_nu=1.0)),
    (counts, dict(beta=np.array([0.1, -0.2, 0.3, 0.0]), log_alpha=-0.5)),
    (loop, dict(log_omega=-1.0, alpha=0.2)),
    (branching, dict(a=0.5, b=1.5)),
]


@pytest.mark.parametrize(("f", "start"), MODELS, ids=[f.__name__ for f, _ in MODELS])
def test_the_first_hessians_are_those_of_the_program(f: Any, start: dict[str, Any]) -> None:
    traced, by_program = tg.trace(f, start), tg.trace(f, start, backend="numpy")
    vector = traced.ravel(start) + 0.03
    assert_allclose(traced.hessian_flat(vector), by_program.hessian_flat(vector), rtol=1e-10, atol=1e-10)
    assert {kind.name for kind in traced._router.current.programs._made} <= {"gradient"}  # for the branches


def test_other_data_and_other_branches_have_hessians_of_their_own() -> None:
    traced = tg.trace(branching, dict(a=0.5, b=1.5))
    expected = [[0.0, X.sum()], [X.sum(), 0.0]]
    assert_allclose(traced.hessian_flat(np.array([0.5, 1.5])), expected)
    assert_allclose(traced.hessian_flat(np.array([2.0, 1.5])), [[0.0, 0.0], [0.0, -27.0]])
    rebound = tg.trace(lambda a, y: -(a**3) * y.sum(), dict(a=2.0), data=dict(y=X))
    assert_allclose(rebound.hessian_flat(np.array([2.0])), [[-12.0 * X.sum()]])
    assert_allclose(rebound.with_data(y=3.0 * X).hessian_flat(np.array([2.0])), [[-36.0 * X.sum()]])


def test_a_program_is_made_once_it_would_have_taken_no_longer() -> None:
    traced = tg.trace(student, MODELS[0][1])
    vector = traced.ravel(MODELS[0][1])
    made: list[str] = []
    programs = traced._router.current.programs
    before = None
    for _ in range(200):
        hessian = traced.hessian_flat(vector)
        assert before is None or np.abs(hessian - before).max() <= 1e-12 * np.abs(before).max()
        before = hessian
        made.append(",".join(sorted(kind.name for kind in programs._made)))
    assert made[0] == ""
    assert made[-1] == "hvp"
    assert traced._router.current.tapes.ledger.is_spent


def test_long_data_and_named_backends_have_programs_at_once() -> None:
    def ledger(n: int) -> swept.Ledger:
        traced = tg.trace(lambda a: -np.exp(-a * np.ones(n)).sum() - a**2, dict(a=0.3))
        traced.grad(dict(a=0.3))
        return swept.Ledger(traced.grad_tape, is_at_once=True)

    assert not ledger(100).is_spent
    long = np.linspace(0.0, 1.0, 3_000_000)
    traced = tg.trace(lambda a: -np.exp(-a * long).sum(), dict(a=0.3))
    assert swept.Ledger(traced.grad_tape, is_at_once=True).is_spent
    chosen = tg.trace(student, MODELS[0][1], backend="numpy")
    chosen.hessian_flat(chosen.ravel(MODELS[0][1]))
    assert {kind.name for kind in chosen._router.current.programs._made} == {"hvp"}


def test_parameters_that_are_arrays_make_the_hessian_no_longer() -> None:
    def wide(beta: Any) -> Any:
        eta = np.ones((50, beta.size)) @ beta
        return -np.logaddexp(0.0, eta).sum()

    short, long = (tg.trace(wide, dict(beta=np.zeros(k))) for k in (2, 40))
    assert len(short.hessian_tape.entries) == len(long.hessian_tape.entries)
    vector = RNG.normal(size=40) / 40
    p = 1.0 / (1.0 + np.exp(-vector.sum()))
    assert_allclose(long.hessian(dict(beta=vector)), np.full((40, 40), -50.0 * p * (1.0 - p)), rtol=1e-12)
