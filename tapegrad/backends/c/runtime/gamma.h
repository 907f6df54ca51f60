/* The logarithm of the gamma function and its derivatives, and what Stirling's formula leaves of it.
   Formulas: NIST Digital Library of Mathematical Functions, 5.5, 5.11 and 5.15. The functions of one argument
   are without branches, so that loops over them vectorise; polygamma of the orders from 2 on and
   polygamma_step are not. Orders are doubles; as literals they cost nothing. */

#define TG_HALF_LOG_2PI 0.91893853320467274178
#define TG_LOG_PI 1.1447298858494001741
#define TG_FAR 8.0 /* from here on, the asymptotic series have all digits */

/* The rounding error of a product, by halves of 26 and 27 bits (T. J. Dekker, 1971). */
TG_FORM tg_high_half(double x) {
    int64_t bits;
    __builtin_memcpy(&bits, &x, sizeof x);
    bits &= -((int64_t)1 << 27);
    __builtin_memcpy(&x, &bits, sizeof x);
    return x;
}

TG_FORM tg_product_error(double a, double b, double product) {
#ifdef __FMA__
    return __builtin_fma(a, b, -product);
#else
    const double a1 = tg_high_half(a), a2 = a - a1, b1 = tg_high_half(b), b2 = b - b1;
    return ((a1 * b1 - product) + a1 * b2 + a2 * b1) + a2 * b2;
#endif
}

/* Stirling's series, by Bernoulli's numbers B(2k) / (2k (2k - 1)), and minus its derivatives. */
TG_FORM tg_stirling(double t) {
    const double z = t * t;
    double s = 13.402864044168391994;
    s = s * z - 1.3924322169059011164;
    s = s * z + 0.17964437236883057316;
    s = s * z - 0.029550653594771241830;
    s = s * z + 1.0 / 156.0;
    s = s * z - 691.0 / 360360.0;
    s = s * z + 1.0 / 1188.0;
    s = s * z - 1.0 / 1680.0;
    s = s * z + 1.0 / 1260.0;
    s = s * z - 1.0 / 360.0;
    return (s * z + 1.0 / 12.0) * t;
}

TG_FORM tg_stirling_fall(double t) {
    const double z = t * t;
    double s = 281.46014492753623188;
    s = s * z - 26.456212121212121212;
    s = s * z + 3.0539543302701197438;
    s = s * z - 3617.0 / 8160.0;
    s = s * z + 1.0 / 12.0;
    s = s * z - 691.0 / 32760.0;
    s = s * z + 1.0 / 132.0;
    s = s * z - 1.0 / 240.0;
    s = s * z + 1.0 / 252.0;
    s = s * z - 1.0 / 120.0;
    return (s * z + 1.0 / 12.0) * z;
}

TG_FORM tg_stirling_bend(double t) {
    const double z = t * t;
    double s = -86580.253113553113553;
    s = s * z + 6192.1231884057971014;
    s = s * z - 529.12424242424242424;
    s = s * z + 54.971177944862155388;
    s = s * z - 7.0921568627450980392;
    s = s * z + 7.0 / 6.0;
    s = s * z - 691.0 / 2730.0;
    s = s * z + 5.0 / 66.0;
    s = s * z - 1.0 / 30.0;
    s = s * z + 1.0 / 42.0;
    s = s * z - 1.0 / 30.0;
    return (s * z + 1.0 / 6.0) * z * t;
}

/* log Gamma(x) for x >= 0: below TG_FAR by the recurrence, as a logarithm of a product and a polynomial. */
TG_FORM tg_lgamma_right(double x) {
    double y = x, over = 1.0, under = 1.0;
    for (int i = 0; i < 6; i++) {
        const int high = y > 2.5;
        y = high ? y - 1.0 : y;
        over = high ? over * y : over;
    }
    for (int i = 0; i < 2; i++) {
        const int low = y < 1.5;
        under = low ? under * y : under;
        y = low ? y + 1.0 : y;
    }
    const double d = y - 2.0, far = log(x >= TG_FAR ? x : x > 2.5 ? over : under);
    const double near = d * tg_gamma_near_2(d) + (x > 2.5 ? far : -far);
    const double series = (x - 0.5) * (far - 1.0) + ((TG_HALF_LOG_2PI - 0.5) + tg_stirling(1.0 / x));
    return x == INFINITY ? x : x >= TG_FAR ? series : near;
}

