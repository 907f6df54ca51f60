"""Random steps: `tapegrad.scan` against the loop that is written out, in value, gradient and Hessian."""

from __future__ import annotations

import numpy as np
import pytest

import tapegrad as tg

RNG = np.random.default_rng(5)
U, Z, G = RNG.normal(size=12), RNG.normal(size=(12, 2)), RNG.integers(0, 2, size=12)
PARAMS = dict(a=0.6, b=0.8, w=np.array([0.5, -0.4]))
THETA = np.array([0.63, 0.77, 0.52, -0.37])
UNARY = [np.sin, np.tanh, lambda v: -v, lambda v: 0.5 * v, lambda v: np.exp(-(v**2)), lambda v: v]
BINARY = [
    lambda u, v: u + v,
    lambda u, v: u - v,
    lambda u, v: u * v,
    lambda u, v: u / (1.5 + v * v),
    lambda u, v: np.where(u > v, u, 0.3 * v),
    np.maximum,
    np.hypot,
]


def by_hand(step, carry, xs):
    first, second = [], []
    for t in range(len(U)):
        carry, (one, two) = step(carry, {name: x[t] for name, x in xs.items()})
        first.append(one)
        second.append(two)
    return carry, (np.stack(first), np.stack(second))


class Program:
    """A random step on some numbers and perhaps a pair."""

    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        self.numbers = int(rng.integers(1, 4))
        self.has_pair = rng.random() < 0.4
        self.ops = rng.integers(100, size=(rng.integers(2, 9), 4))
        self.ends = rng.integers(100, size=self.numbers + 2)
        self.shifts = rng.random(self.numbers) < 0.3  # what is handed on is what another one was
        self.has_traced_xs = seed % 2

    def pool(self, carry, x, a, b, w):
        """All that the step computes."""
        found = [*carry[: self.numbers], x["u"], x["z"][1], a, b, w[0], 0.7, w[x["g"]]]
        if self.has_pair:
            found += [carry[-1][0], carry[-1] @ w, np.sum(x["z"] * w)]
        for kind, op, i, j in self.ops:
            left, right = found[i % len(found)], found[j % len(found)]
            found.append(UNARY[op % 6](left) if kind % 2 else BINARY[op % 7](left, right))
        return found

    def next(self, c, carry, pool):
        """What is handed on as number `c`."""
        if self.shifts[c]:
            return carry[(c + 1) % self.numbers]
        value = pool[-1 - self.ends[c] % len(pool)]
        return np.tanh(value) if self.ends[c] % 3 else 0.4 * value

    def function(self, scan):
        def f(a, b, w):
            def step(carry, x):
                pool = self.pool(carry, x, a, b, w)
                new = [self.next(c, carry, pool) for c in range(self.numbers)]
                if self.has_pair:
                    new.append(0.5 * carry[-1][::-1] * pool[-1] + w)
                one, two = (pool[-1 - end % len(pool)] for end in self.ends[-2:])
                return tuple(new), (one + 0.0 * x["u"], two * x["u"])

            init = [0.3 * (c + 1) * (a if c % 2 else 1.0) for c in range(self.numbers)]
            init += [w * 0.5] * self.has_pair
            last, ys = scan(step, tuple(init), dict(u=U * b if self.has_traced_xs else U, z=Z, g=G))
            return ys[0].sum() + (ys[1] ** 2).sum() + sum(np.sum(np.sin(x)) for x in last)

        return f


def results(traced):
    return *traced.value_and_grad_flat(THETA), traced.hessian_flat(THETA)


@pytest.mark.filterwarnings("ignore::tapegrad.UnusedParameterWarning")
@pytest.mark.parametrize(
    "seed", [*range(12), *(pytest.param(s, marks=pytest.mark.slow) for s in range(12, 200))]
)
def test_a_random_step(seed):
    program = Program(seed)
    ours = tg.trace(program.function(tg.scan), PARAMS)
    theirs = tg.trace(program.function(by_hand), PARAMS, reroll=False)
    assert len(ours.tape.entries) < 150
    for found, expected in zip(results(ours), results(theirs), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12 * max(1.0, np.abs(expected).max()))
