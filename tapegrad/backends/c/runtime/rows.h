/* Rows in chunks of WIDTH, blocks of BLOCK: what the loops over rows have in common. */

#include <stdint.h>
#include <string.h>

/* So many rows are taken at once: vectors are always whole, so that no row depends on where a block ends. */
#define TG_WHOLE(m) (((m) + 7) & ~(int64_t)7)
/* So many of them are whole vectors by themselves, and behind these come the others. */
#define TG_VECTORS(m) ((m) < 8 ? (m) : (m) & ~(int64_t)7)

/* The place that an index names, which counts from the end where it is negative. */
static inline __attribute__((always_inline, unused)) int64_t tg_place(int64_t index, int64_t length) {
    return index + (length & -(int64_t)(index < 0));
}

/* Chunks of m rows of a column, one element every `step`, to and from arrays. As functions of their
   own they are compiled once, and not for each column of each loop. In whole vectors, the last row stands again
   and again behind the last one. */
#define TG_COLUMN(name, stored, local)                                                                         \
    static __attribute__((noinline, unused)) void name(const stored *from, int64_t step, int64_t m, local *room) { \
        for (int64_t i = 0; i < m; i++) room[i] = from[i * step];                                              \
        for (int64_t i = m; i < TG_WHOLE(m); i++) room[i] = room[m - 1];                                       \
    }
#define TG_PUT(name, stored, local)                                                                            \
    static __attribute__((noinline, unused)) void name(stored *to, int64_t step, int64_t m, const local *room) { \
        for (int64_t i = 0; i < m; i++) to[i * step] = (stored)room[i];                                        \
    }
TG_COLUMN(tg_column_double, double, double)
TG_COLUMN(tg_column_int64_t, int64_t, int64_t)
TG_COLUMN(tg_column_uint8_t, uint8_t, int64_t)
TG_PUT(tg_put_double, double, double)
TG_PUT(tg_put_int64_t, int64_t, int64_t)
TG_PUT(tg_put_uint8_t, uint8_t, int64_t)

/* All columns of a few numbers to a row at once. */
#define TG_TOGETHER static __attribute__((noinline, unused)) void
#define TG_ROOM double *restrict
TG_TOGETHER tg_columns2(const TG_ROOM from, int64_t m, TG_ROOM a, TG_ROOM b) {
    for (int64_t i = 0; i < m; i++) a[i] = from[2 * i + 0], b[i] = from[2 * i + 1];
    for (int64_t i = m; i < TG_WHOLE(m); i++) a[i] = a[m - 1], b[i] = b[m - 1];
}
TG_TOGETHER tg_put2(TG_ROOM to, int64_t m, const TG_ROOM a, const TG_ROOM b) {
    for (int64_t i = 0; i < m; i++) to[2 * i + 0] = a[i], to[2 * i + 1] = b[i];
}
TG_TOGETHER tg_columns3(const TG_ROOM from, int64_t m, TG_ROOM a, TG_ROOM b, TG_ROOM c) {
    for (int64_t i = 0; i < m; i++) a[i] = from[3 * i + 0], b[i] = from[3 * i + 1], c[i] = from[3 * i + 2];
    for (int64_t i = m; i < TG_WHOLE(m); i++) a[i] = a[m - 1], b[i] = b[m - 1], c[i] = c[m - 1];
}
TG_TOGETHER tg_put3(TG_ROOM to, int64_t m, const TG_ROOM a, const TG_ROOM b, const TG_ROOM c) {
    for (int64_t i = 0; i < m; i++) to[3 * i + 0] = a[i], to[3 * i + 1] = b[i], to[3 * i + 2] = c[i];
}
TG_TOGETHER tg_columns4(const TG_ROOM from, int64_t m, TG_ROOM a, TG_ROOM b, TG_ROOM c, TG_ROOM d) {
    for (int64_t i = 0; i < m; i++) a[i] = from[4 * i + 0], b[i] = from[4 * i + 1], c[i] = from[4 * i + 2], d[i] = from[4 * i + 3];
    for (int64_t i = m; i < TG_WHOLE(m); i++) a[i] = a[m - 1], b[i] = b[m - 1], c[i] = c[m - 1], d[i] = d[m - 1];
}
TG_TOGETHER tg_put4(TG_ROOM to, int64_t m, const TG_ROOM a, const TG_ROOM b, const TG_ROOM c, const TG_ROOM d) {
    for (int64_t i = 0; i < m; i++) to[4 * i + 0] = a[i], to[4 * i + 1] = b[i], to[4 * i + 2] = c[i], to[4 * i + 3] = d[i];
}

