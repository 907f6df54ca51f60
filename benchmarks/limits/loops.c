/* Value and gradient of the recursions, as somebody writes them in C.

What is no part of the recursion is done for all steps at once, before it and after it. */

#include <math.h>
#include <stdlib.h>

double garch(long n, const double *const *data, const double *theta, double *grad) {
    const double *y = data[0], mu = theta[0], omega = exp(theta[1]), alpha = theta[2], beta = theta[3];
    double *room = malloc((4 * n + 1) * sizeof(double));
    double *e = room, *step = room + n, *h = room + 2 * n, *back = room + 3 * n + 1;
    /* h[0] is the variance before the first step. */
    for (long t = 0; t < n; t++) e[t] = y[t] - mu;
    step[0] = omega;
    for (long t = 1; t < n; t++) step[t] = omega + alpha * e[t - 1] * e[t - 1];
    h[0] = 1.0;
    for (long t = 0; t < n; t++) h[t + 1] = step[t] + beta * h[t];
    double value = 0.0, slope = 0.0;
#pragma omp simd reduction(+ : value, slope)
    for (long t = 0; t < n; t++) {
        double by = 1.0 / h[t + 1], w = e[t] * by;
        value += log(h[t + 1]) + e[t] * w;
        slope += w;
        back[t] = 0.5 * (w * w - by);
    }
    for (long t = n - 2; t >= 0; t--) back[t] += beta * back[t + 1];
    double to_omega = back[0], to_alpha = 0.0, to_beta = back[0] * h[0], to_e = 0.0;
#pragma omp simd reduction(+ : to_omega, to_alpha, to_beta, to_e)
    for (long t = 1; t < n; t++) {
        to_omega += back[t];
        to_alpha += back[t] * e[t - 1] * e[t - 1];
        to_beta += back[t] * h[t];
        to_e += back[t] * e[t - 1];
    }
    grad[0] = slope - 2.0 * alpha * to_e;
    grad[1] = omega * to_omega;
    grad[2] = to_alpha;
    grad[3] = to_beta;
    free(room);
    return -0.5 * value;
}

/* The forward algorithm with scaling, and its reverse. */
double hmm_log(long n, const double *const *data, const double *theta, double *grad) {
    const double *y = data[0], p = 1.0 / (1.0 + exp(-theta[3])), q = 0.5 * (1.0 - p), gap = p - q;
    double *room = malloc(9 * n * sizeof(double));
    double *b0 = room, *b1 = b0 + n, *b2 = b1 + n, *a0 = b2 + n, *a1 = a0 + n, *a2 = a1 + n;
    double *by = a2 + n, *top = by + n, *total = top + n;
#pragma omp simd
    for (long t = 0; t < n; t++) {
        double x0 = -0.5 * (y[t] - theta[0]) * (y[t] - theta[0]);
        double x1 = -0.5 * (y[t] - theta[1]) * (y[t] - theta[1]);
        double x2 = -0.5 * (y[t] - theta[2]) * (y[t] - theta[2]);
        double most = x0 > x1 ? x0 : x1;
        most = most > x2 ? most : x2;
        top[t] = most;
        b0[t] = exp(x0 - most);
        b1[t] = exp(x1 - most);
        b2[t] = exp(x2 - most);
    }
    double f0 = 1.0 / 3.0, f1 = f0, f2 = f0;
    for (long t = 0; t < n; t++) {
        double spread = t ? q * (f0 + f1 + f2) : 0.0, stay = t ? gap : 1.0;
        f0 = b0[t] * (spread + stay * f0);
        f1 = b1[t] * (spread + stay * f1);
        f2 = b2[t] * (spread + stay * f2);
        total[t] = f0 + f1 + f2;
        by[t] = 1.0 / total[t];
        a0[t] = f0 *= by[t];
        a1[t] = f1 *= by[t];
        a2[t] = f2 *= by[t];
    }
    double value = 0.0;
#pragma omp simd reduction(+ : value)
    for (long t = 0; t < n; t++) value += log(total[t]) + top[t];
    /* g: the chances behind step t, given the state there, over that of what comes. */
    double g0 = 1.0, g1 = 1.0, g2 = 1.0, m0 = 0.0, m1 = 0.0, m2 = 0.0, to_p = 0.0;
    for (long t = n - 1; t >= 0; t--) {
        m0 += a0[t] * g0 * (y[t] - theta[0]);
        m1 += a1[t] * g1 * (y[t] - theta[1]);
        m2 += a2[t] * g2 * (y[t] - theta[2]);
        if (t == 0) break;
        double c0 = b0[t] * g0 * by[t], c1 = b1[t] * g1 * by[t], c2 = b2[t] * g2 * by[t], all = c0 + c1 + c2;
        double stays = a0[t - 1] * c0 + a1[t - 1] * c1 + a2[t - 1] * c2;
        to_p += 1.5 * stays - 0.5 * all * (a0[t - 1] + a1[t - 1] + a2[t - 1]);
        g0 = q * all + gap * c0;
        g1 = q * all + gap * c1;
        g2 = q * all + gap * c2;
    }
    grad[0] = m0;
    grad[1] = m1;
    grad[2] = m2;
    grad[3] = to_p * p * (1.0 - p);
    free(room);
    return value;
}

double local_level(long n, const double *const *data, const double *theta, double *grad) {
    const double *y = data[0], q = exp(theta[0]), r = exp(theta[1]);
    double *room = malloc(6 * n * sizeof(double));
    double *u = room, *s = u + n, *v = s + n, *kept = v + n, *by = kept + n, *other = by + n;
    double var = 10.0, mean = 0.0;
    for (long t = 0; t < n; t++) {
        u[t] = var + q;
        s[t] = u[t] + r;
        var = u[t] * r / s[t];
        v[t] = y[t] - mean;
        mean += u[t] / s[t] * v[t];
    }
    double value = 0.0;
#pragma omp simd reduction(+ : value)
    for (long t = 0; t < n; t++) {
        by[t] = 1.0 / s[t];
        kept[t] = r * by[t];
        value += log(s[t]) + v[t] * v[t] * by[t];
        other[t] = 0.5 * (v[t] * v[t] * by[t] - 1.0) * by[t];
    }
    /* The derivatives in the mean and the variance behind step t. */
    double to_mean = 0.0, to_var = 0.0, to_q = 0.0, to_r = 0.0;
    for (long t = n - 1; t >= 0; t--) {
        double gain = 1.0 - kept[t], to_gain = to_mean * v[t] * by[t];
        to_r += to_var * gain * gain - to_gain * gain + other[t];
        to_var = to_var * kept[t] * kept[t] + to_gain * kept[t] + other[t];
        to_q += to_var;
        to_mean = to_mean * kept[t] + v[t] * by[t];
    }
    grad[0] = q * to_q;
    grad[1] = r * to_r;
    free(room);
    return -0.5 * value;
}
