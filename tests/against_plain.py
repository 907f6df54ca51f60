"""Programs in plain NumPy, and their replays compared with plain calls."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

import tapegrad as tg

# The value of each argument at the trace, and at the replay.
INPUTS = {
    "s": (0.7, -1.3),
    "t": (1.9, 0.4),
    "v": (np.array([0.5, -1.2, 2.3]), np.array([-0.4, 1.6, 0.9])),
    "w": (np.array([1.1, 0.2, -0.7]), np.array([0.6, -2.2, 1.3])),
    "u": (np.array([0.3, 2.0, 1.4, -0.8, 0.6]), np.array([1.2, -0.1, 0.7, 1.9, -1.5])),
    "p": (np.array([0.2, 0.3, 0.9]), np.array([0.7, 0.25, 0.4])),
    "m": (np.array([[0.5, -1.2, 2.3], [1.5, 0.3, -0.4]]), np.array([[-0.2, 0.8, 1.1], [0.4, -1.7, 0.6]])),
    "n": (np.array([[1.0, 0.4], [-0.6, 2.1], [0.9, -1.3]]), np.array([[0.3, -1.4], [1.8, 0.7], [-0.5, 1.0]])),
    "q": tuple(np.random.default_rng(1).normal(size=(2, 3, 3))),
    "c": (np.sin(np.arange(12.0)).reshape(2, 3, 2), np.cos(np.arange(12.0)).reshape(2, 3, 2)),
}
DATA = np.array([0.9, -0.3, 1.7])
MASK = np.array([True, False, True])


def arguments(f: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The parameters of `f` by its arguments' names: at the trace, and elsewhere."""
    names = [name for name in inspect.signature(f).parameters if name in INPUTS]
    here, there = ({name: np.copy(INPUTS[name][i])[()] for name in names} for i in (0, 1))
    return here, there


def leaves(result: Any) -> list[Any]:
    if isinstance(result, (list, tuple)):
        return [leaf for part in result for leaf in leaves(part)]
    return [result]


def check(f: Any, rtol: float = 1e-13) -> tg.TracedFunction:
    """Trace `f`, and compare the replay with plain calls at two places and back."""
    here, there = arguments(f)
    tape = tg.trace(f, here)
    tg.verify(tape.tape)
    for theta in (here, there, here):
        with np.errstate(all="ignore"):
            expected = leaves(f(**{name: np.copy(value)[()] for name, value in theta.items()}))
        found = leaves(tape(theta))
        assert [np.shape(x) for x in found] == [np.shape(x) for x in expected]
        for x, y in zip(found, expected, strict=True):
            np.testing.assert_allclose(x, np.asarray(y, dtype=float), rtol=rtol, atol=1e-14)
    return tape