/* A chunk of a matrix column by column, each PITCH further: of the matrix as it is kept so, or made of its rows, of k
   numbers each. Four rows and four columns at a time are turned in vectors, where the compiler has them. */
#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define TG_TURNED
typedef double tg_four __attribute__((vector_size(32), aligned(8), may_alias));
#define TG_PAIRS(a, b, i) __builtin_shufflevector(a, b, i, 4 + i, 2 + i, 6 + i)
static inline __attribute__((always_inline, unused)) void tg_turn(const double *from, int64_t k, double *to) {
    const tg_four a = *(const tg_four *)from, b = *(const tg_four *)(from + k);
    const tg_four c = *(const tg_four *)(from + 2 * k), d = *(const tg_four *)(from + 3 * k);
    const tg_four ab0 = TG_PAIRS(a, b, 0), ab1 = TG_PAIRS(a, b, 1);
    const tg_four cd0 = TG_PAIRS(c, d, 0), cd1 = TG_PAIRS(c, d, 1);
    *(tg_four *)to = __builtin_shufflevector(ab0, cd0, 0, 1, 4, 5);
    *(tg_four *)(to + PITCH) = __builtin_shufflevector(ab1, cd1, 0, 1, 4, 5);
    *(tg_four *)(to + 2 * PITCH) = __builtin_shufflevector(ab0, cd0, 2, 3, 6, 7);
    *(tg_four *)(to + 3 * PITCH) = __builtin_shufflevector(ab1, cd1, 2, 3, 6, 7);
}
#endif
#endif
static __attribute__((noinline, unused)) const double *tg_chunk(
    const double *kept, const double *rows, int64_t r, int64_t m, int64_t k, double *room) {
    if (kept) return kept + r / WIDTH * k * PITCH;
    const double *const from = rows + r * k;
    int64_t i = 0;
#ifdef TG_TURNED
    for (; k >= 4 && i + 4 <= m; i += 4) {
        for (int64_t j = 0; j + 4 < k; j += 4) tg_turn(from + i * k + j, k, room + j * PITCH + i);
        tg_turn(from + i * k + k - 4, k, room + (k - 4) * PITCH + i); /* the last four, some once more */
    }
#endif
    for (; i < m; i++)
        for (int64_t j = 0; j < k; j++) room[j * PITCH + i] = from[i * k + j];
    for (; i < TG_WHOLE(m); i++)
        for (int64_t j = 0; j < k; j++) room[j * PITCH + i] = from[(m - 1) * k + j];
    return room;
}

/* The same of columns in order, which are read where they are if they end with a vector. */
static inline __attribute__((unused)) const double *tg_rows(const double *from, int64_t m, double *room) {
    if ((m & 7) == 0) return from;
    tg_column_double(from, 1, m, room);
    return room;
}

static inline __attribute__((unused)) const int64_t *tg_whole_rows(const int64_t *from, int64_t m, int64_t *room) {
    if ((m & 7) == 0) return from;
    tg_column_int64_t(from, 1, m, room);
    return room;
}

/* The sums of all blocks, each `width` numbers, added pairwise in their order: they are left in the first. */
static inline __attribute__((unused)) const double *tg_added(double *parts, int64_t blocks, int64_t width) {
    for (int64_t step = 1; step < blocks; step *= 2)
        for (int64_t b = 0; b + step < blocks; b += 2 * step)
            for (int64_t k = 0; k < width; k++) parts[b * width + k] += parts[(b + step) * width + k];
    return parts;
}
