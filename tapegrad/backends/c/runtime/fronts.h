/* The inverse of a sparse matrix at the positions of its factor, front by front.

A front is a square of `side` rows in the pool. Its own rows come first, its further rows stand from `width` on.
Of symmetric matrices the lower triangle is there alone. Groups are numbered so that children come before their
parents. The functions of BLAS are those that SciPy has. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef void (*tg_symm)(char *, char *, int *, int *, double *, double *, int *, double *, int *, double *,
                        double *, int *);
typedef void (*tg_gemm)(char *, char *, int *, int *, int *, double *, double *, int *, double *, int *,
                        double *, double *, int *);
typedef void (*tg_trsm)(char *, char *, char *, char *, int *, int *, double *, double *, int *, double *,
                        int *);

#define TG_SMALL 2000 /* multiplications: so few take less time than a call of BLAS */

/* The part of L that belongs to a group, in its front: unit lower triangular, and what stands below. */
int tg_fronts_fill(int64_t groups, const int64_t *own, const int64_t *rest, const int64_t *width,
                   const int64_t *side, const int64_t *start, double *pool, int64_t count,
                   const int64_t *held, const int64_t *at, const double *lower) {
    for (int64_t g = 0; g < groups; g++) {
        const int64_t k = own[g], n = side[g], w = width[g];
        double *front = pool + start[g];
        for (int64_t i = 0; i < k; i++) {
            memset(front + i * n, 0, k * sizeof(double));
            front[i * n + i] = 1.0;
        }
        for (int64_t i = 0; i < rest[g]; i++)
            memset(front + (w + i) * n, 0, k * sizeof(double));
    }
    for (int64_t i = 0; i < count; i++)
        pool[at[i]] = lower[held[i]];
    return 0;
}

/* With L of a front and the pivots D: below, B L^-1; above, the inverse of L D L'. */
static void tg_front_gain(int64_t k, int64_t r, int64_t n, double *front, double *below, const double *pivots,
                          double *work, tg_gemm gemm, tg_trsm trsm) {
    if (k == 1) {
        front[0] = 1.0 / pivots[0];
        return;
    }
    int ki = (int)k, ri = (int)r, ni = (int)n;
    double one = 1.0, zero = 0.0;
    double *inverse = work, *scaled = work + k * k;
    if (r > 0)
        trsm("L", "U", "N", "U", &ki, &ri, &one, front, &ni, below, &ni);
    memset(inverse, 0, k * k * sizeof(double));
    for (int64_t i = 0; i < k; i++)
        inverse[i * k + i] = 1.0;
    /* The rows of `inverse` become those of the transposed inverse of L. */
    trsm("L", "U", "T", "U", &ki, &ki, &one, front, &ni, inverse, &ki);
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = 0; j < k; j++)
            scaled[i * k + j] = inverse[i * k + j] / pivots[j];
    gemm("T", "N", &ki, &ki, &ki, &one, scaled, &ki, inverse, &ki, &zero, front, &ni);
}

/* For all fronts; `pivots` stand in the order of elimination, `first` tells the first of each group. */
int tg_fronts_gain(int64_t groups, const int64_t *own, const int64_t *rest, const int64_t *width,
                   const int64_t *side, const int64_t *start, const int64_t *first, double *pool,
                   const double *pivots, void *gemm, void *trsm) {
    int64_t most = 0;
    for (int64_t g = 0; g < groups; g++)
        most = own[g] > most ? own[g] : most;
    double *work = malloc((2 * most * most + 1) * sizeof(double));
    if (work == NULL)
        return 1;
    for (int64_t g = 0; g < groups; g++) {
        double *front = pool + start[g];
        tg_front_gain(own[g], rest[g], side[g], front, front + width[g] * side[g], pivots + first[g], work,
                      (tg_gemm)gemm, (tg_trsm)trsm);
    }
    free(work);
    return 0;
}

/* -Z G, Z the lower triangle at the further rows. */
static void tg_aside(int64_t k, int64_t r, int64_t n, const double *z, const double *gain, double *aside,
                     tg_symm symm) {
    if (r * r * k > TG_SMALL) {
        int ki = (int)k, ri = (int)r, ni = (int)n;
        double minus = -1.0, zero = 0.0;
        symm("R", "U", &ki, &ri, &minus, (double *)z, &ni, (double *)gain, &ki, &zero, aside, &ni);
        return;
    }
    for (int64_t i = 0; i < r; i++) {
        double *row = aside + i * n;
        for (int64_t c = 0; c < k; c++)
            row[c] = 0.0;
        for (int64_t j = 0; j < r; j++) {
            const double x = j <= i ? z[i * n + j] : z[j * n + i];
            for (int64_t c = 0; c < k; c++)
                row[c] -= x * gain[j * k + c];
        }
    }
}

/* P - G' aside at a front's own rows. */
static void tg_pivots(int64_t k, int64_t r, int64_t n, const double *gain, const double *aside, double *front,
                      tg_gemm gemm) {
    if (k * k * r > TG_SMALL) {
        int ki = (int)k, ri = (int)r, ni = (int)n;
        double minus = -1.0, one = 1.0;
        gemm("N", "T", &ki, &ki, &ri, &minus, (double *)gain, &ki, (double *)aside, &ni, &one, front, &ni);
        return;
    }
    for (int64_t j = 0; j < r; j++)
        for (int64_t a = 0; a < k; a++) {
            const double x = gain[j * k + a];
            for (int64_t c = 0; c <= a; c++)
                front[a * n + c] -= x * aside[j * n + c];
        }
}

/* The inverse in all fronts, from the last to the first; `place` tells where the further rows of a group, from
   `begin` on, stand in the front of its parent. */
int tg_fronts_inverse(int64_t groups, const int64_t *own, const int64_t *rest, const int64_t *width,
                      const int64_t *side, const int64_t *start, const int64_t *parent, const int64_t *begin,
                      const int64_t *place, double *pool, void *symm, void *gemm) {
    int64_t most = 0;
    for (int64_t g = 0; g < groups; g++)
        most = own[g] * rest[g] > most ? own[g] * rest[g] : most;
    double *gain = malloc((most + 1) * sizeof(double));
    if (gain == NULL)
        return 1;
    for (int64_t g = groups - 1; g >= 0; g--) {
        const int64_t k = own[g], r = rest[g], n = side[g], w = width[g];
        if (r == 0)
            continue;
        double *front = pool + start[g], *below = front + w * n, *z = below + w;
        const int64_t m = side[parent[g]], *at = place + begin[g];
        const double *above = pool + start[parent[g]];
        for (int64_t i = 0; i < r; i++) {
            const double *row = above + at[i] * m;
            double *mine = z + i * n;
            for (int64_t j = 0; j <= i; j++)
                mine[j] = row[at[j]];
            memcpy(gain + i * k, below + i * n, k * sizeof(double));
        }
        tg_aside(k, r, n, z, gain, below, (tg_symm)symm);
        tg_pivots(k, r, n, gain, below, front, (tg_gemm)gemm);
    }
    free(gain);
    return 0;
}
