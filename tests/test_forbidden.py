"""Zeros that no parameter moves, behind logarithms: hidden Markov models with forbidden transitions."""

from __future__ import annotations

import mpmath as mp
import numpy as np
import pytest
from scipy import special

import tapegrad as tg
from tapegrad.special import logsumexp, softmax

M = np.array([1.0, 0.0])


def by_hand(a):
    return a.max() + np.log(np.exp(a - a.max()).sum())


def in_sequence(a):
    return np.logaddexp(a[0], a[1])


SUMS = {
    "by hand": by_hand,
    "without the largest": lambda a: np.log(np.exp(a).sum()),
    "logsumexp": logsumexp,
    "logsumexp with factors": lambda a: logsumexp(a, b=np.array([1.0, 2.0])),
    "reduce": np.logaddexp.reduce,
    "logaddexp": in_sequence,
    "base two": lambda a: np.log(2.0) * np.logaddexp2(a[0] / np.log(2.0), a[1] / np.log(2.0)),
}
ZEROS = {
    "product": lambda p: p * M,
    "product from the left": lambda p: M * p,
    "where": lambda p: np.where(M > 0.0, p, 0.0),
    "stack": lambda p: np.stack([p, 0.0]),
    "matrix": lambda p: np.array([[1.0, 0.0], [0.0, 0.0]]) @ np.stack([p, p]),
    "matrix from the right": lambda p: np.stack([p, p]) @ np.array([[1.0, 0.0], [0.0, 0.0]]),
    "quotient": lambda p: p * M / np.array([1.0, 2.0]),
    "diagonal": lambda p: np.diag(np.stack([p, p]))[0],
}


@pytest.mark.parametrize("zeros", ZEROS)
@pytest.mark.parametrize("total", SUMS)
def test_a_traced_zero_inside_a_log(total, zeros):
    """The sum of p * exp(p) and of 0 is log(p) + p in its logarithm: slopes 1 / p + 1 and -1 / p**2."""
    f = tg.trace(lambda p: SUMS[total](np.log(ZEROS[zeros](p)) + p), 0.3)
    assert f(0.3) == pytest.approx(np.log(0.3) + 0.3, rel=1e-14)
    assert f.grad(0.3) == pytest.approx(1 / 0.3 + 1.0, rel=1e-13)
    assert f.jvp(0.3, 1.0) == pytest.approx(1 / 0.3 + 1.0, rel=1e-13)
    assert f.hessian(0.3).item() == pytest.approx(-1 / 0.09, rel=1e-13)
    assert f.hessian(0.3, sparse=True).toarray().item() == pytest.approx(-1 / 0.09, rel=1e-13)
    assert f.third(0.3, 1.0).item() == pytest.approx(2 / 0.027, rel=1e-12)
    again = tg.trace(lambda p: f.grad(p) ** 2, 0.3)
    assert again.grad(0.3) == pytest.approx(-2.0 * (1 / 0.3 + 1.0) / 0.09, rel=1e-12)


def test_zeros_in_data():
    f = tg.trace(lambda p, m: logsumexp(np.log(p * m) + p), dict(p=0.3), data=dict(m=M))
    for tape, factor in ((f, 1.0), (f.with_data(m=np.array([0.0, 5.0])), 5.0)):
        assert tape([0.3]) == pytest.approx(np.log(0.3 * factor) + 0.3, rel=1e-14)
        assert tape.grad([0.3])["p"] == pytest.approx(1 / 0.3 + 1.0, rel=1e-13)
        assert tape.hessian([0.3]).item() == pytest.approx(-1 / 0.09, rel=1e-13)


def test_scalars():
    f = tg.trace(lambda p: np.logaddexp(np.log(0.0 * p) + p, np.log(p)), 0.3)
    assert f.grad(0.3) == pytest.approx(1 / 0.3)
    assert f.hessian(0.3).item() == pytest.approx(-1 / 0.09)


@pytest.mark.parametrize("total", ["logsumexp", "without the largest"])
def test_a_weight_that_moves_away_from_zero_is_not_taken_for_one_that_cannot(total):
    """The slope of log(w e + (1 - w)) at w = 0 is e - 1: 0 times infinity there is NaN, and says where."""
    f = tg.trace(lambda w: SUMS[total](np.log(np.stack([w, 1.0 - w])) + np.array([1.0, 0.0])), 0.3)
    assert f.grad(0.3) == pytest.approx((np.e - 1.0) / (0.3 * np.e + 0.7))
    with pytest.warns(tg.NonFiniteWarning, match=r"carried back through log\("):
        assert np.isnan(f.grad(0.0))


def test_the_length_of_what_begins_to_move_is_no_zero():
    f = tg.trace(lambda a: -(np.abs(a - 1.0) ** 1.5), 0.3)
    with pytest.warns(tg.NonFiniteWarning, match="the Hessian of f is NaN: it arises in"):
        assert np.isnan(f.hessian(1.0).item())


# Hidden Markov models ---------------------------------------------------------------------------------------

Y = (0.3, 1.2, -0.4, 2.0, 0.1)
AT = np.array([0.3, -0.2, 0.1])  # log odds of staying in the first two states, level; the last is for ever
ALLOWED = np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0], [0.0, 0.0, 1.0]])


def _all_filled(a, b):
    return np.stack([np.stack([a, 1.0 - a, a]), np.stack([b, b, 1.0 - b]), np.stack([b, a, 1.0])])


def _buffer(a, b):
    matrix = np.zeros((3, 3), like=np.stack([a, b]))
    matrix[0, 0], matrix[0, 1], matrix[1, 1], matrix[1, 2], matrix[2, 2] = a, 1.0 - a, b, 1.0 - b, 1.0
    return matrix


