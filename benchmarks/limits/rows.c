/* Value and gradient of the models over rows, as somebody writes them in C: one walk through the data.

Each takes the number of rows, the columns and the parameters, writes the gradient and returns the value. */

#include <math.h>

#define HALF_LOG_2PI 0.91893853320467274178

double normal(long n, const double *const *data, const double *theta, double *grad) {
    const double *x = data[0], mu = theta[0], log_sigma = theta[1], by = exp(-log_sigma);
    double sum = 0.0, squares = 0.0;
#pragma omp simd reduction(+ : sum, squares)
    for (long i = 0; i < n; i++) {
        double z = (x[i] - mu) * by;
        sum += z;
        squares += z * z;
    }
    grad[0] = sum * by;
    grad[1] = squares - n;
    return -0.5 * squares - n * (log_sigma + HALF_LOG_2PI);
}

static double digamma(double x) {
    double sum = 0.0;
    for (; x < 10.0; x += 1.0) sum -= 1.0 / x;
    double y = 1.0 / (x * x);
    return sum + log(x) - 0.5 / x
        - y * (1.0 / 12 - y * (1.0 / 120 - y * (1.0 / 252 - y * (1.0 / 240 - y * (1.0 / 132 - y * 691.0 / 32760)))));
}

double student_t(long n, const double *const *data, const double *theta, double *grad) {
    const double *x = data[0], mu = theta[0], sigma = exp(theta[1]), nu = exp(theta[2]);
    const double by = 1.0 / sigma, by_nu = 1.0 / nu;
    double logs = 0.0, pulls = 0.0, squares = 0.0;
#pragma omp simd reduction(+ : logs, pulls, squares)
    for (long i = 0; i < n; i++) {
        double z = (x[i] - mu) * by, w = z * z * by_nu, share = 1.0 / (1.0 + w);
        logs += log1p(w);
        pulls += share * z;
        squares += share * w;
    }
    double norm = lgamma(0.5 * (nu + 1.0)) - lgamma(0.5 * nu) - 0.5 * log(M_PI * nu);
    double slope = 0.5 * (digamma(0.5 * (nu + 1.0)) - digamma(0.5 * nu) - by_nu);
    squares *= nu + 1.0;
    grad[0] = (nu + 1.0) * pulls / (nu * sigma);
    grad[1] = squares - n;
    grad[2] = nu * (n * slope - 0.5 * logs) + 0.5 * squares;
    return n * (norm - theta[1]) - 0.5 * (nu + 1.0) * logs;
}

double mixture(long n, const double *const *data, const double *theta, double *grad) {
    const double *x = data[0], logit = theta[0], mu1 = theta[1], mu2 = theta[2];
    const double by1 = exp(-theta[3]), by2 = exp(-theta[4]);
    const double at1 = -log1p(exp(-logit)) - theta[3], at2 = -log1p(exp(logit)) - theta[4];
    double sum = 0.0, shares = 0.0, g1 = 0.0, g2 = 0.0, s1 = 0.0, s2 = 0.0;
#pragma omp simd reduction(+ : sum, shares, g1, g2, s1, s2)
    for (long i = 0; i < n; i++) {
        double z1 = (x[i] - mu1) * by1, z2 = (x[i] - mu2) * by2;
        double first = at1 - 0.5 * z1 * z1, second = at2 - 0.5 * z2 * z2;
        double gap = exp(-fabs(first - second)), top = first > second ? first : second;
        double large = 1.0 / (1.0 + gap), small = gap * large;
        double r1 = first > second ? large : small, r2 = first > second ? small : large;
        sum += top + log1p(gap);
        shares += r1;
        g1 += r1 * z1;
        g2 += r2 * z2;
        s1 += r1 * (z1 * z1 - 1.0);
        s2 += r2 * (z2 * z2 - 1.0);
    }
    grad[0] = shares - n / (1.0 + exp(-logit));
    grad[1] = g1 * by1;
    grad[2] = g2 * by2;
    grad[3] = s1;
    grad[4] = s2;
    return sum - n * HALF_LOG_2PI;
}

/* The matrix comes in blocks of 256 rows, column by column within each; missing rows are 0. */
double logistic(long n, const double *const *data, const double *theta, double *grad) {
    enum { ROWS = 256, COLUMNS = 10 };
    const double *X = data[0], *y = data[1];
    double sum = 0.0, g[COLUMNS] = {0.0};
    for (long start = 0; start < n; start += ROWS, X += ROWS * COLUMNS) {
        long rows = n - start < ROWS ? n - start : ROWS;
        double eta[ROWS] = {0.0}, rest[ROWS] = {0.0};
        for (int j = 0; j < COLUMNS; j++)
            for (long i = 0; i < ROWS; i++) eta[i] += theta[j] * X[j * ROWS + i];
#pragma omp simd reduction(+ : sum)
        for (long i = 0; i < rows; i++) {
            double gap = exp(-fabs(eta[i])), large = 1.0 / (1.0 + gap);
            sum += y[start + i] * eta[i] - (eta[i] > 0.0 ? eta[i] : 0.0) - log1p(gap);
            rest[i] = y[start + i] - (eta[i] > 0.0 ? large : gap * large);
        }
        for (int j = 0; j < COLUMNS; j++) {
            double part = 0.0;
#pragma omp simd reduction(+ : part)
            for (long i = 0; i < ROWS; i++) part += rest[i] * X[j * ROWS + i];
            g[j] += part;
        }
    }
    for (int j = 0; j < COLUMNS; j++) grad[j] = g[j];
    return sum;
}
