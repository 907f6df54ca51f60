"""Parameters: structures, flat vectors, names, and the errors for wrong ones."""

from __future__ import annotations

import numpy as np
import pytest

from tapegrad.nest import structure_of

NEST = dict(mu=1.0, beta=np.array([1.0, 2.0]), group=dict(a=3.0, L=np.eye(2)), pair=(4.0, [5.0, 6.0]))


def test_names_follow_the_nesting():
    structure, vector = structure_of(NEST, "theta")
    assert structure.names == (
        "mu",
        "beta[0]",
        "beta[1]",
        "group.a",
        "group.L[0,0]",
        "group.L[0,1]",
        "group.L[1,0]",
        "group.L[1,1]",
        "pair[0]",
        "pair[1][0]",
        "pair[1][1]",
    )
    np.testing.assert_array_equal(vector, [1, 1, 2, 3, 1, 0, 0, 1, 4, 5, 6])


def test_ravel_and_unravel_are_inverse():
    structure, vector = structure_of(NEST, "theta")
    again = structure.unravel(vector)
    assert again["pair"] == (4.0, [5.0, 6.0])
    assert isinstance(again["mu"], float)
    np.testing.assert_array_equal(again["group"]["L"], np.eye(2))
    np.testing.assert_array_equal(structure.ravel(again), vector)
    np.testing.assert_array_equal(structure.ravel(vector), vector)
    np.testing.assert_array_equal(structure.ravel(list(vector)), vector)


@pytest.mark.parametrize(
    "params", [2.0, 3, np.float32(1.5), np.array(1.0), [1.0, 2.0], (1.0,), np.ones((2, 3))]
)
def test_other_roots(params):
    structure, vector = structure_of(params, "theta")
    assert structure.names[0].startswith("theta")
    np.testing.assert_array_equal(structure.ravel(structure.unravel(vector)), vector)


def test_ravel_makes_a_new_vector():
    structure, vector = structure_of(dict(a=1.0, b=2.0), "theta")
    given = vector.copy()
    structure.ravel(given)[0] = 9.0
    np.testing.assert_array_equal(given, vector)


@pytest.mark.parametrize(
    ("theta", "error", "message"),
    [
        (dict(mu=1.0), ValueError, r"expected a dict of mu: a number, .*missing \['beta'\], unexpected \[\]"),
        (dict(mu=1.0, beta=[1.0, 2.0], nu=1.0), ValueError, r"unexpected \['nu'\]"),
        (dict(mu=1.0, beta=[1.0, 2.0, 3.0]), ValueError, r"beta has shape \(3,\), expected \(2,\)"),
        (dict(mu=[1.0], beta=[1.0, 2.0]), ValueError, r"mu has shape \(1,\), expected \(\)"),
        (dict(mu="1.0", beta=[1.0, 2.0]), TypeError, "mu must be a real number"),
        (dict(mu=None, beta=[1.0, 2.0]), TypeError, "mu must be a real number"),
        (dict(mu=1j, beta=[1.0, 2.0]), TypeError, "mu must be a real number"),
        (dict(mu=1.0, beta=[[1.0], [1.0, 2.0]]), TypeError, "ragged"),
        (np.ones(4), ValueError, "theta has 4 elements, expected 3"),
        ([1.0, 2.0], ValueError, "theta has 2 elements, expected 3"),
        (1.0, ValueError, "expected a dict of mu.* one flat vector of length 3.*got float"),
        (np.array(["a", "b", "c"]), TypeError, "theta must be a real number"),
    ],
)
def test_a_wrong_theta_says_what_was_expected(theta, error, message):
    structure, _ = structure_of(dict(mu=1.0, beta=np.ones(2)), "theta")
    with pytest.raises(error, match=message):
        structure.ravel(theta)


def test_a_wrong_sequence_says_what_was_expected():
    structure, _ = structure_of([1.0, (2.0, 3.0)], "theta")
    with pytest.raises(ValueError, match="expected a list of a number, a tuple of a number, a number"):
        structure.ravel([1.0, 2.0])
    with pytest.raises(ValueError, match="got list of 3"):
        structure.ravel([1.0, 2.0, 3.0])


@pytest.mark.parametrize("params", [{}, [], np.array([]), dict(a=[])])
def test_no_parameters_at_all(params):
    with pytest.raises(ValueError, match="holds no numbers"):
        structure_of(params, "theta")


def test_start_values_must_be_finite():
    with pytest.raises(ValueError, match=r"must be finite; these are not: b\[1\]"):
        structure_of(dict(a=1.0, b=np.array([1.0, np.nan])), "theta")


def test_an_empty_leaf_beside_others():
    structure, vector = structure_of(dict(a=1.0, b=np.zeros((0, 2))), "theta")
    assert structure.names == ("a",)
    assert structure.unravel(vector)["b"].shape == (0, 2)
