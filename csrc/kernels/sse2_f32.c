/* SSE2, single precision: 4 frames. */
#include "kernels.h"

#if defined(__x86_64__)
#include <emmintrin.h>

/* gcc: ordering the instructions so that all units are busy, before it allocates registers, saves 1
 * to 2 %. */
#if !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("schedule-insns", "sched-pressure")
#endif

#define LOAD_SSE2
#define REAL_BITS 32
#define W 4
#define V_FMA(a, b, c) _mm_add_ps(_mm_mul_ps(a, b), c)
#define V_FNMA(a, b, c) _mm_sub_ps(c, _mm_mul_ps(a, b))
#define V_SUB(a, b) ((a) - (b))
#define V_SQRT(a) _mm_sqrt_ps(a)
#define V_MIN(a, b) _mm_min_ps(a, b)
#define V_MAX(a, b) _mm_max_ps(a, b)
#define V_SPLAT(x) _mm_set1_ps(x)
#define V_FROM_INT(v) _mm_cvtepi32_ps((__m128i)(v))
#define V_SAMPLES(p) _mm_loadu_ps(p)
#define V_OUT(p, v) _mm_storeu_ps(p, v)
#define V_OPAQUE(p) (p)
#define TILE tile_sse2_f32
#define WHITEN whiten_sse2
#define SQUARED_DISTANCE squared_distance_sse2
#include "../template/embeddings.h"
#include "../template/tile.h"

#if !defined(__clang__)
#pragma GCC pop_options
#endif
#endif
