/* AVX2 with FMA, double precision: 4 frames. */
#include "kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

/* avx2_f32.c says why. */
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,tune=icelake-server")
#pragma GCC optimize("schedule-insns", "sched-pressure")
#endif

#define LOAD_SSE2
#define LOAD_AVX
#define REAL_BITS 64
#define W 4
#define V_FMA(a, b, c) _mm256_fmadd_pd(a, b, c)
#define V_FNMA(a, b, c) _mm256_fnmadd_pd(a, b, c)
#define V_SUB(a, b) V_FNMA(b, _mm256_set1_pd(1), a)
#define V_SQRT(a) _mm256_sqrt_pd(a)
#define V_MIN(a, b) _mm256_min_pd(a, b)
#define V_MAX(a, b) _mm256_max_pd(a, b)
#define V_SPLAT(x) _mm256_set1_pd(x)
#define V_FROM_INT(v) __builtin_convertvector(v, __m256d)
#define V_SAMPLES(p) _mm256_cvtps_pd(_mm_loadu_ps(p))
#define V_OUT(p, v) _mm_storeu_ps(p, _mm256_cvtpd_ps(v))
#define V_OPAQUE(p) (p)
#define TILE tile_avx2_f64
#include "../template/tile.h"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif
