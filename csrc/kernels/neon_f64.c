/* NEON of ARM64, double precision: 2 frames. */
#include "kernels.h"

#if defined(__aarch64__)
#include <arm_neon.h>

#define LOAD_NEON
#define REAL_BITS 64
#define W 2
#define V_FMA(a, b, c) vfmaq_f64(c, a, b)
#define V_FNMA(a, b, c) vfmsq_f64(c, a, b)
#define V_SUB(a, b) ((a) - (b))
#define V_SQRT(a) vsqrtq_f64(a)
#define V_MIN(a, b) vminq_f64(a, b)
#define V_MAX(a, b) vmaxq_f64(a, b)
#define V_SPLAT(x) vdupq_n_f64(x)
#define V_FROM_INT(v) vcvtq_f64_s64(v)
#define V_SAMPLES(p) vcvt_f64_f32(vld1_f32(p))
#define V_OUT(p, v) vst1_f32(p, vcvt_f32_f64(v))
#define V_OPAQUE(p) (p)
#define TILE tile_neon_f64
#include "../template/tile.h"
#endif
