/* AVX-512, double precision: 8 frames. */
#include "kernels.h"

#if defined(__x86_64__)
#include "avx512.h"

#include <immintrin.h>

/* avx512_f32.c says why. */
#if defined(__clang__)
#pragma clang attribute push(                                                                      \
    __attribute__((target("avx512f,avx512dq,avx512vl,avx512bw,avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target(                                                                                \
    "avx512f,avx512dq,avx512vl,avx512bw,avx2,fma,prefer-vector-width=512,tune=icelake-server")
#pragma GCC optimize("no-ivopts", "schedule-insns", "sched-pressure")
#endif

#define LOAD_SSE2
#define LOAD_AVX
#define REAL_BITS 64
#define W 8
#define V_FMA(a, b, c) _mm512_fmadd_pd(a, b, c)
#define V_FNMA(a, b, c) _mm512_fnmadd_pd(a, b, c)
#define V_SUB(a, b) V_FNMA(b, _mm512_set1_pd(1), a)
#define V_SQRT(a) _mm512_sqrt_pd(a)
#define V_MIN(a, b) _mm512_min_pd(a, b)
#define V_MAX(a, b) _mm512_max_pd(a, b)
#define V_SPLAT(x) _mm512_set1_pd(x)
#define V_FROM_INT(v) _mm512_cvtepi64_pd((__m512i)(v))
#define V_SAMPLES(p) _mm512_cvtps_pd(_mm256_loadu_ps(p))
#define V_OUT(p, v) _mm256_storeu_ps(p, _mm512_cvtpd_ps(v))
#define V_OPAQUE(p) opaque(p)
#define TILE tile_avx512_f64
#include "../template/tile.h"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif
