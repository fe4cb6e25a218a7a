/* SSE2, double precision: 2 frames. */
#include "kernels.h"

#if defined(__x86_64__)
#include <emmintrin.h>

/* sse2_f32.c says why. */
#if !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("schedule-insns", "sched-pressure")
#endif

#define LOAD_SSE2
#define REAL_BITS 64
#define W 2
#define V_FMA(a, b, c) _mm_add_pd(_mm_mul_pd(a, b), c)
#define V_FNMA(a, b, c) _mm_sub_pd(c, _mm_mul_pd(a, b))
#define V_SUB(a, b) ((a) - (b))
#define V_SQRT(a) _mm_sqrt_pd(a)
#define V_MIN(a, b) _mm_min_pd(a, b)
#define V_MAX(a, b) _mm_max_pd(a, b)
#define V_SPLAT(x) _mm_set1_pd(x)
#define V_FROM_INT(v) __builtin_convertvector(v, __m128d)
#define V_SAMPLES(p)                                                                               \
    _mm_cvtps_pd(_mm_castsi128_ps(_mm_loadl_epi64((const __m128i *)(const void *)(p))))
#define V_OUT(p, v) _mm_storel_pi((__m64 *)(void *)(p), _mm_cvtpd_ps(v))
#define V_OPAQUE(p) (p)
#define TILE tile_sse2_f64
#include "../template/tile.h"

#if !defined(__clang__)
#pragma GCC pop_options
#endif
#endif
