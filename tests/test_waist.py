"""Jacobians of functions that narrow in the middle."""

from __future__ import annotations

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.tape.slots import waist

RNG = np.random.default_rng(0)
INTO = RNG.normal(size=(2, 40))
OUT_OF = RNG.normal(size=(50, 2))
AT = 0.1 * RNG.normal(size=40)


def narrow(x):
    return np.sin(OUT_OF @ np.tanh(INTO @ x))


def test_the_waist_is_found():
    tape = tg.trace(narrow, np.ones(40)).tape
    assert tape.avals[waist(tape)].shape == (2,)


def test_the_jacobian_through_the_waist():
    tape = tg.trace(narrow, np.ones(40))
    middle = np.tanh(INTO @ AT)
    expected = np.cos(OUT_OF @ middle)[:, None] * (OUT_OF @ ((1.0 - middle**2)[:, None] * INTO))
    np.testing.assert_allclose(tape.jacobian(AT), expected, rtol=1e-12, atol=1e-15)


def test_what_goes_around_the_middle_is_no_waist():
    def f(x):
        return np.sin(OUT_OF @ np.tanh(INTO @ x)) + x[0]

    tape = tg.trace(f, np.ones(40))
    slot = waist(tape.tape)
    assert slot is None or tape.tape.avals[slot].shape == (50,)
    middle = np.tanh(INTO @ AT)
    expected = np.cos(OUT_OF @ middle)[:, None] * (OUT_OF @ ((1.0 - middle**2)[:, None] * INTO))
    expected[:, 0] += 1.0
    np.testing.assert_allclose(tape.jacobian(AT), expected, rtol=1e-12, atol=1e-15)


@pytest.mark.filterwarnings("ignore::tapegrad.UnusedParameterWarning")
def test_a_constant_function_has_no_waist():
    tape = tg.trace(lambda x: np.floor(x) * np.ones(3), np.ones(3)).tape
    assert waist(tape) is None