def _design(a, b):
    design = np.zeros((9, 5))
    design[[0, 1, 4, 5, 8], np.arange(5)] = 1.0
    return (design @ np.stack([a, 1.0 - a, b, 1.0 - b, 1.0])).reshape(3, 3)


TRANSITIONS = {
    "a mask": lambda a, b: _all_filled(a, b) * ALLOWED,
    "where": lambda a, b: np.where(ALLOWED > 0.0, _all_filled(a, b), 0.0),
    "stack": lambda a, b: np.stack(
        [np.stack([a, 1.0 - a, 0.0]), np.stack([0.0, b, 1.0 - b]), np.stack([0.0, 0.0, 1.0])]
    ),
    "buffer": _buffer,
    "design": _design,
}


def _largest_first(z):
    top = np.max(z, axis=0)
    top = np.where(np.isfinite(top), top, 0.0)
    return np.log(np.exp(z - top).sum(axis=0)) + top


def _one_by_one(z):
    total = z[0]
    for row in z[1:]:
        total = np.logaddexp(total, row)
    return total


COLUMN_SUMS = {
    "logsumexp": lambda z: logsumexp(z, axis=0),
    "as SciPy does": _largest_first,
    "by hand": lambda z: np.log(np.exp(z - z.max()).sum(axis=0)) + z.max(),
    "without the largest": lambda z: np.log(np.exp(z).sum(axis=0)),
    "reduce": lambda z: np.logaddexp.reduce(z, axis=0),
    "logaddexp": _one_by_one,
}


def forward_algorithm(transitions, total):
    def loglik(theta):
        stay = 1.0 / (1.0 + np.exp(-theta[:2]))
        steps = np.log(transitions(stay[0], stay[1]))
        means = theta[2] + np.array([0.0, 1.0, -1.0])
        alpha = np.log(np.array([1.0, 0.0, 0.0])) - 0.5 * (Y[0] - means) ** 2
        for y in Y[1:]:
            alpha = total(alpha[:, None] + steps) - 0.5 * (y - means) ** 2
        return total(alpha)

    return loglik


def exact_derivatives():
    """Value, gradient and Hessian of the forward algorithm in probabilities, by mpmath at 40 digits."""

    def loglik(s, t, level):
        a, b = 1 / (1 + mp.exp(-s)), 1 / (1 + mp.exp(-t))
        steps = [[a, 1 - a, 0], [0, b, 1 - b], [0, 0, 1]]
        means = [level, level + 1, level - 1]
        alpha = [mp.exp(-((Y[0] - means[0]) ** 2) / 2), 0, 0]
        for y in Y[1:]:
            sums = [sum(alpha[i] * steps[i][j] for i in range(3)) for j in range(3)]
            alpha = [sums[j] * mp.exp(-((y - means[j]) ** 2) / 2) for j in range(3)]
        return mp.log(sum(alpha))

    with mp.workdps(40):
        at, unit = tuple(map(mp.mpf, AT.tolist())), np.eye(3, dtype=int)
        gradient = [float(mp.diff(loglik, at, tuple(u.tolist()))) for u in unit]
        hessian = [[float(mp.diff(loglik, at, tuple((u + v).tolist()))) for u in unit] for v in unit]
        return float(loglik(*at)), gradient, hessian


EXACT = exact_derivatives()


@pytest.mark.parametrize("transitions", TRANSITIONS)
@pytest.mark.parametrize("total", COLUMN_SUMS)
def test_forbidden_transitions(transitions, total):
    value, gradient, hessian = EXACT
    with np.errstate(divide="ignore"):
        f = tg.trace(forward_algorithm(TRANSITIONS[transitions], COLUMN_SUMS[total]), AT)
    assert f(AT) == pytest.approx(value, rel=1e-13)
    np.testing.assert_allclose(f.grad(AT), gradient, rtol=1e-12)
    np.testing.assert_allclose(f.jvp(AT, np.ones(3)), np.sum(gradient), rtol=1e-12)
    np.testing.assert_allclose(f.hessian(AT), hessian, rtol=1e-12)
    np.testing.assert_allclose(f.hessian(AT, sparse=True).toarray(), hessian, rtol=1e-12)
    assert np.isfinite(f.third(AT, np.ones(3))).all()


# Numbers that are positive and have been rounded to 0 -------------------------------------------------------

FAR = np.array([1.0, -1600.0])
POSITIVE = {
    "softmax by hand": lambda t: np.exp(t * FAR) / np.exp(t * FAR).sum(),
    "softmax": lambda t: softmax(t * FAR),
    "expit": lambda t: special.expit(t * FAR),
    "ndtr": lambda t: special.ndtr(t * FAR),
    "density": lambda t: np.exp(-0.5 * (t - np.array([1.0, 60.0])) ** 2) / np.sqrt(2.0 * np.pi),
    "product": lambda t: np.exp(t * FAR) * np.exp(np.sin(t)),
}


@pytest.mark.parametrize("positive", POSITIVE)
@pytest.mark.parametrize("total", ["by hand", "without the largest", "logsumexp", "reduce"])
def test_what_was_rounded_to_zero_has_no_influence(positive, total):
    weights = np.array([0.3, 1.0])
    f = tg.trace(lambda t: SUMS[total](np.log(POSITIVE[positive](t)) + weights), 0.01)
    first = tg.trace(lambda t: np.log(POSITIVE[positive](t)[0]) + weights[0], 0.01)
    assert POSITIVE[positive](0.5)[1] == 0.0
    assert f(0.5) == pytest.approx(first(0.5), rel=1e-14)
    assert f.grad(0.5) == pytest.approx(first.grad(0.5), rel=1e-13)
    assert f.hessian(0.5).item() == pytest.approx(first.hessian(0.5).item(), rel=1e-12)
