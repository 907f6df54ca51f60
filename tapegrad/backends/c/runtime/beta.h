/* The logarithm of the beta function, in terms of which nothing large cancels: log Gamma(a + b) - log Gamma(b)
   by Stirling's formula for a large b, and all three of its terms by it for two large ones. */

TG_FORM tg_betaln_right(double a, double b) {
    const double low = a < b ? a : b, high = a < b ? b : a;
    const double near = tg_lgamma(low) - tg_log_poch(high, low);
    const double rest = tg_gamma_rest_0(low) + (tg_gamma_rest_0(high) - tg_gamma_rest_0(high + low));
    const double far = TG_HALF_LOG_2PI - low * log1p(high / low) - high * log1p(low / high) + rest;
    return high == INFINITY ? (low < high ? -high : NAN) : low >= TG_FAR ? far : near;
}

/* Poles: a whole number a <= 0 and any b but the whole numbers from 1 to -a, where Gamma(a) / Gamma(a + b) has a
   limit. */
TG_ALONE tg_betaln_left(double a, double b) {
    const double low = a < b ? a : b, high = a < b ? b : a;
    if ((a == rint(a) && a <= 0.0) || (b == rint(b) && b <= 0.0)) {
        const int has_limit = low > -1e9 && high == rint(high) && high > 0.0 && high < 1.0 - low;
        return has_limit ? tg_betaln_right(1.0 - low - high, high) : INFINITY;
    }
    return high == INFINITY && low == low ? high : tg_lgamma(a) + tg_lgamma(b) - tg_lgamma(a + b);
}

TG_ALONE tg_betaln(double a, double b) {
    return (a > 0.0) & (b > 0.0) ? tg_betaln_right(a, b) : tg_betaln_left(a, b);
}
