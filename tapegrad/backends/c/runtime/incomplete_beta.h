/* Derivatives of the incomplete beta function in its shapes, of every order, and the density: the formulas of
   tapegrad/ops/incomplete_beta.py. y is 1 - x, which some distributions know better than by a difference. */

typedef struct {
    double a, b, x, y;
} tg_beta;

/* log(x**a y**b / B(a, b)) */
TG_ALONE tg_beta_factor(tg_beta at) {
    const double a = at.a, b = at.b, x = at.x, y = at.y;
    if (fmin(a, b) > 10.0) {
        const double rest = tg_gamma_rest_0(a + b) - tg_gamma_rest_0(a) - tg_gamma_rest_0(b) - TG_HALF_LOG_2PI;
        return rest - tg_bd0(a, (a + b) * x) - tg_bd0(b, (a + b) * y);
    }
    return tg_xlogy(a, x) + (b == 0.0 ? 0.0 : b * (x < 0.5 ? log1p(-x) : log(y))) - tg_betaln(a, b);
}

/* The logarithm of x, by y where this is known better. */
TG_ALONE tg_beta_log(double x, double y) { return x < 0.5 ? log(x) : log1p(-y); }

/* psi_n(shape + other) - psi_n(raised) */
TG_ALONE tg_beta_rise(int n, double shape, double raised, double other) {
    if (raised == shape) return tg_polygamma_step(n, shape, other);
    const double high = shape + other;
    return tg_polygamma_step(n, raised, fmax(high - raised, 0.0)) -
           tg_polygamma_step(n, high, fmax(raised - high, 0.0));
}

TG_ALONE tg_choose(int n, int k) {
    double found = 1.0;
    for (int i = 1; i <= k; i++) found = found * (n - k + i) / i;
    return found;
}

/* The derivatives of exp(f) up to the order (i, j), by it; f's of order (p, q) are cumulants[p][q]. */
static inline __attribute__((unused)) void tg_bell_2(int i, int j, const double *cumulants, double *found) {
    const int width = j + 1;
    for (int p = 0; p <= i; p++)
        for (int q = 0; q <= j; q++) {
            const int a = p ? p - 1 : 0, b = p ? q : q - 1;
            double total = p + q == 0 ? 1.0 : 0.0;
            for (int k = 0; p + q && k <= a; k++)
                for (int l = 0; l <= b; l++)
                    total += tg_choose(a, k) * tg_choose(b, l) * found[k * width + l] *
                             cumulants[(p - k) * width + q - l];
            found[p * width + q] = total;
        }
}

/* Whether a shape is taken out as a factor: a small one, or one next to a straight line. */
TG_ALONE tg_beta_is_out(double shape, double other) {
    return (shape < 1.0 && shape < other) || fabs(other - 1.0) < 0.5;
}

/* How the density moves with its shapes: of order (i, j), by x**a y**b / B(a, b), where log(x) has moved by u
   and log(y) by w. A shape is taken out as a factor by 1 / Gamma(a) = a / Gamma(a + 1). */
static inline __attribute__((unused)) void tg_beta_cumulants(
    int i, int j, tg_beta at, double p, double q, double *cumulants) {
    for (int k = 0; k <= i; k++)
        for (int l = 0; l <= j; l++) {
            double *const one = cumulants + k * (j + 1) + l;
            if (k && l) *one = tg_polygamma(k + l - 1.0, at.a + at.b);
            else if (k) *one = tg_beta_rise(k - 1, at.a, p, at.b);
            else if (l) *one = tg_beta_rise(l - 1, at.b, q, at.a);
        }
    if (i) cumulants[j + 1] += tg_beta_log(at.x, at.y);
    if (j) cumulants[1] += tg_beta_log(at.y, at.x);
}

TG_ALONE tg_beta_weight(int i, int j, tg_beta at, const double *cumulants, double u, double w) {
    const int width = j + 1;
    double moved[(i + 1) * width], found[(i + 1) * width];
    __builtin_memcpy(moved, cumulants, sizeof moved);
    if (i) moved[width] += u;
    if (j) moved[1] += w;
    tg_bell_2(i, j, moved, found);
    const double by_a = tg_beta_is_out(at.a, at.b) ? i / at.a : 0.0;
    const double by_b = tg_beta_is_out(at.b, at.a) ? j / at.b : 0.0;
    double total = found[i * width + j];
    if (i) total += by_a * found[(i - 1) * width + j];
    if (j) total += by_b * found[i * width + j - 1];
    if (i && j) total += by_a * by_b * found[(i - 1) * width + j - 1];
    return total;
}

