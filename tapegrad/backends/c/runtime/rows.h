/* Rows in chunks of WIDTH, blocks of BLOCK: what the loops over rows have in common. */

#include <stdint.h>
#include <string.h>

/* So many rows are taken at once: vectors are always whole, so that no row depends on where a block ends. */
#define TG_WHOLE(m) (((m) + 7) & ~(int64_t)7)

/* The place that an index names, which counts from the end where it is negative. */
static inline __attribute__((always_inline, unused)) int64_t tg_place(int64_t index, int64_t length) {
    return index + (length & -(int64_t)(index < 0));
}

/* A chunk of m rows of a column, where the last row stands again and again behind the last one. */
static inline __attribute__((unused)) const double *tg_rows(const double *from, int64_t m, double *room) {
    if ((m & 7) == 0) return from;
    memcpy(room, from, (size_t)m * sizeof(double));
    for (int64_t i = m; i < TG_WHOLE(m); i++) room[i] = from[m - 1];
    return room;
}

static inline __attribute__((unused)) const int64_t *tg_whole_rows(const int64_t *from, int64_t m, int64_t *room) {
    if ((m & 7) == 0) return from;
    memcpy(room, from, (size_t)m * sizeof(int64_t));
    for (int64_t i = m; i < TG_WHOLE(m); i++) room[i] = from[m - 1];
    return room;
}

/* The sums of all blocks, each `width` numbers, added pairwise in their order: they are left in the first. */
static inline __attribute__((unused)) const double *tg_added(double *parts, int64_t blocks, int64_t width) {
    for (int64_t step = 1; step < blocks; step *= 2)
        for (int64_t b = 0; b + step < blocks; b += 2 * step)
            for (int64_t k = 0; k < width; k++) parts[b * width + k] += parts[(b + step) * width + k];
    return parts;
}
