"""Hypergeometric functions of scipy.special in their argument: derivatives raise the parameters by one."""

from __future__ import annotations

import numpy as np

from tapegrad.ops.orders import no_slope_in
from tapegrad.ops.raw import special
from tapegrad.ops.registry import Op, elementwise

Z = np.array([-0.7, 0.2, 0.6])


# Parameters are whole numbers in the samples: these are not moved.
hyp1f1: Op = elementwise(
    "hyp1f1",
    special.hyp1f1,
    no_slope_in("hyp1f1", "a"),
    no_slope_in("hyp1f1", "b"),
    (lambda out, a, b, z: a / b, lambda out, a, b, z: hyp1f1(a + 1.0, b + 1.0, z)),
    samples=((2, 3, Z),),
)
hyp2f1: Op = elementwise(
    "hyp2f1",
    special.hyp2f1,
    no_slope_in("hyp2f1", "a"),
    no_slope_in("hyp2f1", "b"),
    no_slope_in("hyp2f1", "c"),
    (lambda out, a, b, c, z: a * b / c, lambda out, a, b, c, z: hyp2f1(a + 1.0, b + 1.0, c + 1.0, z)),
    samples=((2, 1, 3, Z),),
)
hyperu: Op = elementwise(
    "hyperu",
    special.hyperu,
    no_slope_in("hyperu", "a"),
    no_slope_in("hyperu", "b"),
    (-1.0, lambda out, a, b, x: a, lambda out, a, b, x: hyperu(a + 1.0, b + 1.0, x)),
    samples=((2, 3, np.array([0.4, 1.3])),),
)