static inline __attribute__((unused)) void tg_beta_shape(int i, int j, tg_beta at, double *cumulants) {
    const double p = tg_beta_is_out(at.a, at.b) ? at.a + 1.0 : at.a;
    const double q = tg_beta_is_out(at.b, at.a) ? at.b + 1.0 : at.b;
    tg_beta_cumulants(i, j, at, p, q, cumulants);
}

/* Where the log odds are v below those of x: log((1 - t) / (1 - x)), and minus the logarithm of the density. */
TG_ALONE tg_beta_fall(tg_beta at, double v) {
    return at.x < 0.5 ? log1p(at.x * expm1(-v)) : log1p(at.y * expm1(fmin(v, 700.0))) - v;
}

TG_ALONE tg_beta_depth(tg_beta at, double v) {
    const double n = at.a + at.b;
    if (at.x < 0.5) return at.a * v + n * log1p(at.x * expm1(-v));
    return n * log1p(at.y * expm1(fmin(v, 700.0))) - at.b * v;
}

/* The integral from 0 to x, by the density at x. */
TG_ALONE tg_beta_tail(int i, int j, tg_beta at) {
    double cumulants[(i + 1) * (j + 1)];
    tg_beta_shape(i, j, at, cumulants);
    const double slope = at.a * at.y - at.b * at.x;
    double low = TG_END / at.a, total = 0.0;
    double high = fmin((TG_END - (at.a + at.b) * log(at.y)) / at.a, slope > 0.0 ? TG_END / slope : INFINITY);
    high = log(fmax(high, low)), low = log(low);
    for (int k = 0; k < 8; k++) {
        const double middle = 0.5 * (low + high);
        const int before = tg_beta_depth(at, exp(middle)) < TG_END;
        low = before ? middle : low, high = before ? high : middle;
    }
    const double end = exp(high);
    for (int k = 0; k < 64; k++) {
        const double v = tg_tail_nodes[k] * end, fall = tg_beta_fall(at, v);
        const double weight = tg_beta_weight(i, j, at, cumulants, -v - fall, -fall);
        total += tg_tail_weights[k] * exp(-tg_beta_depth(at, v)) * weight;
    }
    return end * total;
}

TG_ALONE tg_beta_integral(int i, int j, tg_beta at) {
    const tg_beta other = {at.b, at.a, at.y, at.x};
    const int left = i >= j ? tg_beta_log(at.x, at.y) + tg_polygamma_step(0.0, at.a, at.b) < 0.0
                            : tg_beta_log(at.y, at.x) + tg_polygamma_step(0.0, at.b, at.a) > 0.0;
    return exp(tg_beta_factor(at)) * (left ? tg_beta_tail(i, j, at) : -tg_beta_tail(j, i, other));
}

/* Next to 0, for a small shape: the sum of (1 - b)_k x**k / k! a / (a + k), differentiated term by term. */
TG_ALONE tg_beta_series(int i, int j, double a, double b, double x) {
    double row[j + 1], total = i + j == 0 ? 1.0 : 0.0;
    for (int n = 0; n <= j; n++) row[n] = n ? 0.0 : 1.0;
    const double factor = (i % 2 ? 1.0 : -1.0) * tgamma(i + 1.0);
    for (int k = 1; k < 60; k++) {
        for (int n = j; n >= 0; n--) row[n] = (row[n] * (k - b) - (n ? n * row[n - 1] : 0.0)) * (x / k);
        total += row[j] * (i ? factor * k * tg_power_of(1.0 / (a + k), i + 1) : a / (a + k));
    }
    return total;
}

TG_ALONE tg_beta_near_0(int i, int j, tg_beta at) {
    const double a = at.a, b = at.b, q = tg_beta_is_out(b, a) ? b + 1.0 : b, by_b = q > b ? 1.0 / b : 0.0;
    const int width = j + 1;
    double cumulants[(i + 1) * width], of[(i + 1) * width], total = 0.0;
    tg_beta_cumulants(i, j, at, a + 1.0, q, cumulants);
    if (i) cumulants[width] += log(at.x) - tg_beta_log(at.x, at.y);
    if (j) cumulants[1] -= tg_beta_log(at.y, at.x); /* which the series holds */
    tg_bell_2(i, j, cumulants, of);
    for (int n = 0; n <= i; n++)
        for (int m = 0; m <= j; m++) {
            const double weight = of[n * width + m] + (m ? m * by_b * of[n * width + m - 1] : 0.0);
            total += tg_choose(i, n) * tg_choose(j, m) * weight * tg_beta_series(i - n, j - m, a, b, at.x);
        }
    return exp(a * log(at.x) - log(a) - tg_betaln(a, b)) * total;
}

