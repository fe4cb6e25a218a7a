/* NEON of ARM64, which every one has: 4 frames of float, 2 of double. */
#include "kernel.h"

#if defined(__aarch64__)
#include <arm_neon.h>
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#endif

#define LOAD_NEON
#include "tile_load.h"

#define REAL_BITS 32
#define W 4
#define V_FMA(a, b, c) vfmaq_f32(c, a, b)
#define V_FNMA(a, b, c) vfmsq_f32(c, a, b)
#define V_SUB(a, b) ((a) - (b))
#define V_SQRT(a) vsqrtq_f32(a)
#define V_MIN(a, b) vminq_f32(a, b)
#define V_MAX(a, b) vmaxq_f32(a, b)
#define V_SPLAT(x) vdupq_n_f32(x)
#define V_SAMPLES(p) vld1q_f32(p)
#define V_AFRESH(p) (p)
#define V_OUT(p, v) vst1q_f32(p, v)
#define V_FROM_INT(v) vcvtq_f32_s32(v)
#define V_HALF(p) vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)))
#include "scoring_kernel.h"
#include "tile.h"

#define REAL_BITS 64
#define W 2
#define V_FMA(a, b, c) vfmaq_f64(c, a, b)
#define V_FNMA(a, b, c) vfmsq_f64(c, a, b)
#define V_SUB(a, b) ((a) - (b))
#define V_SQRT(a) vsqrtq_f64(a)
#define V_MIN(a, b) vminq_f64(a, b)
#define V_MAX(a, b) vmaxq_f64(a, b)
#define V_SPLAT(x) vdupq_n_f64(x)
#define V_SAMPLES(p) vcvt_f64_f32(vld1_f32(p))
#define V_AFRESH(p) (p)
#define V_OUT(p, v) vst1_f32(p, vcvt_f32_f64(v))
#define V_FROM_INT(v) vcvtq_f64_s64(v)
#include "tile.h"

static int is_supported(void) { return 1; }

const kernel kernel_neon = {
    .name = "neon",
    .is_supported = is_supported,
    .lanes_f32 = 4,
    .lanes_f64 = 2,
    .compute_f32 = tile_compute_f32,
    .compute_f64 = tile_compute_f64,
    .whiten = whiten,
    .squared_distance = squared_distance,
    .whitens_halves = 1,
};
#else
typedef int not_for_this_machine; /* ISO C wants a declaration */
#endif
