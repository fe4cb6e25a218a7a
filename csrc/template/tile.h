/* A tile: W frames, one in each lane, from samples to mel bands.
 *
 * With z[j] = x[2j] w[2j] + i x[2j+1] w[2j+1] and m = n/2 = A B, Z = DFT(z) takes two steps,
 *
 *     y[i][p] = w(m)^(p i) sum_k z[p + B k] w(A)^(k i)      p = 0 .. B-1, i = 0 .. A-1    columns
 *     Z[i + A q] = sum_p y[i][p] w(B)^(p q)                 q = 0 .. B-1                  rows
 *
 * with w(N) = exp(-2 pi i / N). The first step reads the samples. The second, which works on a row
 * at a time in the first-level cache, ends in the power spectrum: row i and row A - i together hold
 * Z[k] and Z[m-k], from which the unfolding computes
 *
 *     E = Z[k] + conj Z[m-k],  O = (Z[k] - conj Z[m-k]) / i,  U = exp(-2 pi i k / n)
 *     |X[k]|^2 = |E + U O|^2,  |X[m-k]|^2 = |E - U O|^2     (the window is halved)
 *
 * The last pass of both rows and the unfolding are one loop. The mel bands follow: between two
 * edges of the triangles, in a segment, every bin lies in the falling flank of one band and in the
 * rising flank of the next.
 *
 *     samples --load_blocks--> --columns--> y --rows--> |X|^2 --bands--> mel --finish--> out
 */
#ifndef ASD_TEMPLATE_TILE_H
#define ASD_TEMPLATE_TILE_H

#include "../kernels/kernels.h"
#include "bands.h"
#include "columns.h"
#include "prefetch.h"
#include "rows.h"
#include "vector.h"

#include <assert.h>

#ifndef TILE
#define TILE tile_scalar_f32
#endif

unsigned TILE(const tile_plan *plan, const tile_source *source, float *out, size_t out_stride,
              void *work)
{
    assert((uintptr_t)work % CACHE_LINE == 0 && source->n_frames >= 1 && source->n_frames <= W);
    assert(source->column_step >= 1 && plan->A % source->column_step == 0);
    const size_t pitch = (2 * plan->B + 1) * W;
    float *block = work;
    REAL *y = (REAL *)(void *)(block + TILE_BLOCK);
    REAL *scratch = y + plan->A * pitch;
    REAL *mel = scratch + 8 * plan->B * W;
    tile_prefetch next = source->next;
    next.lines_per_step = (next.n_lines + n_steps(plan) - 1) / n_steps(plan);
    next.outs_per_step = (next.n_outs + n_steps(plan) - 1) / n_steps(plan);
    switch (plan->A) {
    case 4: columns(4, plan, source, &next, y, pitch, block); break;
    case 8: columns(8, plan, source, &next, y, pitch, block); break;
    default: columns(16, plan, source, &next, y, pitch, block);
    }
    const energy energy = plan->power == 1 ? rows(1, plan, &next, y, pitch, scratch)
                                           : rows(2, plan, &next, y, pitch, scratch);
    if (REAL_BITS == 32 && !plan->is_db) { /* the bands are the output */
        mel = (REAL *)(void *)out;
        return lanes_needing_double(plan, source, mel, out_stride, energy,
                                    bands(plan, y, mel, out_stride));
    }
    const band_extremes extremes = bands(plan, y, mel, W);
    finish(plan, mel, out, out_stride);
    return lanes_needing_double(plan, source, mel, W, energy, extremes);
}

#endif
