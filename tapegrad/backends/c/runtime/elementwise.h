/* Elementwise ops that are more than one expression. */

#include <math.h>
#include <stdint.h>

#define TG_LOG2 0.69314718055994530942
#define TG_LOG2E 1.44269504088896340736
/* How functions are declared: the printer looks it up here. TG_FORM: without branches, so that loops over it
   vectorise. TG_EXACT: so, and with NumPy's bits. TG_ALONE: with branches, in a loop of its own; the same with
   NumPy's bits is TG_EXACT_ALONE. */
#define TG_FORM static inline __attribute__((always_inline, unused)) double
#define TG_EXACT TG_FORM
#define TG_ALONE static inline __attribute__((unused)) double
#define TG_EXACT_ALONE TG_ALONE

typedef union {
    double number;
    int64_t bits;
} tg_double;

/* x where c is 1, and y where it is 0. By masks: of `c ? x : y` a compiler may make a branch, into which it
   moves what only one side needs, and then the loop around it does not vectorise. */
TG_EXACT tg_where(int64_t c, double x, double y) {
    const tg_double a = {x}, b = {y};
    const tg_double chosen = {.bits = b.bits ^ ((a.bits ^ b.bits) & -c)};
    return chosen.number;
}

/* x where c is 1, and 0 where it is 0. */
TG_EXACT tg_kept(int64_t c, double x) {
    const tg_double a = {x};
    const tg_double kept = {.bits = a.bits & -c};
    return kept.number;
}

TG_EXACT tg_maximum(double x, double y) { return tg_where((x >= y) | (x != x), x, y); }
TG_EXACT tg_minimum(double x, double y) { return tg_where((x <= y) | (x != x), x, y); }
TG_EXACT tg_fmax(double x, double y) { return tg_where((x >= y) | (y != y), x, y); }
TG_EXACT tg_fmin(double x, double y) { return tg_where((x <= y) | (y != y), x, y); }

TG_EXACT tg_sign(double x) { return tg_where(x != x, x, (double)((x > 0.0) - (x < 0.0))); }
TG_EXACT tg_heaviside(double x, double at_0) {
    return tg_where(x != x, x, tg_where(x == 0.0, at_0, tg_kept(x > 0.0, 1.0)));
}

TG_EXACT tg_relu(double x) { return tg_kept(!(x <= 0.0), x); }

/* A product or a quotient with a gate: where the gate is 0, the result is. */
TG_EXACT tg_gated_mul(double gate, double x) { return tg_kept(gate != 0.0, gate * x); }
TG_EXACT tg_gated_div(double gate, double x) { return tg_kept(gate != 0.0, gate / x); }

/* As NumPy has them: the remainder has the sign of the divisor. */
TG_EXACT_ALONE tg_remainder(double x, double y) {
    const double r = fmod(x, y);
    if (y == 0.0) return r;
    if (r == 0.0) return copysign(0.0, y);
    return (y < 0.0) != (r < 0.0) ? r + y : r;
}

TG_EXACT_ALONE tg_floor_divide(double x, double y) {
    if (y == 0.0) return x / y;
    const double r = fmod(x, y);
    const double q = (x - r) / y - ((r != 0.0) & ((y < 0.0) != (r < 0.0)) ? 1.0 : 0.0);
    if (q == 0.0) return copysign(0.0, x / y);
    const double whole = floor(q);
    return q - whole > 0.5 ? whole + 1.0 : whole;
}

/* Sums of exponentials: each has exp(-|x - y|). At equal infinities the difference is NaN. */
TG_FORM tg_gap(double x, double y) { return exp(-fabs(x - y)); }

TG_FORM tg_logaddexp(double x, double y) {
    const double far = tg_where(x > y, x, y) + log1p(tg_gap(x, y));
    return tg_where(x == y, x + TG_LOG2, far);
}

TG_FORM tg_logaddexp2(double x, double y) {
    const double far = tg_where(x > y, x, y) + TG_LOG2E * log1p(exp2(-fabs(x - y)));
    return tg_where(x == y, x + 1.0, far);
}

