/* AVX2 with FMA and F16C, single precision: 8 frames. */
#include "kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

/* gcc: ordering the instructions so that all units are busy, before it allocates registers, saves 1
 * %. */
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,tune=icelake-server")
#pragma GCC optimize("schedule-insns", "sched-pressure")
#endif

#define LOAD_SSE2
#define LOAD_AVX
#define REAL_BITS 32
#define W 8
#define V_FMA(a, b, c) _mm256_fmadd_ps(a, b, c)
#define V_FNMA(a, b, c) _mm256_fnmadd_ps(a, b, c)
#define V_SUB(a, b) V_FNMA(b, _mm256_set1_ps(1), a)
#define V_SQRT(a) _mm256_sqrt_ps(a)
#define V_MIN(a, b) _mm256_min_ps(a, b)
#define V_MAX(a, b) _mm256_max_ps(a, b)
#define V_SPLAT(x) _mm256_set1_ps(x)
#define V_FROM_INT(v) _mm256_cvtepi32_ps((__m256i)(v))
#define V_SAMPLES(p) _mm256_loadu_ps(p)
#define V_OUT(p, v) _mm256_storeu_ps(p, v)
#define V_OPAQUE(p) (p)
#define V_HALF(p) _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(p)))
#define TILE tile_avx2_f32
#define WHITEN whiten_avx2
#define SQUARED_DISTANCE squared_distance_avx2
#include "../template/embeddings.h"
#include "../template/tile.h"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif
