/* Plain C: a frame at a time. For machines without a kernel of their own. */
#include "kernel.h"

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#endif

#include "tile_load.h"

#define REAL_BITS 32
#define W 1
#define V_FMA(a, b, c) ((a) * (b) + (c))
#define V_FNMA(a, b, c) ((c) - (a) * (b))
#define V_SUB(a, b) ((a) - (b))
#define V_SQRT(a) sqrtf(a)
#define V_MIN(a, b) ((a) < (b) ? (a) : (b))
#define V_MAX(a, b) ((a) > (b) ? (a) : (b))
#define V_SPLAT(x) (x)
#define V_SAMPLES(p) (*(p))
#define V_AFRESH(p) (p)
#define V_OUT(p, v) (void)(*(p) = (v))
#define V_FROM_INT(v) ((float)(v))
#include "scoring_kernel.h"
#include "tile.h"

#define REAL_BITS 64
#define W 1
#define V_FMA(a, b, c) ((a) * (b) + (c))
#define V_FNMA(a, b, c) ((c) - (a) * (b))
#define V_SUB(a, b) ((a) - (b))
#define V_SQRT(a) sqrt(a)
#define V_MIN(a, b) ((a) < (b) ? (a) : (b))
#define V_MAX(a, b) ((a) > (b) ? (a) : (b))
#define V_SPLAT(x) (x)
#define V_SAMPLES(p) ((double)*(p))
#define V_AFRESH(p) (p)
#define V_OUT(p, v) (void)(*(p) = (float)(v))
#define V_FROM_INT(v) ((double)(v))
#include "tile.h"

static int is_supported(void) { return 1; }

const kernel kernel_scalar = {
    .name = "scalar",
    .is_supported = is_supported,
    .lanes_f32 = 1,
    .lanes_f64 = 1,
    .compute_f32 = tile_compute_f32,
    .compute_f64 = tile_compute_f64,
    .whiten = whiten,
    .squared_distance = squared_distance,
};