TG_FORM tg_exp_gap(double x, double y) {
    return tg_where(x == y, tg_kept(x > -INFINITY, 1.0), tg_gap(x, y));
}

TG_FORM tg_one_above(double x, double y, double e) { return tg_maximum(e, tg_kept(x > y, 1.0)); }

TG_FORM tg_share(double x, double y) {
    /* One division, which the shares of x and of y have in common. */
    const double e = tg_gap(x, y), larger = 1.0 / (1.0 + e), share = tg_where(x > y, larger, e * larger);
    return tg_where(x == y, tg_kept(x > -INFINITY, 0.5), share);
}

TG_FORM tg_both_shares(double x, double y) {
    const double e = tg_gap(x, y), larger = 1.0 / (1.0 + e), both = e * larger * larger;
    return tg_where(x == y, tg_kept(x > -INFINITY, 0.25), both);
}

TG_FORM tg_share_gap(double x, double y) {
    return tg_kept(x != y, tanh(0.5 * (x - y)));
}

TG_FORM tg_gap2(double x, double y) { return tg_where(x == y, x, TG_LOG2 * (x - y)); }
TG_FORM tg_share2(double x, double y) { return tg_share(tg_gap2(x, y), tg_kept(x == y, y)); }
TG_FORM tg_both_shares2(double x, double y) { return tg_both_shares(tg_gap2(x, y), tg_kept(x == y, y)); }
TG_FORM tg_share_gap2(double x, double y) { return tg_share_gap(tg_gap2(x, y), tg_kept(x == y, y)); }

TG_FORM tg_expit(double x) {
    const double e = exp(-fabs(x));
    return tg_where(x >= 0.0, 1.0, e) / (1.0 + e);
}

TG_FORM tg_log_expit(double x) { return tg_kept(x < 0.0, x) - log1p(exp(-fabs(x))); }
TG_FORM tg_softplus(double x) { return tg_logaddexp(0.0, x); }

TG_FORM tg_logit(double x) {
    /* Near 1/2 the quotient is near 1, and the logarithm of a rounded quotient has lost its digits. */
    const double s = 2.0 * (x - 0.5), near = log1p(s) - log1p(-s), far = log(x / (1.0 - x));
    return tg_where((x < 0.3) | (x > 0.65), far, near);
}

/* 0 times a logarithm is 0, unless the other is NaN. */
TG_FORM tg_xlogy(double x, double y) {
    return tg_kept((x != 0.0) | (y != y), x * log(y));
}

TG_FORM tg_xlog1py(double x, double y) {
    return tg_kept((x != 0.0) | (y != y), x * log1p(y));
}

TG_FORM tg_sech(double x) {
    const double e = exp(-fabs(x));
    return 2.0 * e / (e * e + 1.0);
}

TG_FORM tg_log_cosh(double x) {
    const double size = fabs(x), s = sinh(tg_where(size < 1.0, size, 1.0)), near = 0.5 * log1p(s * s);
    const double far = size + log1p(exp(-2.0 * size)) - TG_LOG2;
    return tg_where(size < 1.0, near, far);
}

TG_FORM tg_sin_arctan(double x) {
    const double found = x / hypot(1.0, x);
    return tg_where(fabs(x) == INFINITY, tg_sign(x), found);
}

/* x / hypot(x, y), and 0 at the origin: the length of the smallest numbers has no digits, of the largest it
   is infinite. */
TG_ALONE tg_cosine(double x, double y) {
    const double length = hypot(x, y);
    if ((length > 1e-290) & (length < 1e300)) return x / length;
    if (length == 0.0) return 0.0;
    if ((fabs(x) == INFINITY) & (fabs(y) < INFINITY)) return x > 0.0 ? 1.0 : -1.0;
    int shift;
    frexp(fmax(fabs(x), fabs(y)), &shift);
    const double a = ldexp(x, -shift), b = ldexp(y, -shift);
    return a / hypot(a, b);
}
