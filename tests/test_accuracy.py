"""A smaller version of ``python -m benchmarks --accuracy``: the ops and their derivatives against mpmath."""

from __future__ import annotations

import pytest

from benchmarks.accuracy import Worst
from benchmarks.accuracy_more import ALL_SPECIAL, WITHIN_ALL
from benchmarks.accuracy_ops import BINARY, UNARY, WITHIN, rows_of
from benchmarks.accuracy_special import rows_of_special
from benchmarks.distributions.quantiles import WITHIN_QUANTILES
from tapegrad.ops import OPS
from tapegrad.ops.registry import Elementwise


def test_every_differentiable_elementwise_op_has_a_reference():
    ops = {op.name for op in OPS.values() if op.is_elementwise and (op.domain or op.rule) and not op.own}
    missing = {name for name in ops if OPS[name].rule is not None} - {
        *UNARY,
        *BINARY,
        *WITHIN,
        *ALL_SPECIAL,
        *WITHIN_ALL,
        *WITHIN_QUANTILES,
    }
    assert missing <= {"add_n", "where"}  # linear


def test_no_reference_is_left_over():
    assert {*UNARY, *BINARY, *WITHIN, *ALL_SPECIAL, *WITHIN_ALL, *WITHIN_QUANTILES} <= OPS.keys()
    assert all(isinstance(OPS[name].rule, Elementwise) for name in UNARY if name != "relu")


# By mpmath one of their points takes seconds.
SLOW = ("poisson_betainc", "poisson_betaincc", "poisson_gammaincc", "bivariate_normal", "hyp2f1")


def broken_rows(name: str, share: int) -> list[Worst]:
    """What is worse than its bound at one of so many points of an op."""
    if name in ALL_SPECIAL:
        rows = rows_of_special(name, ALL_SPECIAL[name], share)
    else:
        rows = rows_of(name, {**UNARY, **BINARY}[name], share)
    return [row for row in rows if not row.error <= row.bound]


@pytest.mark.parametrize("name", [*UNARY, *BINARY])
def test_derivatives_of_an_op_over_the_range_of_doubles(name):
    assert not broken_rows(name, 7 if name in UNARY else 37)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in ALL_SPECIAL]
)
def test_derivatives_of_a_function_of_several_arguments(name):
    assert not broken_rows(name, len(ALL_SPECIAL[name].points) // (2 if name in SLOW else 4) + 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*UNARY, *BINARY, *ALL_SPECIAL])
def test_derivatives_at_more_points(name):
    share = 6 if name in UNARY else 24 if name in BINARY else len(ALL_SPECIAL[name].points) // 5 + 1
    assert not broken_rows(name, share)
