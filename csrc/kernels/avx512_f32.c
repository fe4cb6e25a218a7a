/* AVX-512, single precision: 16 frames. */
#include "kernels.h"

#if defined(__x86_64__)
#include "avx512.h"

#include <immintrin.h>

/* gcc: ordering the instructions so that all units are busy, before it allocates registers, saves 2
 * % together with no-ivopts, without which each of the many streams of a loop gets a pointer of its
 * own, in memory. Of the processors for which compilers of 2022 have a scheduling model with 512
 * bits, this one also fits Zen 4. */
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
#define REAL_BITS 32
#define W 16
#define V_FMA(a, b, c) _mm512_fmadd_ps(a, b, c)
#define V_FNMA(a, b, c) _mm512_fnmadd_ps(a, b, c)
#define V_SUB(a, b) V_FNMA(b, _mm512_set1_ps(1), a)
#define V_SQRT(a) _mm512_sqrt_ps(a)
#define V_MIN(a, b) _mm512_min_ps(a, b)
#define V_MAX(a, b) _mm512_max_ps(a, b)
#define V_SPLAT(x) _mm512_set1_ps(x)
#define V_FROM_INT(v) _mm512_cvtepi32_ps((__m512i)(v))
#define V_SAMPLES(p) in_register(_mm512_loadu_ps(p))
#define V_OUT(p, v) _mm512_storeu_ps(p, v)
#define V_OPAQUE(p) opaque(p)
#define V_HALF(p) _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)(p)))
#define TILE tile_avx512_f32
#define WHITEN whiten_avx512
#define SQUARED_DISTANCE squared_distance_avx512
#include "../template/embeddings.h"
#include "../template/tile.h"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif
