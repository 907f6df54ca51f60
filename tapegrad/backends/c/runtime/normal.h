/* The normal distribution, by the repeated integrals of erfc (DLMF 7.18) times exp(t**2). To the right of 0
   these are polynomials by powers of 1 + 2 t (M. M. Shepherd and J. G. Laframboise, 1981). Functions of one
   argument are without branches, and so are the orders up to 3 of those with an order. */

#define TG_SQRT_2PI 2.5066282746310005024
#define TG_SQRT_HALF 0.70710678118654752440
#define TG_TWO_OVER_SQRT_PI 1.1283791670955125739
#define TG_ROOT_TWO_OVER_PI 0.79788456080286535588 /* sqrt(2 / pi) */

/* The variable of the polynomials, for t >= 0. */
TG_FORM tg_erfc_variable(double t) {
    const double near = t > 1e18 ? 1e18 : t;
    return (near - 3.75) / (near + 3.75);
}

TG_FORM tg_erfcx_right(double t) { return 0.5 * tg_erfc_0(tg_erfc_variable(t)) / (0.5 + t); }

/* exp(c x**2), with the digits that rounding x**2 would lose. `limit`: further out the result leaves the
   range. */
TG_FORM tg_exp_square(double c, double x, double limit) {
    const double far = fabs(x), near = far > limit ? limit : far, square = near * near;
    const double e = exp(c * square);
    return e + e * (c * tg_product_error(near, near, square));
}

TG_FORM tg_gaussian(double x) { return tg_exp_square(-1.0, x, 30.0); }
TG_FORM tg_normal_density(double x) { return tg_exp_square(-0.5, x, 42.0) / TG_SQRT_2PI; }

TG_FORM tg_erfcx(double x) {
    const double right = tg_erfcx_right(fabs(x)), half = tg_exp_square(0.5, x, 30.0);
    return x < 0.0 ? 2.0 * half * half - right : right;
}

/* What a standard normal variable has beyond |x| */
TG_FORM tg_normal_tail(double x) {
    return 0.5 * tg_erfcx_right(TG_SQRT_HALF * fabs(x)) * tg_exp_square(-0.5, x, 42.0);
}

TG_FORM tg_ndtr(double x) {
    const double tail = tg_normal_tail(x);
    return x < 0.0 ? tail : 1.0 - tail;
}

TG_FORM tg_log_ndtr(double x) {
    const double scaled = tg_erfcx_right(TG_SQRT_HALF * fabs(x));
    const double left = log(0.5 * scaled) - 0.5 * x * x;
    const double right = log1p(-0.5 * scaled * tg_exp_square(-0.5, x < 0.0 ? 0.0 : x, 42.0));
    return x < 0.0 ? left : right;
}

/* The density by the distribution function. */
TG_FORM tg_mills(double x) {
    const double scaled = tg_erfcx_right(TG_SQRT_HALF * fabs(x));
    const double e = tg_exp_square(-0.5, x < 0.0 ? 0.0 : x, 42.0);
    const double right = e / TG_SQRT_2PI / (1.0 - 0.5 * e * scaled);
    return x < 0.0 ? TG_ROOT_TWO_OVER_PI / scaled : right;
}

/* Its slope is -m (x + m). To the left, m and x + m are quotients of neighbouring integrals, and so is their
   product, which goes to 1. */
TG_FORM tg_mills_slope(double x) {
    const double q = tg_erfc_variable(TG_SQRT_HALF * fabs(x)), first = tg_erfc_0(q);
    const double left = TG_TWO_OVER_SQRT_PI * tg_erfc_1(q) / (first * first);
    const double m = tg_mills(fabs(x));
    return x < 0.0 ? -left : m == 0.0 ? 0.0 : -m * (x + m);
}

/* The one after that: to the left the third cumulant of the excess over -x, to the right a polynomial in m. */
TG_FORM tg_mills_bend(double x) {
    const double t = TG_SQRT_HALF * fabs(x), q = tg_erfc_variable(t), far = 1.0 + 2.0 * t;
    const double p0 = tg_erfc_0(q), p1 = tg_erfc_1(q), p2 = tg_erfc_2(q), p3 = tg_erfc_3(q);
    const double r1 = p1 / p0 / far, r2 = p2 / p1 / far, r3 = p3 / p2 / far;
    const double left = 4.0 * M_SQRT1_2 * r1 * (6.0 * r2 * (r3 - r1) + 2.0 * r1 * r1);
    const double m = tg_mills(fabs(x)), e = x + m;
    return x < 0.0 ? left : m == 0.0 ? 0.0 : m * (e * e + m * e - 1.0);
}

/* Any order: the ratios of neighbouring integrals to the right of t, by their continued fraction. */
#define TG_MOST 100

static inline __attribute__((unused)) void tg_erfc_ratios(double t, int most, double *found) {
    double ratio = 1.0 / (t + sqrt(t * t + 302.0));
    for (int k = 150; k > 0; k--) {
        ratio = 1.0 / (2.0 * t + 2.0 * (k + 1) * ratio);
        if (k <= most) found[k] = ratio;
    }
}

TG_ALONE tg_mills_high(int n, double x) {
    double f[TG_MOST + 2], moments[TG_MOST + 2], ratios[TG_MOST + 2];
    if (x >= -2.0) {
        f[0] = tg_mills(x);
        if (f[0] == 0.0) return 0.0;
        for (int k = 0; k + 1 < n; k++) {
            double total = x * f[k] + (k ? k * f[k - 1] : 0.0), choose = 1.0;
            for (int j = 0; j <= k; j++) {
                total += choose * f[j] * f[k - j];
                choose = choose * (k - j) / (j + 1.0);
            }
            f[k + 1] = -total;
        }
        return f[n - 1];
    }
    if (x == -INFINITY) return 0.0;
    tg_erfc_ratios(-TG_SQRT_HALF * x, n, ratios);
    moments[0] = 1.0;
    for (int k = 1; k <= n; k++) {
        moments[k] = moments[k - 1] * (k * M_SQRT2) * ratios[k];
        double choose = 1.0, others = 0.0;
        for (int i = 1; i < k; i++) {
            others += choose * f[i] * moments[k - i];
            choose = choose * (k - i) / i;
        }
        f[k] = moments[k] - others;
    }
    return f[n];
}

