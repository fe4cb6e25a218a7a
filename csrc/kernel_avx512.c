/* AVX-512: 16 frames of float, 8 of double. */
#include "kernel.h"

#if defined(__x86_64__)
#include <immintrin.h>
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#pragma clang attribute push(__attribute__((target("avx512f,avx512dq,avx512vl,avx512bw,avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512dq,avx512vl,avx512bw,avx2,fma,prefer-vector-width=512,tune=icelake-server")
/* Instructions in an order that keeps all units busy before registers are given out, and no pointer
 * for each of the many streams of a loop, in memory: 2 %. Of the processors of which compilers of
 * 2022 have a model of 512 bits, this one fits Zen 4 too. */
#pragma GCC optimize("no-ivopts", "schedule-insns", "sched-pressure")
#endif

#define LOAD_SSE2
#define LOAD_AVX
#include "tile_load.h"

/* An operation takes a number from memory to all lanes for nothing, where a broadcast of its own
 * takes an adder's or multiplier's time on Zen 4. Compilers broadcast once what is used twice, and
 * rather leave the samples to the operation: kept apart, each use has its own. */
INLINE const void *afresh(const void *p)
{
    __asm__("" : "+r"(p));
    return p;
}

INLINE __m512 in_register(__m512 v)
{
    __asm__("" : "+v"(v));
    return v;
}

#define REAL_BITS 32
#define W 16
#define V_FMA(a, b, c) _mm512_fmadd_ps(a, b, c)
#define V_FNMA(a, b, c) _mm512_fnmadd_ps(a, b, c)
#define V_SUB(a, b) V_FNMA(b, _mm512_set1_ps(1), a)
#define V_SQRT(a) _mm512_sqrt_ps(a)
#define V_MIN(a, b) _mm512_min_ps(a, b)
#define V_MAX(a, b) _mm512_max_ps(a, b)
#define V_SPLAT(x) _mm512_set1_ps(x)
#define V_SAMPLES(p) in_register(_mm512_loadu_ps(p))
#define V_AFRESH(p) afresh(p)
#define V_OUT(p, v) _mm512_storeu_ps(p, v)
#define V_FROM_INT(v) _mm512_cvtepi32_ps((__m512i)(v))
#define V_HALF(p) _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)(p)))
#include "scoring_kernel.h"
#include "tile.h"

#define REAL_BITS 64
#define W 8
#define V_FMA(a, b, c) _mm512_fmadd_pd(a, b, c)
#define V_FNMA(a, b, c) _mm512_fnmadd_pd(a, b, c)
#define V_SUB(a, b) V_FNMA(b, _mm512_set1_pd(1), a)
#define V_SQRT(a) _mm512_sqrt_pd(a)
#define V_MIN(a, b) _mm512_min_pd(a, b)
#define V_MAX(a, b) _mm512_max_pd(a, b)
#define V_SPLAT(x) _mm512_set1_pd(x)
#define V_SAMPLES(p) _mm512_cvtps_pd(_mm256_loadu_ps(p))
#define V_AFRESH(p) afresh(p)
#define V_OUT(p, v) _mm256_storeu_ps(p, _mm512_cvtpd_ps(v))
#define V_FROM_INT(v) _mm512_cvtepi64_pd((__m512i)(v))
#include "tile.h"

static int is_supported(void);
extern const kernel kernel_avx2;

const kernel kernel_avx512 = {
    .name = "avx512",
    .is_supported = is_supported,
    .narrow = &kernel_avx2,
    .lanes_f32 = 16,
    .lanes_f64 = 8,
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
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
#else
typedef int not_for_this_machine; /* ISO C wants a declaration */
#endif
