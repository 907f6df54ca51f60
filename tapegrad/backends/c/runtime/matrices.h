/* Equations, inverses and factors of small matrices, row by row in memory. The steps are LAPACK's: the largest
   element of a column is the pivot. Where NumPy raises LinAlgError, results are NaN. `n` is a number in the
   text, so that loops over it are written out. */

#define TG_SMALL static inline __attribute__((always_inline, unused))

/* Make the matrix a, and k columns b with it, upper triangular; the sign of the exchanges, 0 if a is singular. */
TG_SMALL double tg_eliminated(int n, int k, double *a, double *b) {
    double sign = 1.0;
    int is_singular = 0;
    for (int j = 0; j < n; j++) {
        int pivot = j;
        for (int i = j + 1; i < n; i++)
            if (fabs(a[i * n + j]) > fabs(a[pivot * n + j])) pivot = i;
        if (a[pivot * n + j] == 0.0) is_singular = 1;
        if (pivot != j) {
            sign = -sign;
            for (int c = 0; c < n; c++) {
                const double kept = a[j * n + c];
                a[j * n + c] = a[pivot * n + c];
                a[pivot * n + c] = kept;
            }
            for (int c = 0; c < k; c++) {
                const double kept = b[j * k + c];
                b[j * k + c] = b[pivot * k + c];
                b[pivot * k + c] = kept;
            }
        }
        for (int i = j + 1; i < n; i++) {
            const double factor = a[i * n + j] / a[j * n + j];
            for (int c = j + 1; c < n; c++) a[i * n + c] -= factor * a[j * n + c];
            for (int c = 0; c < k; c++) b[i * k + c] -= factor * b[j * k + c];
        }
    }
    return is_singular ? 0.0 : sign;
}

/* a and b are overwritten. */
TG_SMALL void tg_solve(int n, int k, double *a, double *b, double *out) {
    const int is_regular = tg_eliminated(n, k, a, b) != 0.0;
    for (int c = 0; c < k; c++)
        for (int i = n - 1; i >= 0; i--) {
            double x = b[i * k + c];
            for (int j = i + 1; j < n; j++) x -= a[i * n + j] * out[j * k + c];
            out[i * k + c] = x / a[i * n + i];
        }
    for (int i = 0; i < n * k; i++)
        if (!is_regular) out[i] = NAN;
}

TG_SMALL void tg_inv(int n, double *a, double *out) {
    double b[16];
    for (int i = 0; i < n * n; i++) b[i] = i % (n + 1) == 0;
    tg_solve(n, n, a, b, out);
}

/* The logarithm of the absolute value of the determinant, its sign, and the determinant. */
TG_SMALL void tg_logabsdet(int n, double *a, double *out) {
    tg_eliminated(n, 0, a, a);
    *out = 0.0;
    for (int i = 0; i < n; i++) *out += log(fabs(a[i * n + i]));
}

TG_SMALL void tg_signdet(int n, double *a, double *out) {
    *out = tg_eliminated(n, 0, a, a);
    for (int i = 0; i < n; i++)
        if (a[i * n + i] < 0.0) *out = -*out;
}

TG_SMALL void tg_det(int n, double *a, double *out) {
    *out = tg_eliminated(n, 0, a, a);
    for (int i = 0; i < n; i++) *out *= a[i * n + i];
}

/* The lower triangle is read. */
TG_SMALL void tg_cholesky(int n, double *a, double *out) {
    int is_positive = 1;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            double x = j > i ? 0.0 : a[i * n + j];
            for (int c = 0; c < j && j <= i; c++) x -= out[i * n + c] * out[j * n + c];
            if (i == j && !(x > 0.0)) is_positive = 0;
            out[i * n + j] = j > i ? 0.0 : i == j ? sqrt(x) : x / out[j * n + j];
        }
    for (int i = 0; i < n * n; i++)
        if (!is_positive) out[i] = NAN;
}
