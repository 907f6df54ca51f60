/* Differences of log-gammas, and how far counts are from their means: what keeps its digits for large counts.
   C. Loader, "Fast and accurate computation of binomial probabilities", 2000. */

/* log(x / m), where the quotient may leave the range. */
TG_FORM tg_log_quotient(double x, double m) {
    const double ratio = x / m, inside = log(ratio), outside = log(x) - log(m);
    return (ratio > 1e-290) & (ratio < 1e290) ? inside : outside;
}

TG_FORM tg_log_ratio(double x, double m) {
    const double gap = x - m, near = log1p(gap / m), far = x >= 0.0 ? tg_log_quotient(x, m) : NAN;
    return fabs(gap) <= 0.5 * fabs(m) ? near : far;
}

TG_FORM tg_one_less_ratio(double x, double m) { return (x == 0.0) | (m == INFINITY) ? 1.0 : (m - x) / m; }

/* x log(x / m) + m - x, for the gap m - x, which may be known better than m. */
TG_FORM tg_deviance(double x, double gap, double log_ratio) {
    const double s = 0.5 * gap / (x + 0.5 * gap), z = s * s;
    double total = 2.0 / 23.0;
    total = total * z + 2.0 / 21.0;
    total = total * z + 2.0 / 19.0;
    total = total * z + 2.0 / 17.0;
    total = total * z + 2.0 / 15.0;
    total = total * z + 2.0 / 13.0;
    total = total * z + 2.0 / 11.0;
    total = total * z + 2.0 / 9.0;
    total = total * z + 2.0 / 7.0;
    total = total * z + 2.0 / 5.0;
    total = total * z + 2.0 / 3.0;
    const double near = s * (gap - x * (z * total)), far = (x == 0.0 ? 0.0 : x * log_ratio) + gap;
    return fabs(gap) < 0.35 * x ? near : far;
}

TG_FORM tg_bd0(double x, double m) {
    const double deviance = tg_deviance(x, m - x, tg_log_quotient(x, m));
    return m == INFINITY ? m : deviance;
}

/* (n + k) p - n, rounded once or twice */
TG_FORM tg_nb_gap(double n, double k, double p) {
    const double np = n * p, kp = k * p, total = np + kp, part = total - np;
    const double error = (np - (total - part)) + (kp - part);
    return (total - n) + (error + (tg_product_error(n, p, np) + tg_product_error(k, p, kp)));
}

/* log((x + y) / x) */
TG_FORM tg_log_total(double x, double y) {
    const double more = y / x, far = log(y) - log(x), near = log1p(more);
    return fabs(more) == INFINITY ? far : near;
}

TG_FORM tg_nb_deviance(double n, double k, double p) {
    const double gap = tg_nb_gap(n, k, p);
    const double of_successes = tg_deviance(n, gap, -(tg_log_total(n, k) + log(p)));
    return of_successes + tg_deviance(k, -gap, -(tg_log_total(k, n) + log1p(-p)));
}

TG_FORM tg_nb_log_ratio(double n, double k, double p) {
    const double gap = tg_nb_gap(n, k, p), near = -log1p(gap / n), far = -(tg_log_total(n, k) + log(p));
    return fabs(gap) < 0.5 * fabs(n) ? near : far;
}

TG_FORM tg_nb_slope(double n, double k, double p) {
    const double none = -n / p, some = tg_nb_gap(n, k, p) / p / (1.0 - p);
    return k == 0.0 ? none : some;
}

/* Steps of polygamma, psi_n(x + h) - psi_n(x) for x > 0 and h >= 0: with s = 1 / x and t = 1 / (x + h), all
   that is added is a multiple of t - s, of one sign. ------------------------------------------------------- */

/* (t**m - s**m) / (t - s) */
TG_FORM tg_power_step(double t, double s, int m) {
    double total = 0.0, power = 1.0;
    for (int i = 0; i < m; i++) {
        total = total * t + power;
        power *= s;
    }
    return total;
}