/* For the reflection at 0: how far x is from the nearest whole number, and sin(pi r) for |r| <= 1/2. */
TG_FORM tg_from_whole(double x) { return x - rint(x); }
TG_FORM tg_sin_pi(double r) { return r * tg_sin_pi_over(r * r - 0.125); }

TG_FORM tg_lgamma(double x) {
    const int left = x < 0.0;
    const double right = tg_lgamma_right(left ? 1.0 - x : x);
    const double r = tg_from_whole(left ? x : 0.5), reflected = TG_LOG_PI - log(fabs(tg_sin_pi(r))) - right;
    return left ? (x == -INFINITY ? x : r == 0.0 ? INFINITY : reflected) : right;
}

/* psi(x) for x >= 0: the steps of the recurrence are one fraction. */
TG_FORM tg_digamma_right(double x) {
    double y = x, over = 0.0, under = 1.0;
    for (int i = 0; i < 6; i++) {
        const int high = y > 2.0;
        y = high ? y - 1.0 : y;
        over = high ? over * y + under : over;
        under = high ? under * y : under;
    }
    const int low = y < 1.0;
    over = low ? over * y - under : over;
    under = low ? under * y : under;
    y = low ? y + 1.0 : y;
    const double to_root = (y - 1.4616321449683622457) - 9.549995429965697e-17;
    const double near = to_root * tg_digamma_near_root(y - 1.5) + over / under;
    const double t = 1.0 / x, far = log(x) - 0.5 * t - tg_stirling_fall(t);
    return x >= TG_FAR ? far : near;
}

TG_FORM tg_digamma(double x) {
    const int left = x < 0.0;
    const double right = tg_digamma_right(left ? 1.0 - x : x);
    const double r = tg_from_whole(left ? x : 0.5);
    const double reflected = right - M_PI * tg_sin_pi(0.5 - fabs(r)) / tg_sin_pi(r);
    return left ? (r == 0.0 ? NAN : reflected) : right;
}

/* psi'(x) - [1 / x], for x >= 0: all that is added has one sign. `whole` is 1 with the term, 0 without. */
TG_FORM tg_trigamma_part(double x, double whole) {
    double y = x, near = 0.0;
    for (int i = 0; i < 8; i++) {
        const double step = whole != 0.0 ? 1.0 / (y * y) : 1.0 / (y * y * (y + 1.0));
        near = y < TG_FAR ? near + step : near;
        y = y < TG_FAR ? y + 1.0 : y;
    }
    const double t = 1.0 / y;
    return near + (whole * t + (0.5 * t * t + tg_stirling_bend(t)));
}

TG_FORM tg_trigamma(double x) {
    const int left = x < 0.0;
    const double right = tg_trigamma_part(left ? 1.0 - x : x, 1.0);
    const double r = tg_from_whole(left ? x : 0.5), s = M_PI / tg_sin_pi(r);
    return left ? (x == rint(x) ? INFINITY : s * s - right) : right;
}

TG_FORM tg_power_of(double x, int n) {
    double found = 1.0;
    for (int i = 0; i < n; i++) found *= x;
    return found;
}

/* Euler's and Maclaurin's sum of (x + k)**-s over k = 0, 1, ..., at t = 1 / x, without its integral and half its
   first term (DLMF 25.11). */
