/* Columns of a tile: samples, window, the first pass of the transform (formulas: tile.h). */
#ifndef ASD_TEMPLATE_COLUMNS_H
#define ASD_TEMPLATE_COLUMNS_H

#include "../kernel.h"
#include "dft.h"
#include "load.h"
#include "prefetch.h"
#include "table.h"
#include "vector.h"

enum { BLOCK_STRIDE = 16 + (W < 4 ? 4 : W) }; /* of a sample in a block, at least its rows */

INLINE cplx windowed(const float *x, const REAL *window)
{
    return (cplx){V_SAMPLES(x) * V_SPLAT(window[0]),
                  V_SAMPLES(x + BLOCK_STRIDE) * V_SPLAT(window[1])};
}

INLINE void column_in(int A, int i, const float *const at[], const REAL *window, cplx *z)
{
    for (int k = i; k < A; k += outer(A))
        z[k] = windowed(at[k], window + 2 * k);
    inner_dft(SUBTRACT_BY_ADDERS, A, i, z);
}

/* Stores results to rows that lie `pitch` apart. */
INLINE void column_out(int A, int k, cplx *z, const REAL *w, const REAL *w_opaque, REAL *to,
                       size_t pitch)
{
    outer_dft(SUBTRACT_BY_ADDERS, A, k, z);
    for (int j = 0, i = k; j < outer(A); j++, i += A / outer(A)) {
        const cplx y = z[outer(A) * k + j];
        const REAL *w2 = i < A / 2 ? w_opaque : w; /* for all i, these would be too many loads */
        store(to + (size_t)i * pitch,
              i == 0 ? y : times_twiddle(y, w + 2 * (i - 1), w2 + 2 * (i - 1)));
    }
}

/* Rows y[i] and y[i+1] lie `pitch` apart. block: room for W samples of every column, see
 * TILE_BLOCK. Blocks of samples end where cache lines end, because a line that two of them share
 * would be fetched twice. */
INLINE void columns(int A, const tile_plan *plan, const tile_source *source, tile_prefetch *next,
                    REAL *y, size_t pitch, float *block)
{
    enum { ROOM = 2 * POINTS * BLOCK_STRIDE };
    const size_t step = source->column_step, n_rows = W + (size_t)A / step - 1;
    const size_t point = 2 * (source->is_pcm16 ? sizeof(int16_t) : sizeof(float));
    const size_t offset = (uintptr_t)source->row[0] / point % POINTS & ~(size_t)1;
    const REAL *window = table_of(plan) + plan->window_at;
    const REAL *w = table_of(plan) + plan->column_at;
    const float *first[TILE_MAX_COLUMNS];
    for (size_t k = 0; k < (size_t)A; k++)
        first[k] = block + k % step * ROOM + k / step;
    for (size_t p0 = 0, count; p0 < plan->B; p0 += count) {
        count = POINTS - (p0 + offset) % POINTS;
        if (count > plan->B - p0)
            count = plan->B - p0;
        prefetch(next);
        load_blocks(source, n_rows, 2 * p0, step, 2 * plan->B, 2 * count, block, ROOM,
                    BLOCK_STRIDE);
        for (size_t j = 0; j < count; j++, w += 2 * (A - 1), window += 2 * A, y += 2 * W) {
            const REAL *w_opaque = V_OPAQUE(w);
            const float *at[TILE_MAX_COLUMNS];
            for (int k = 0; k < A; k++)
                at[k] = first[k] + j * 2 * BLOCK_STRIDE;
            cplx z[TILE_MAX_COLUMNS];
            column_in(A, 0, at, window, z), column_in(A, 1, at, window, z);
            if (A == 16)
                column_in(A, 2, at, window, z), column_in(A, 3, at, window, z);
            column_out(A, 0, z, w, w_opaque, y, pitch), column_out(A, 1, z, w, w_opaque, y, pitch);
            if (A >= 8)
                column_out(A, 2, z, w, w_opaque, y, pitch),
                    column_out(A, 3, z, w, w_opaque, y, pitch);
        }
    }
}

#endif
