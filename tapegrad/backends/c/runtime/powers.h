/* c * x**p times further factors, of which a part may leave the range of numbers where the whole does not. */

static inline __attribute__((always_inline, unused)) int64_t tg_in_range(double x) {
    return (fabs(x) >= 0x1p-1022) & (fabs(x) <= 0x1.fffffffffffffp1023);
}

/* By mantissas and exponents of two, where all is finite and x is not 0; else the product as it is. */
static __attribute__((noinline, unused)) double tg_power_in_steps(
    double x, double p, const double *factors, int64_t n, double product
) {
    const double fourth = pow(fabs(x), 0.25 * p), power = pow(x, p);
    int64_t ordinary = tg_in_range(fourth) & (fabs(x) < INFINITY) & (x != 0.0) & (power == power);
    for (int64_t k = 0; k < n; k++) ordinary &= fabs(factors[k]) < INFINITY;
    if (!ordinary) return product;
    double mantissa = copysign(1.0, power);
    int exponent = 0, shift, again;
    for (int64_t k = -4; k < n; k++) {
        const double part = frexp(k < 0 ? fourth : factors[k], &shift);
        mantissa = frexp(mantissa * part, &again);
        exponent += shift + again;
    }
    return ldexp(mantissa, exponent);
}

TG_ALONE tg_product_of_power(double x, double p, double power, const double *factors, int64_t n, int64_t gates) {
    double product = power;
    int64_t kept = 1, is_nothing = 0;
    for (int64_t k = 0; k < n; k++) {
        kept &= tg_in_range(product);  /* nothing is lost where the last product alone leaves the range */
        product *= factors[k];
        is_nothing |= (k < gates) & (factors[k] == 0.0);
    }
    if (is_nothing) return 0.0;
    return kept ? product : tg_power_in_steps(x, p, factors, n, product);
}

/* 0 where the first factor is 0, and where any is. */
TG_ALONE tg_times_power(double x, double p, double power, const double *factors, int64_t n) {
    return tg_product_of_power(x, p, power, factors, n, 1);
}
TG_ALONE tg_gated_times_power(double x, double p, double power, const double *factors, int64_t n) {
    return tg_product_of_power(x, p, power, factors, n, n);
}