TG_FORM tg_zeta_tail(int s, double t) {
    static const double bernoulli[12] = {/* B(2k) / (2k)! */
        8.3333333333333333333e-2, -1.3888888888888888889e-3, 3.3068783068783068783e-5,
        -8.2671957671957671958e-7, 2.0876756987868098979e-8, -5.2841901386874931848e-10,
        1.3382536530684678833e-11, -3.3896802963225828668e-13, 8.5860620562778445641e-15,
        -2.1748686985580618730e-16, 5.5090028283602295153e-18, -1.3954464685812523341e-19};
    double term = tg_power_of(t, s + 1) * s, tail = 0.0;
    for (int k = 0; k < 12; k++) {
        tail += bernoulli[k] * term;
        term *= (s + 2.0 * k + 1.0) * (s + 2.0 * k + 2.0) * t * t;
    }
    return tail;
}

/* That sum, without the integral from x on where `whole` is 0. */
TG_ALONE tg_zeta_part(int s, double x, double whole) {
    const double far = 8.0 + s;
    double y = x, total = 0.0;
    while (y < far) {
        double step = tg_power_of(1.0 / y, s);
        if (whole == 0.0 && y > 1e-30) step += tg_power_of(1.0 / y, s - 1) * expm1((1.0 - s) * log1p(1.0 / y)) / (s - 1.0);
        if (whole != 0.0 && fabs(step) < 1e-18 * fabs(total)) return total + step;
        total += step;
        y += 1.0;
    }
    const double t = 1.0 / y, top = tg_power_of(t, s);
    return total + tg_zeta_tail(s, t) + (0.5 * top + (whole != 0.0 ? tg_power_of(t, s - 1) / (s - 1.0) : 0.0));
}

TG_ALONE tg_polygamma_high(int n, double x) {
    const int is_pole = x <= 0.0 && x == rint(x);
    const double zeta = is_pole ? INFINITY : x == INFINITY ? 0.0 : tg_zeta_part(n + 1, x, 1.0);
    return (n % 2 ? 1.0 : -1.0) * tgamma(n + 1.0) * zeta;
}

TG_FORM tg_polygamma(double n, double x) {
    if (n == 0.0) return tg_digamma(x);
    if (n == 1.0) return tg_trigamma(x);
    if (!(n > 0.0 && n == rint(n))) return NAN;
    if (n > 1e3) return !(x <= 1.0) ? NAN : fmod(n, 2.0) == 0.0 ? -INFINITY : INFINITY;
    return tg_polygamma_high((int)n, x);
}

/* R(x) = log Gamma(x) - (x log(x) - x + log(2 pi) / 2), and its derivatives. */
TG_FORM tg_gamma_rest_0(double x) {
    const double log_x = log(x);
    const double near = tg_lgamma_right(x + 1.0) - (x + 1.0) * log_x + (x - TG_HALF_LOG_2PI);
    const double far = tg_stirling(1.0 / x) - 0.5 * log_x;
    return x >= TG_FAR ? far : near;
}

TG_FORM tg_gamma_rest_1(double x) {
    const double t = 1.0 / x, near = tg_digamma_right(x + 1.0) - log(x) - t;
    const double far = -0.5 * t - tg_stirling_fall(t);
    return x >= TG_FAR ? far : near;
}

TG_ALONE tg_gamma_rest_high(int n, double x) {
    if (!(x > 0.0)) return x == 0.0 ? (n % 2 ? -INFINITY : INFINITY) : NAN;
    if (x == INFINITY) return 0.0;
    return (n % 2 ? -1.0 : 1.0) * tgamma(n) * tg_zeta_part(n, x, 0.0);
}

TG_FORM tg_gamma_rest(double order, double x) {
    if (order == 0.0) return tg_gamma_rest_0(x);
    if (order == 1.0) return tg_gamma_rest_1(x);
    if (order == 2.0) return x >= 0.0 ? tg_trigamma_part(x, 0.0) : NAN;
    if (!(order > 0.0 && order < 171.0 && order == rint(order))) return NAN;
    return tg_gamma_rest_high((int)order, x);
}