TG_ALONE tg_beta_is_inside(double a, double b, double x, double y) {
    return a >= 0.0 && b >= 0.0 && x > 0.0 && y > 0.0 && a < INFINITY && b < INFINITY && a + b > 0.0;
}

static inline __attribute__((unused)) tg_beta tg_beta_at(double a, double b, double x, double y) {
    const tg_beta at = {fmax(a, TG_LEAST), fmax(b, TG_LEAST), x < 0.5 ? x : 1.0 - y, x < 0.5 ? 1.0 - x : y};
    return at; /* the smaller of x and y is known better */
}

TG_ALONE tg_is_order(double n) { return n >= 0.0 && n < TG_ORDERS && n == rint(n); }

/* Whether the series next to 0 is better than the integral. */
TG_ALONE tg_beta_is_close(tg_beta at) {
    return ((at.a < 1.0 && at.x < 0.5) || (at.a < 1.5 && at.x < 1e-3)) && at.b * at.x < 2.0;
}

/* The derivative of order (i, j), not (0, 0), of the incomplete beta function in its shapes. */
TG_ALONE tg_betainc_slope(double i, double j, double a, double b, double x, double y) {
    if (!(tg_is_order(i) && tg_is_order(j) && i + j > 0.0)) return NAN;
    if (!tg_beta_is_inside(a, b, x, y)) return a >= 0.0 && b >= 0.0 && x >= 0.0 && x <= 1.0 ? 0.0 : NAN;
    const tg_beta at = tg_beta_at(a, b, x, y), other = {at.b, at.a, at.y, at.x};
    if (tg_beta_is_close(at)) return tg_beta_near_0((int)i, (int)j, at);
    if (tg_beta_is_close(other)) return -tg_beta_near_0((int)j, (int)i, other);
    return tg_beta_integral((int)i, (int)j, at);
}

/* The density at 0 or 1, and its derivatives. */
TG_ALONE tg_beta_end(double i, double j, double m, double a, double b, double x) {
    const double end = x == 0.0 ? a : b, other = x == 0.0 ? b : a;
    if (fabs(a) == INFINITY || fabs(b) == INFINITY) return 0.0;
    if (i + j + m == 0.0 && end <= 1.0) return end < 1.0 ? INFINITY : other;
    return end > m + 1.0 ? 0.0 : NAN;
}

/* x (1 - x) g' = ((a - 1) (1 - x) - (b - 1) x) g, differentiated in all of them */
static __attribute__((unused)) double tg_beta_moved(int i, int j, int m, tg_beta at, double start) {
    if (i < 0 || j < 0 || m < 0) return 0.0;
    if (m == 0) {
        double cumulants[(i + 1) * (j + 1)];
        tg_beta_shape(i, j, at, cumulants);
        return start * tg_beta_weight(i, j, at, cumulants, 0.0, 0.0);
    }
    const int n = m - 1;
    const double before = tg_beta_moved(i, j, n, at, start);
    double level = ((at.a - 1.0) * at.y - (at.b - 1.0) * at.x - n * (at.y - at.x)) * before;
    if (n) level += n * ((n - 1.0) - (at.a + at.b - 2.0)) * tg_beta_moved(i, j, n - 1, at, start);
    if (i) level += i * (at.y * tg_beta_moved(i - 1, j, n, at, start));
    if (i && n) level -= i * (n * tg_beta_moved(i - 1, j, n - 1, at, start));
    if (j) level -= j * (at.x * tg_beta_moved(i, j - 1, n, at, start));
    if (j && n) level -= j * (n * tg_beta_moved(i, j - 1, n - 1, at, start));
    return level / (at.x * at.y);
}

TG_ALONE tg_beta_density(double i, double j, double m, double a, double b, double x, double y) {
    if (!(tg_is_order(i) && tg_is_order(j) && tg_is_order(m))) return NAN;
    if (!tg_beta_is_inside(a, b, x, y))
        return a >= 0.0 && b >= 0.0 && x >= 0.0 && x <= 1.0 ? tg_beta_end(i, j, m, a, b, x) : NAN;
    const tg_beta at = tg_beta_at(a, b, x, y);
    return tg_beta_moved((int)i, (int)j, (int)m, at, exp(tg_beta_factor(at) - log(at.x) - log(at.y)));
}
