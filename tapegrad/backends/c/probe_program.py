"""The C programs that show what a compiler can do.

The first checks that arithmetic is IEEE's: no flush to zero, no contraction, sums in their order, NaN and
infinity intact. Then it names the functions of libm that are right in a loop, where compilers call their
vector forms: at thousands of points, and at the edges of their domains.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

RIGHT: Final = "arithmetic is right"
MOST_ULP: Final = 4
POINTS: Final = 4096
# The functions of libm that have vector forms in glibc, with the ends of the points that they are tried on.
ONE_ARGUMENT: Final = {
    **{"exp": (-745.2, 709.9), "exp2": (-1075.0, 1024.1), "exp10": (-323.4, 308.3), "expm1": (-40.0, 709.9)},
    **{"log": (1e-300, 1e3), "log2": (1e-300, 1e3), "log10": (1e-300, 1e3), "log1p": (-1.0, 1e3)},
    **{"sin": (-1e3, 1e3), "cos": (-1e3, 1e3), "tan": (-1e3, 1e3)},
    **{"sinh": (-711.0, 711.0), "cosh": (-711.0, 711.0), "tanh": (-20.0, 20.0)},
    **{"asin": (-1.0, 1.0), "acos": (-1.0, 1.0), "atan": (-1e3, 1e3)},
    **{"asinh": (-1e3, 1e3), "acosh": (1.0, 1e3), "atanh": (-1.0, 1.0)},
    **{"cbrt": (-1e3, 1e3), "erf": (-6.0, 6.0), "erfc": (-6.0, 27.3)},
}
TWO_ARGUMENTS: Final = {
    "pow": ((1e-3, 1e3), (-30.0, 30.0)),
    "atan2": ((-1e3, 1e3), (-1e3, 1e3)),
    "hypot": ((-1e3, 1e3), (-1e3, 1e3)),
}
FUNCTIONS: Final = (*ONE_ARGUMENT, *TWO_ARGUMENTS)

_HEAD = """\
#define _GNU_SOURCE
#include <float.h>
#include <math.h>
#include <stdio.h>

enum { POINTS = %(points)d, EDGES = 16, COUNT = POINTS + EDGES };
static const double edges[EDGES] = {
    NAN, INFINITY, -INFINITY, 0.0, -0.0, 5e-324, -5e-324, 1e-310, -1e-310, 1.0, -1.0, DBL_MIN,
    DBL_MAX, -DBL_MAX, 0.5, 2.0};
static double a[COUNT], b[COUNT], found[COUNT];
static long double expected[COUNT];

static double step(unsigned long long *state, double low, double high) {
    *state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
    return low + (high - low) * (double)(*state >> 11) / 9007199254740992.0;
}

static void fill(double *x, unsigned long long state, double low, double high, int stride) {
    for (int i = 0; i < POINTS; i++) x[i] = step(&state, low, high);
    for (int i = 0; i < EDGES; i++) x[POINTS + i] = edges[i * stride %% EDGES];
}

static int near(double y, long double exact) {
    double rounded = (double)exact;
    if (isnan(rounded) || isinf(rounded) || rounded == 0.0)
        return isnan(rounded) ? isnan(y) : y == rounded && signbit(y) == signbit(rounded);
    if (isnan(y) || isinf(y)) return isinf(y) && fabsl(exact) >= DBL_MAX && (y > 0) == (exact > 0);
    long double ulp = fabs(rounded) - nextafter(fabs(rounded), 0.0);
    return fabsl(y - exact) <= %(most)d * ulp;
}

static int all_near(void) {
    for (int i = 0; i < COUNT; i++)
        if (!near(found[i], expected[i])) return 0;
    return 1;
}

static int arithmetic(void) {
    volatile double tiny = 1e-310, one = 1.0, nan = NAN, e = DBL_EPSILON, terms[64];
    volatile double small = tiny * 0.5, square = (one + e) * (one + e);
    double product = (one + e) * (one + e) - square, sum = 0.0, order = 0.0;
    for (int i = 0; i < 64; i++) terms[i] = (i %% 3 ? -1e16 : 1e16) + i;
    double values[64];
    for (int i = 0; i < 64; i++) values[i] = terms[i];
    for (int i = 0; i < 64; i++) sum += values[i];
    for (int i = 0; i < 64; i++) {
        volatile double so_far = order + terms[i];
        order = so_far;
    }
    return small > 0.0 && small == 5e-311 && nan != nan && isnan(nan) && isinf(one / 0.0) && product == 0.0
        && sum == order && signbit(-0.0 * one);
}
"""
_ONE = """
static void in_a_loop_%(name)s(const double *restrict x, double *restrict y) {
    for (int i = 0; i < COUNT; i++) y[i] = %(name)s(x[i]);
}
static void try_%(name)s(void) {
    long double (*volatile exact)(long double) = %(name)sl;
    fill(a, 1, %(first)s, 1);
    in_a_loop_%(name)s(a, found);
    for (int i = 0; i < COUNT; i++) expected[i] = exact(a[i]);
    if (all_near()) puts("%(name)s");
}
"""
_TWO = """
static void in_a_loop_%(name)s(const double *restrict x, const double *restrict z, double *restrict y) {
    for (int i = 0; i < COUNT; i++) y[i] = %(name)s(x[i], z[i]);
}
static void try_%(name)s(void) {
    long double (*volatile exact)(long double, long double) = %(name)sl;
    int right = 1;
    for (int stride = 1; stride < EDGES; stride += 2) {
        fill(a, 1, %(first)s, 1);
        fill(b, 2, %(second)s, stride);
        in_a_loop_%(name)s(a, b, found);
        for (int i = 0; i < COUNT; i++) expected[i] = exact(a[i], b[i]);
        right &= all_near();
    }
    if (right) puts("%(name)s");
}
"""


def prototypes(names: Sequence[str]) -> str:
    """What tells GCC that functions have vector forms: glibc's header says it under -ffast-math only."""
    lines = [
        f'__attribute__((simd("notinbranch"))) double {name}({", ".join(["double"] * count)});'
        for count, group in ((1, ONE_ARGUMENT), (2, TWO_ARGUMENTS))
        for name in group
        if name in names
    ]
    return "".join(f"{line}\n" for line in lines)


def test_program(names: Sequence[str]) -> str:
    """The program that tries the arithmetic, and these functions."""
    text = _HEAD % {"points": POINTS, "most": MOST_ULP}
    for name in names:
        if name in ONE_ARGUMENT:
            text += _ONE % {"name": name, "first": _ends(ONE_ARGUMENT[name])}
        else:
            first, second = TWO_ARGUMENTS[name]
            text += _TWO % {"name": name, "first": _ends(first), "second": _ends(second)}
    calls = "".join(f"    try_{name}();\n" for name in names)
    return f'{text}\nint main(void) {{\n    if (arithmetic()) puts("{RIGHT}");\n{calls}    return 0;\n}}\n'


def _ends(ends: tuple[float, float]) -> str:
    low, high = ends
    return f"{low}, {high}"
