/* The incomplete gamma function, with derivatives of every order in its shape: the same formulas as those of
   tapegrad/ops/incomplete_gamma.py. Values for shapes up to TG_TAILED are by their power series or by Legendre's
   continued fraction (DLMF 8.7.1, 8.7.3 and 8.9.2); all others, and all derivatives, by Gauss's rule over a
   tail. */

#define TG_TAILED 80.0
#define TG_END 40.0     /* exp(-40) is less than a rounding */
#define TG_LEAST 1e-300 /* stands for a shape of 0, of which it has the limits */
#define TG_ORDERS 101

/* log(x**a exp(-x) / Gamma(a + 1)) */
TG_ALONE tg_gamma_term(double a, double x) {
    if (a > 10.0) return -tg_bd0(a, x) - tg_gamma_rest_0(a) - TG_HALF_LOG_2PI - log(a);
    return tg_xlogy(a, x) - x - tg_lgamma_right(a + 1.0);
}

/* Its exponential: that of -x by itself, because x has more digits than a sum with it. */
TG_ALONE tg_gamma_power(double a, double x) {
    if (a > 10.0 || x > 700.0) return exp(tg_gamma_term(a, x));
    return exp(tg_xlogy(a, x) - tg_lgamma_right(a + 1.0)) * exp(-x);
}

/* log(x) - psi(a) */
TG_ALONE tg_gamma_excess(double a, double x) { return tg_log_ratio(x, a) - tg_gamma_rest_1(a); }

/* exp(v) - 1 - v */
TG_ALONE tg_exp_rest(double v) {
    if (fabs(v) >= 0.5) return expm1(v) - v;
    double total = 0.0;
    for (int k = 15; k > 1; k--) total = (total * v + 1.0) / k; /* by Horner: v / k (1 + ...) */
    return v * v * total;
}

/* The first n derivatives of exp(f), by it, from the cumulants: those of f. */
static inline __attribute__((unused)) void tg_bell(const double *cumulants, int n, double *found) {
    found[0] = 1.0;
    for (int k = 1; k <= n; k++) {
        double total = 0.0, choose = 1.0;
        for (int p = 0; p < k; p++) {
            total += choose * found[p] * cumulants[k - p];
            choose = choose * (k - 1 - p) / (p + 1.0);
        }
        found[k] = total;
    }
}

/* How the density moves with its shape, at log(t) - log(x) = u: of order n, by t**a / Gamma(a + 1). Next to 0 the
   terms of 1 / Gamma(a) would cancel, so there Gamma(a + 1) is differentiated. */
typedef struct {
    int order;
    double shape, start, once, cumulants[TG_ORDERS];
} tg_shape;

static inline __attribute__((unused)) void tg_gamma_shape(int n, double a, double x, tg_shape *made) {
    const double raised = a < 1.0 ? a + 1.0 : a;
    made->order = n, made->shape = a, made->once = a < 1.0 ? n : 0.0;
    made->start = n ? tg_gamma_excess(raised, x) : 0.0;
    for (int i = 2; i <= n; i++) made->cumulants[i] = -tg_polygamma(i - 1.0, raised);
}

TG_ALONE tg_shape_weight(tg_shape *made, double u) {
    double found[TG_ORDERS];
    if (made->order == 0) return made->shape;
    made->cumulants[1] = made->start + u;
    tg_bell(made->cumulants, made->order, found);
    return made->shape * found[made->order] + made->once * found[made->order - 1];
}

/* Minus the logarithm of the density at a distance v from x, to one side, by that at x. */
TG_ALONE tg_gamma_fall(double a, double x, double v) { return (a - x) * v + x * tg_exp_rest(-v); }

/* The integral over a tail, the lower (side 1) or the upper one (side -1), by the density at x. */
TG_ALONE tg_gamma_tail(int n, double a, double x, double side) {
    tg_shape shape;
    tg_gamma_shape(n, a, x, &shape);
    double low, high;
    if (side > 0.0) {
        low = TG_END / a;
        high = fmin((TG_END + x) / a, a > x ? TG_END / (a - x) : INFINITY);
        high = fmax(high, low);
    } else {
        const double gap = x - a;
        high = 2.0 * TG_END / (gap + sqrt(gap * gap + 2.0 * TG_END * x));
        low = fmin(log1p(TG_END / x), high);
    }
    low = log(low), high = log(high);
    for (int i = 0; i < 8; i++) { /* where it ends */
        const double middle = 0.5 * (low + high);
        const int before = tg_gamma_fall(a, x, side * exp(middle)) < TG_END;
        low = before ? middle : low, high = before ? high : middle;
    }
    const double end = exp(high);
    double total = 0.0;
    for (int i = 0; i < 64; i++) {
        const double v = side * tg_tail_nodes[i] * end;
        total += tg_tail_weights[i] * exp(-tg_gamma_fall(a, x, v)) * tg_shape_weight(&shape, -v);
    }
    return end * total;
}

/* The share below x, or above it, where both arguments are positive and finite. */
TG_ALONE tg_gamma_series(double a, double x) {
    double term = 1.0, total = 1.0;
    for (int k = 1; k < 2000 && term > 1e-17 * total; k++) {
        term *= x / (a + k);
        total += term;
    }
    return tg_gamma_power(a, x) * total;
}

