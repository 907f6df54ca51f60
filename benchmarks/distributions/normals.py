"""The normal distribution and its kin."""

from __future__ import annotations

from typing import Any

import mpmath as mp

from benchmarks.distributions.draws import location_scale
from benchmarks.distributions.row import AROUND_SCALE, CONTINUOUS, DATA, Density, Distribution, Terms, What
from tapegrad import stats


def _norm_terms(x: Any, loc: Any, s: Any) -> dict[What, Terms]:
    z = (x - loc) / s
    return {
        (): (-z * z / 2, -mp.log(s), -mp.log(2 * mp.pi) / 2),
        ("x",): (-z / s,),
        ("loc",): (z / s,),
        ("scale",): (z * z / s, -1 / s),
        ("x", "x"): (-1 / s**2,),
        ("x", "loc"): (1 / s**2,),
        ("x", "scale"): (2 * z / s**2,),
        ("loc", "loc"): (-1 / s**2,),
        ("loc", "scale"): (-2 * z / s**2,),
        ("scale", "scale"): (-3 * z * z / s**2, 1 / s**2),
    }


ROWS = (
    Distribution(
        "norm",
        CONTINUOUS,
        DATA,
        (1.1, 2.3),
        (
            Density(
                "norm",
                stats.norm.logpdf,
                0,
                ("x", "loc", "scale"),
                location_scale,
                _norm_terms,
                AROUND_SCALE,
            ),
        ),
    ),
)
