/* Prefetching what the next tile needs while this one is computed. */
#ifndef ASD_TEMPLATE_PREFETCH_H
#define ASD_TEMPLATE_PREFETCH_H

#include "../kernel.h"
#include "vector.h"

enum { POINTS = W < 4 ? 2 : W / 2 }; /* of every column, loaded together */

/* Number of steps of a tile: blocks of columns, and pairs of rows. Each prefetches its share. */
INLINE size_t n_steps(const tile_plan *plan) { return plan->B / POINTS + plan->A / 2; }

/* Several lines are fetched in a turn of the loop, which would cost 2 % otherwise. This may fetch a
 * few lines more than asked for, which are needed soon after. */
INLINE void prefetch(tile_prefetch *next)
{
    for (size_t i = 0; i < next->lines_per_step; i += 4, next->samples += 4 * CACHE_LINE) {
        const char *p = (const char *)next->samples;
        __builtin_prefetch(p, 0, 2), __builtin_prefetch(p + CACHE_LINE, 0, 2);
        __builtin_prefetch(p + 2 * CACHE_LINE, 0, 2), __builtin_prefetch(p + 3 * CACHE_LINE, 0, 2);
    }
    for (size_t i = 0; i < next->outs_per_step; i += 2, next->out += 2 * next->out_stride) {
        __builtin_prefetch((const void *)next->out, 1, 2);
        __builtin_prefetch((const void *)(next->out + next->out_stride), 1, 2);
    }
}

#endif
