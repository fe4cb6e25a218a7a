/* NEON of ARM64, single precision: 4 frames. Every ARM64 has it. */
#include "kernels.h"

#if defined(__aarch64__)
#include <arm_neon.h>

#define LOAD_NEON
#define REAL_BITS 32
#define W 4
#define V_FMA(a, b, c) vfmaq_f32(c, a, b)
#define V_FNMA(a, b, c) vfmsq_f32(c, a, b)
#define V_SUB(a, b) ((a) - (b))
#define V_SQRT(a) vsqrtq_f32(a)
#define V_MIN(a, b) vminq_f32(a, b)
#define V_MAX(a, b) vmaxq_f32(a, b)
#define V_SPLAT(x) vdupq_n_f32(x)
#define V_FROM_INT(v) vcvtq_f32_s32(v)
#define V_SAMPLES(p) vld1q_f32(p)
#define V_OUT(p, v) vst1q_f32(p, v)
#define V_OPAQUE(p) (p)
#define V_HALF(p) vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)))
#define TILE tile_neon_f32
#define WHITEN whiten_neon
#define SQUARED_DISTANCE squared_distance_neon
#include "../template/embeddings.h"
#include "../template/tile.h"
#endif
