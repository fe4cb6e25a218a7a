/* Tile plans: the tables from which kernels compute frames of one configuration.
 *
 * A frame of n = n_fft samples, a power of two, is transformed as m = n/2 = A B complex points in A
 * columns and rows of B points; template/tile.h has the formulas. One table holds all numbers, as
 * doubles and rounded to floats. Members named ..._at are offsets into it, in elements.
 */
#ifndef ASD_TILE_PLAN_H
#define ASD_TILE_PLAN_H

#include "mel_filters.h"
#include "melspec.h"

#include <stddef.h>
#include <stdint.h>

enum {
    CACHE_LINE = 64, /* bytes */
    TILE_MAX_LANES = 16,
    TILE_MAX_COLUMNS = 16,                             /* radix of the first pass */
    TILE_MAX_ROWS = TILE_MAX_LANES + TILE_MAX_COLUMNS, /* of samples, see tile_source in kernel.h */
    TILE_MAX_PASSES = 16,
    TILE_BLOCK = TILE_MAX_COLUMNS * 16 * 32 /* floats, see `columns` in template/columns.h */
};

typedef struct {
    size_t n, m, A, B;
    size_t n_passes; /* of a row, without the last one, which is of radix 4 */
    size_t radix[TILE_MAX_PASSES];
    size_t row_at[TILE_MAX_PASSES]; /* w(N)^(p i), p-major, i = 1 .. r-1 */
    size_t window_at;               /* w[2j], w[2j+1], halved; j = p + B k, p-major */
    size_t column_at;               /* w(m)^(p i), p-major, i = 1 .. A-1 */
    size_t unfold_at;               /* exp(-2 pi i k / n), k = i + A q, by i = 0 .. A/2, then q */

    size_t n_mels;
    const size_t *segment;  /* segment s holds the bins segment[s] .. segment[s+1] - 1 */
    const uint32_t *bin_at; /* where bin k = i + A q lies: row i, place q; in vectors */
    size_t weights_at;      /* a bin's weight in band s and in band s - 1 */
    size_t limits_at;       /* a band's (scale, offset), see `energy_limit` in template/bands.h */
    double image_weight;    /* see `lanes_needing_double` there */
    int power, is_db;
    double amin, db_scale, db_floor; /* dB: db_scale ln(mel), or db_floor where mel <= amin */

    const float *table_f32;
    const double *table_f64;
} tile_plan;

/* window: n_fft values. lanes: of the widest kernel that will use the plan, in single precision.
 * NULL if there is no memory. */
tile_plan *tile_plan_create(const melspec_config *config, const mel_filters *filters,
                            const double *window, size_t lanes);

void tile_plan_free(tile_plan *plan); /* NULL is allowed */

size_t tile_work_size(const tile_plan *plan); /* bytes of `work` that any kernel needs */

#endif
