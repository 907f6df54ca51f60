/* Linear recurrences of single numbers. */

#include <math.h>
#include <stdint.h>

/* s[t] = a[t] s[t - 1] + b[t], four steps at once: each of them waits for the one before, so what the four of them
   make of s is computed while the four before are still under way. Where a product leaves the range of numbers, one
   step is taken after another. */
static __attribute__((noinline, unused)) void tg_recurrence(
    const double *a, int64_t da, const double *b, int64_t db, double s, double *out, int64_t step, int64_t n
) {
    int64_t t = 0;
    for (; t + 4 <= n; t += 4, a += 4 * da, b += 4 * db, out += 4 * step) {
        const double a1 = a[0], a2 = a[da], a3 = a[2 * da], a4 = a[3 * da];
        const double b1 = b[0], b2 = b[db], b3 = b[2 * db], b4 = b[3 * db];
        const double p2 = a2 * a1, p3 = a3 * p2, p4 = a4 * p3;
        const double q2 = a2 * b1 + b2, q3 = a3 * q2 + b3, q4 = a4 * q3 + b4;
        double s1 = a1 * s + b1, s2 = p2 * s + q2, s3 = p3 * s + q3, s4 = p4 * s + q4;
        const int is_large = fabs(p2) > 1e-250 && fabs(p3) > 1e-250 && fabs(p4) > 1e-250;
        if (!(is_large && fabs(s1) + fabs(s2) + fabs(s3) + fabs(s4) < INFINITY)) {
            s2 = a2 * s1 + b2;
            s3 = a3 * s2 + b3;
            s4 = a4 * s3 + b4;
        }
        out[0] = s1, out[step] = s2, out[2 * step] = s3, out[3 * step] = s = s4;
    }
    for (; t < n; t++, a += da, b += db, out += step) out[0] = s = a[0] * s + b[0];
}

/* The power of 2 in a positive number; 2 to minus such a power, as far as it is a number; the larger of two. */
static inline __attribute__((always_inline, unused)) int64_t tg_power(double x) {
    const tg_double number = {x};
    return (number.bits >> 52) - 1023;
}
static inline __attribute__((always_inline, unused)) double tg_scale(int64_t power) {
    const tg_double scale = {.bits = (1023 - power) << 52};
    return scale.number;
}
static inline __attribute__((always_inline, unused)) int64_t tg_later(int64_t x, int64_t y) { return x > y ? x : y; }
