/* Mel frames of n_fft a power of two: a kernel (kernel.h) computes them a tile at a time, in single
 * precision first, and once more in double precision where that is not exact enough. */
#ifndef ASD_FRAMES_TILE_H
#define ASD_FRAMES_TILE_H

#include "clip.h"
#include "kernel.h"
#include "tile_plan.h"

#include <stddef.h>

/* What is needed to compute frames; the pointers belong to the melspec_plan. */
typedef struct {
    const kernel *kernel;
    const tile_plan *tile;
    size_t hop_length;
} frames_tile_plan;

size_t frames_tile_workspace_size(const frames_tile_plan *plan); /* bytes, aligned to 64 */

/* Computes the frames first .. first + count - 1, as melspec_compute. */
void frames_tile(const frames_tile_plan *plan, const clip *clip, size_t first, size_t count,
                 float *out, size_t out_stride, char *workspace);

#endif