TG_ALONE tg_polygamma_step_right(int n, double x, double h) {
    static const double stirling[10] = {/* Bernoulli's numbers B(2k) / (2k)! */
        8.3333333333333333333e-2, -1.3888888888888888889e-3, 3.3068783068783068783e-5,
        -8.2671957671957671958e-7, 2.0876756987868098979e-8, -5.2841901386874931848e-10,
        1.3382536530684678833e-11, -3.3896802963225828668e-13, 8.5860620562778445641e-15,
        -2.1748686985580618730e-16};
    double factorial = 1.0, before = 1.0, total = 0.0, rising, t, s, gap, v, series = 0.0, slope = 0.0;
    for (int i = 2; i <= n; i++) before = factorial, factorial *= i;
    for (; x < 8.0 + n; x += 1.0) {
        s = 1.0 / x, t = 1.0 / (x + h);
        total += factorial * (h * t * s) * tg_power_step(t, s, n + 1);
    }
    s = 1.0 / x, t = 1.0 / (x + h), gap = h * t * s, v = s * s;
    total += 0.5 * factorial * gap * tg_power_step(t, s, n + 1);
    total += n ? before * gap * tg_power_step(t, s, n) : log1p(h / x);
    for (int k = 10; k > 0; k--) {
        rising = stirling[k - 1];
        for (int i = 2; i < 2 * k + n; i++) rising *= i;
        slope = slope * t * t + series; /* of the series in its variable, from v to t**2 */
        series = series * v + rising;
    }
    /* t**m S(t**2) - s**m S(s**2) for m = n + 2: S without its first power of the variable */
    double at_t = 0.0;
    for (int k = 10; k > 0; k--) {
        rising = stirling[k - 1];
        for (int i = 2; i < 2 * k + n; i++) rising *= i;
        at_t = at_t * t * t + rising;
    }
    total += gap * (tg_power_step(t, s, n + 2) * at_t + tg_power_of(s, n + 2) * slope * (t + s));
    return n % 2 ? -total : total;
}

TG_ALONE tg_polygamma_step(double n, double x, double h) {
    if (!(n >= 0.0 && n < 100.0 && n == rint(n))) return NAN;
    if ((x > 0.0) & (h == 0.0)) return 0.0;
    if ((x > 0.0) & (h >= 0.0) & (h < INFINITY)) return tg_polygamma_step_right((int)n, x, h);
    return tg_polygamma(n, x + h) - tg_polygamma(n, x);
}

/* The same for counts a, and 0 for a = 0 even where both are infinite. */
TG_FORM tg_digamma_gain(double x, double a) {
    const double near = tg_digamma(x + a) - tg_digamma(x);
    const double s = 1.0 / x, t = 1.0 / (x + a), share = a == INFINITY ? 1.0 : a * t;
    const double far = log1p(a / x) + (0.5 * share * s + (tg_stirling_fall(s) - tg_stirling_fall(t)));
    return x >= TG_FAR ? far : near;
}

TG_FORM tg_trigamma_gain(double x, double a) {
    const double near = tg_trigamma(x + a) - tg_trigamma(x);
    const double s = 1.0 / x, t = 1.0 / (x + a), share = a == INFINITY ? 1.0 : a * t;
    const double far = share * s * (1.0 + 0.5 * (s + t)) + (tg_stirling_bend(s) - tg_stirling_bend(t));
    return x >= TG_FAR ? -far : near;
}

TG_FORM tg_polygamma_gain(double n, double x, double a) {
    const double gain = n == 0.0   ? tg_digamma_gain(x, a)
                        : n == 1.0 ? tg_trigamma_gain(x, a)
                                   : tg_polygamma_step(n, x, a);
    return (a == 0.0) & (x == x) ? 0.0 : gain;
}

/* Differences of log Gamma and of its rest, for counts a ---------------------------------------------------- */

/* Of an order from 2 on. */
TG_ALONE tg_rest_gain_far(int n, double x, double a) {
    const double s = 1.0 / x, t = 1.0 / (x + a);
    const double gain = tg_zeta_tail(n, t) - tg_zeta_tail(n, s) - 0.5 * a * t * s * tg_power_step(t, s, n);
    return (n % 2 ? -1.0 : 1.0) * tgamma(n) * gain;
}

TG_FORM tg_gamma_rest_gain(double order, double x, double a) {
    const double near = tg_gamma_rest(order, x + a) - tg_gamma_rest(order, x);
    if (order == 0.0) {
        const double far = tg_stirling(1.0 / (x + a)) - tg_stirling(1.0 / x) - 0.5 * log1p(a / x);
        return (a == 0.0) & (x == x) ? 0.0 : x >= TG_FAR ? far : near;
    }
    if (order == 1.0) {
        const double s = 1.0 / x, t = 1.0 / (x + a), share = a == INFINITY ? 1.0 : a * t;
        const double far = 0.5 * share * s + (tg_stirling_fall(s) - tg_stirling_fall(t));
        return (a == 0.0) & (x == x) ? 0.0 : x >= TG_FAR ? far : near;
    }
    if (a == 0.0 || !(x >= TG_FAR + order)) return (a == 0.0) & (x == x) ? 0.0 : near;
    return tg_rest_gain_far((int)order, x, a);
}

TG_FORM tg_log_poch(double x, double a) {
    const double near = tg_lgamma(x + a) - tg_lgamma(x), gain = log1p(a / x);
    const double rest = tg_stirling(1.0 / (x + a)) - tg_stirling(1.0 / x) - 0.5 * gain;
    const double far = a * log(x + a) + (rest + (x * gain - a));
    return a == 0.0 ? x - x : x < TG_FAR ? near : far;
}
