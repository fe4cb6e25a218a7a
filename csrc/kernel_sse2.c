/* SSE2, which every x86-64 has: 4 frames of float, 2 of double. */
#include "kernel.h"

#if defined(__x86_64__)
#include <emmintrin.h>
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#else
#pragma GCC optimize("schedule-insns", "sched-pressure") /* see kernel_avx512.c: 1 to 2 % */
#endif

#define LOAD_SSE2
#include "tile_load.h"

#define REAL_BITS 32
#define W 4
#define V_FMA(a, b, c) _mm_add_ps(_mm_mul_ps(a, b), c)
#define V_FNMA(a, b, c) _mm_sub_ps(c, _mm_mul_ps(a, b))
#define V_SUB(a, b) ((a) - (b))
#define V_SQRT(a) _mm_sqrt_ps(a)
#define V_MIN(a, b) _mm_min_ps(a, b)
#define V_MAX(a, b) _mm_max_ps(a, b)
#define V_SPLAT(x) _mm_set1_ps(x)
#define V_SAMPLES(p) _mm_loadu_ps(p)
#define V_AFRESH(p) (p)
#define V_OUT(p, v) _mm_storeu_ps(p, v)
#define V_FROM_INT(v) _mm_cvtepi32_ps((__m128i)(v))
#include "scoring_kernel.h"
#include "tile.h"

#define REAL_BITS 64
#define W 2
#define V_FMA(a, b, c) _mm_add_pd(_mm_mul_pd(a, b), c)
#define V_FNMA(a, b, c) _mm_sub_pd(c, _mm_mul_pd(a, b))
#define V_SUB(a, b) ((a) - (b))
#define V_SQRT(a) _mm_sqrt_pd(a)
#define V_MIN(a, b) _mm_min_pd(a, b)
#define V_MAX(a, b) _mm_max_pd(a, b)
#define V_SPLAT(x) _mm_set1_pd(x)
#define V_SAMPLES(p) _mm_cvtps_pd(_mm_castsi128_ps(_mm_loadl_epi64((const __m128i *)(const void *)(p))))
#define V_AFRESH(p) (p)
#define V_OUT(p, v) _mm_storel_pi((__m64 *)(void *)(p), _mm_cvtpd_ps(v))
#define V_FROM_INT(v) __builtin_convertvector(v, __m128d)
#include "tile.h"

static int is_supported(void) { return 1; }

const kernel kernel_sse2 = {
    .name = "sse2",
    .is_supported = is_supported,
    .lanes_f32 = 4,
    .lanes_f64 = 2,
    .compute_f32 = tile_compute_f32,
    .compute_f64 = tile_compute_f64,
    .whiten = whiten,
    .squared_distance = squared_distance,
};
#else
typedef int not_for_this_machine; /* ISO C wants a declaration */
#endif