TG_ALONE tg_gamma_fraction(double a, double x) {
    double b = x + 1.0 - a, c = 1e300, d = 1.0 / b, found = d;
    for (int k = 1; k < 2000; k++) {
        const double top = -k * (k - a);
        b += 2.0;
        d = 1.0 / (b + top * d);
        c = b + top / c;
        found *= c * d;
        if (fabs(c * d - 1.0) < 1e-16) break;
    }
    return tg_gamma_power(a, x) * a * found;
}

/* For small shapes what is above is 1 less almost 1. */
TG_ALONE tg_gamma_small_shape(double a, double x) {
    double term = 1.0, total = 0.0;
    for (int k = 1; k < 60; k++) {
        term *= -x / k;
        total += term * a / (a + k);
    }
    const double lgamma_of_next = a <= 0.5 ? a * tg_gamma_near_2(a) - log1p(a) : tg_lgamma_right(a + 1.0);
    const double power = a * log(x) - lgamma_of_next;
    return -expm1(power) - exp(power) * total;
}

TG_ALONE tg_gamma_share(double a, double x, int above) {
    double share;
    int is_above = x >= a;
    if (a > TG_TAILED) {
        share = tg_gamma_power(a, x) * tg_gamma_tail(0, a, x, is_above ? -1.0 : 1.0);
    } else if (x < 1.5 && a < 1.0) {
        share = above ? tg_gamma_small_shape(a, x) : tg_gamma_series(a, x);
        is_above = above;
    } else {
        is_above = x >= a + 1.0;
        share = is_above ? tg_gamma_fraction(a, x) : tg_gamma_series(a, x);
    }
    return is_above == above ? share : 1.0 - share;
}

TG_ALONE tg_gammainc(double a, double x) {
    if (!(a >= 0.0 && x >= 0.0) || (a == 0.0 && x == 0.0) || (a == INFINITY && x == INFINITY)) return NAN;
    if (x == 0.0 || a == INFINITY) return 0.0;
    return a == 0.0 || x == INFINITY ? 1.0 : tg_gamma_share(a, x, 0);
}

TG_ALONE tg_gammaincc(double a, double x) {
    if (!(a >= 0.0 && x >= 0.0) || (a == 0.0 && x == 0.0) || (a == INFINITY && x == INFINITY)) return NAN;
    if (x == 0.0 || a == INFINITY) return 1.0;
    return a == 0.0 || x == INFINITY ? 0.0 : tg_gamma_share(a, x, 1);
}

/* The derivative of gammainc of order n in its shape. */
TG_ALONE tg_gamma_moved(int n, double a, double x) {
    const double side = tg_gamma_excess(a, x) < 0.0 ? 1.0 : -1.0;
    return side * tg_gamma_power(a, x) * tg_gamma_tail(n, a, x, side);
}

TG_ALONE tg_gammainc_slope(double n, double a, double x) {
    if (n == 0.0) return tg_gammainc(a, x);
    if (!(n > 0.0 && n < TG_ORDERS && n == rint(n))) return NAN;
    if (!(a >= 0.0 && x > 0.0 && a < INFINITY && x < INFINITY)) return a >= 0.0 && x >= 0.0 ? 0.0 : NAN;
    a = fmax(a, TG_LEAST);
    if (a >= 1.0 || x >= 2.0) return tg_gamma_moved((int)n, a, x);
    tg_shape shape; /* P(a, x) = P(a + 1, x) + x**a exp(-x) / Gamma(a + 1) */
    double found[TG_ORDERS];
    tg_gamma_shape((int)n, a + 1.0, x, &shape);
    shape.cumulants[1] = shape.start;
    tg_bell(shape.cumulants, (int)n, found);
    return tg_gamma_power(a, x) * found[(int)n] + tg_gamma_moved((int)n, a + 1.0, x);
}

/* The density of a gamma variable, and its derivatives of order n in the shape and m in x. */
TG_ALONE tg_gamma_at_0(double n, double m, double a) {
    if (a == 1.0 && n == 0.0) return fmod(m, 2.0) == 0.0 ? 1.0 : -1.0;
    if (a < 1.0 && a > 0.0 && m == 0.0 && n == 0.0) return INFINITY;
    return a > m + 1.0 || a == 0.0 ? 0.0 : NAN;
}

TG_ALONE tg_gamma_density(double n, double m, double a, double x) {
    if (!(n >= 0.0 && n < TG_ORDERS && n == rint(n) && m >= 0.0 && m < TG_ORDERS && m == rint(m))) return NAN;
    if (!(a >= 0.0 && x > 0.0 && a < INFINITY && x < INFINITY)) {
        if (!(a >= 0.0 && x >= 0.0)) return NAN;
        return x == 0.0 ? tg_gamma_at_0(n, m, a) : 0.0;
    }
    a = fmax(a, TG_LEAST);
    const int order = (int)n;
    const double start = exp(tg_gamma_term(a, x) - log(x));
    double rows[3][TG_ORDERS];
    double *below = rows[0], *last = rows[1], *next = rows[2];
    tg_shape shape;
    for (int j = 0; j <= order; j++) {
        tg_gamma_shape(j, a, x, &shape);
        below[j] = 0.0, last[j] = start * tg_shape_weight(&shape, 0.0);
    }
    for (int k = 0; k < (int)m; k++) { /* x g' = (a - 1 - x) g, differentiated k times in x and j times in a */
        for (int j = 0; j <= order; j++) {
            double rise = (a - (k + 1.0) - x) * last[j];
            if (j) rise += j * last[j - 1];
            if (k) rise -= k * below[j];
            next[j] = rise / x;
        }
        double *const spare = below;
        below = last, last = next, next = spare;
    }
    return last[order];
}