/* The derivative of order n of log_ndtr, n >= 1 */
TG_FORM tg_log_ndtr_slope(double n, double x) {
    if (n == 1.0) return tg_mills(x);
    if (n == 2.0) return tg_mills_slope(x);
    if (n == 3.0) return tg_mills_bend(x);
    if (x != x || !(n >= 1.0 && n <= TG_MOST && n == rint(n))) return NAN;
    return tg_mills_high((int)n, x);
}

TG_ALONE tg_erfcx_integral_high(int n, double x) {
    double ratios[TG_MOST + 2], before = TG_TWO_OVER_SQRT_PI, found = tg_erfcx(x);
    if (x > 1.5) {
        tg_erfc_ratios(x, n, ratios);
        for (int k = 1; k <= n; k++) found *= ratios[k];
        return found;
    }
    for (int k = 1; k <= n; k++) {
        const double next = (before - 2.0 * x * found) / (2.0 * k);
        before = found, found = next;
    }
    return found;
}

/* The n-fold integral of erfc, times exp(x**2) */
TG_FORM tg_erfcx_integral(double n, double x) {
    if (n == 0.0) return tg_erfcx(x);
    if (n == 1.0 || n == 2.0 || n == 3.0) {
        const double t = fabs(x), q = tg_erfc_variable(t), e = tg_erfcx(x), far = 0.5 / (0.5 + t);
        const double one = 0.5 * (TG_TWO_OVER_SQRT_PI - 2.0 * x * e), two = 0.25 * (e - 2.0 * x * one);
        const double three = (one - 2.0 * x * two) / 6.0;
        const double left = n == 1.0 ? one : n == 2.0 ? two : three;
        const double of_t = n == 1.0 ? tg_erfc_1(q) : n == 2.0 ? tg_erfc_2(q) * far : tg_erfc_3(q) * far * far;
        return x < 0.0 ? left : of_t * far * far;
    }
    if (x != x || !(n >= 0.0 && n <= TG_MOST && n == rint(n))) return NAN;
    return tg_erfcx_integral_high((int)n, x);
}

/* The inverse of ndtr (M. J. Wichura, "Algorithm AS 241: the percentage points of the normal distribution",
   1988, PPND16). */
TG_FORM tg_ndtri(double p) {
    const double gap = p - 0.5, s = 0.180625 - gap * gap;
    double over = 2.5090809287301226727e+3, under = 5.2264952788528545610e+3;
    over = over * s + 3.3430575583588128105e+4, under = under * s + 2.8729085735721942674e+4;
    over = over * s + 6.7265770927008700853e+4, under = under * s + 3.9307895800092710610e+4;
    over = over * s + 4.5921953931549871457e+4, under = under * s + 2.1213794301586595867e+4;
    over = over * s + 1.3731693765509461125e+4, under = under * s + 5.3941960214247511077e+3;
    over = over * s + 1.9715909503065514427e+3, under = under * s + 6.8718700749205790830e+2;
    over = over * s + 1.3314166789178437745e+2, under = under * s + 4.2313330701600911252e+1;
    over = over * s + 3.3871328727963666080e+0, under = under * s + 1.0;
    const double middle = gap * over / under;
    const double tail = gap < 0.0 ? p : 1.0 - p, r = sqrt(-log(tail)), a = r - 1.6, b = r - 5.0;
    over = 7.74545014278341407640e-4, under = 1.05075007164441684324e-9;
    over = over * a + 2.27238449892691845833e-2, under = under * a + 5.47593808499534494600e-4;
    over = over * a + 2.41780725177450611770e-1, under = under * a + 1.51986665636164571966e-2;
    over = over * a + 1.27045825245236838258e+0, under = under * a + 1.48103976427480074590e-1;
    over = over * a + 3.64784832476320460504e+0, under = under * a + 6.89767334985100004550e-1;
    over = over * a + 5.76949722146069140550e+0, under = under * a + 1.67638483018380384940e+0;
    over = over * a + 4.63033784615654529590e+0, under = under * a + 2.05319162663775882187e+0;
    over = over * a + 1.42343711074968357734e+0, under = under * a + 1.0;
    const double near = over / under;
    over = 2.01033439929228813265e-7, under = 2.04426310338993978564e-15;
    over = over * b + 2.71155556874348757815e-5, under = under * b + 1.42151175831644588870e-7;
    over = over * b + 1.24266094738807843860e-3, under = under * b + 1.84631831751005468180e-5;
    over = over * b + 2.65321895265761230930e-2, under = under * b + 7.86869131145613259100e-4;
    over = over * b + 2.96560571828504891230e-1, under = under * b + 1.48753612908506148525e-2;
    over = over * b + 1.78482653991729133580e+0, under = under * b + 1.36929880922735805310e-1;
    over = over * b + 5.46378491116411436990e+0, under = under * b + 5.99832206555887937690e-1;
    over = over * b + 6.65790464350110377720e+0, under = under * b + 1.0;
    const double size = tail == 0.0 ? INFINITY : r <= 5.0 ? near : over / under;
    return fabs(gap) <= 0.425 ? middle : gap < 0.0 ? -size : size;
}
