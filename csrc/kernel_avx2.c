/* AVX2 with FMA: 8 frames of float, 4 of double. */
#include "kernel.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC target("avx2,fma,f16c,tune=icelake-server")
#pragma GCC optimize("schedule-insns", "sched-pressure") /* see kernel_avx512.c: 1 % */
#endif

#define LOAD_SSE2
#define LOAD_AVX
#include "tile_load.h"

#define REAL_BITS 32
#define W 8
#define V_FMA(a, b, c) _mm256_fmadd_ps(a, b, c)
#define V_FNMA(a, b, c) _mm256_fnmadd_ps(a, b, c)
#define V_SUB(a, b) V_FNMA(b, _mm256_set1_ps(1), a)
#define V_SQRT(a) _mm256_sqrt_ps(a)
#define V_MIN(a, b) _mm256_min_ps(a, b)
#define V_MAX(a, b) _mm256_max_ps(a, b)
#define V_SPLAT(x) _mm256_set1_ps(x)
#define V_SAMPLES(p) _mm256_loadu_ps(p)
#define V_AFRESH(p) (p)
#define V_OUT(p, v) _mm256_storeu_ps(p, v)
#define V_FROM_INT(v) _mm256_cvtepi32_ps((__m256i)(v))
#define V_HALF(p) _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(p)))
#include "scoring_kernel.h"
#include "tile.h"

#define REAL_BITS 64
#define W 4
#define V_FMA(a, b, c) _mm256_fmadd_pd(a, b, c)
#define V_FNMA(a, b, c) _mm256_fnmadd_pd(a, b, c)
#define V_SUB(a, b) V_FNMA(b, _mm256_set1_pd(1), a)
#define V_SQRT(a) _mm256_sqrt_pd(a)
#define V_MIN(a, b) _mm256_min_pd(a, b)
#define V_MAX(a, b) _mm256_max_pd(a, b)
#define V_SPLAT(x) _mm256_set1_pd(x)
#define V_SAMPLES(p) _mm256_cvtps_pd(_mm_loadu_ps(p))
#define V_AFRESH(p) (p)
#define V_OUT(p, v) _mm_storeu_ps(p, _mm256_cvtpd_ps(v))
#define V_FROM_INT(v) __builtin_convertvector(v, __m256d)
#include "tile.h"

static int is_supported(void);

const kernel kernel_avx2 = {
    .name = "avx2",
    .is_supported = is_supported,
    .lanes_f32 = 8,
    .lanes_f64 = 4,
    .compute_f32 = tile_compute_f32,
    .compute_f64 = tile_compute_f64,
    .whiten = whiten,
    .squared_distance = squared_distance,
    .whitens_halves = 1,
};

#if defined(__clang__)
#pragma clang attribute pop
#endif

static int is_supported(void)
{
    unsigned a, b, c, d; /* clang's builtin does not know F16C */
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}
#else
typedef int not_for_this_machine; /* ISO C wants a declaration */
#endif
