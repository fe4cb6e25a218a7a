/* Loading blocks of samples: transposed, so that the frames lie in lanes, four samples at a time,
 * of four rows, or of eight with LOAD_AVX. Files in ../kernels define LOAD_SSE2 (and LOAD_AVX),
 * LOAD_NEON or neither. */
#ifndef ASD_TEMPLATE_LOAD_H
#define ASD_TEMPLATE_LOAD_H

#include "../kernel.h"
#include "vector.h"

#if defined(LOAD_SSE2)
#include <immintrin.h>
#elif defined(LOAD_NEON)
#include <arm_neon.h>
#endif

/* dst[i * stride + r] = row[r][j + i], i = 0 .. 3, r = 0 .. 3 */
#if defined(LOAD_SSE2)
INLINE void transpose4(__m128 a, __m128 b, __m128 c, __m128 d, float *dst, size_t stride)
{
    _MM_TRANSPOSE4_PS(a, b, c, d);
    _mm_storeu_ps(dst, a);
    _mm_storeu_ps(dst + stride, b);
    _mm_storeu_ps(dst + 2 * stride, c);
    _mm_storeu_ps(dst + 3 * stride, d);
}

INLINE __m128 scaled4(const int16_t *p)
{
    const __m128i v = _mm_loadl_epi64((const __m128i *)(const void *)p);
    const __m128i wide = _mm_srai_epi32(_mm_unpacklo_epi16(v, v), 16);
    return _mm_mul_ps(_mm_cvtepi32_ps(wide), _mm_set1_ps(1.0f / 32768));
}

INLINE void load4_float(const float *const row[4], size_t j, float *dst, size_t stride)
{
    transpose4(_mm_loadu_ps(row[0] + j), _mm_loadu_ps(row[1] + j), _mm_loadu_ps(row[2] + j),
               _mm_loadu_ps(row[3] + j), dst, stride);
}

INLINE void load4_pcm16(const int16_t *const row[4], size_t j, float *dst, size_t stride)
{
    transpose4(scaled4(row[0] + j), scaled4(row[1] + j), scaled4(row[2] + j), scaled4(row[3] + j),
               dst, stride);
}
#elif defined(LOAD_NEON)
INLINE void transpose4(float32x4_t a, float32x4_t b, float32x4_t c, float32x4_t d, float *dst,
                       size_t stride)
{
    const float32x4x2_t ab = vtrnq_f32(a, b), cd = vtrnq_f32(c, d);
    vst1q_f32(dst, vcombine_f32(vget_low_f32(ab.val[0]), vget_low_f32(cd.val[0])));
    vst1q_f32(dst + stride, vcombine_f32(vget_low_f32(ab.val[1]), vget_low_f32(cd.val[1])));
    vst1q_f32(dst + 2 * stride, vcombine_f32(vget_high_f32(ab.val[0]), vget_high_f32(cd.val[0])));
    vst1q_f32(dst + 3 * stride, vcombine_f32(vget_high_f32(ab.val[1]), vget_high_f32(cd.val[1])));
}

INLINE float32x4_t scaled4(const int16_t *p) { return vcvtq_n_f32_s32(vmovl_s16(vld1_s16(p)), 15); }

INLINE void load4_float(const float *const row[4], size_t j, float *dst, size_t stride)
{
    transpose4(vld1q_f32(row[0] + j), vld1q_f32(row[1] + j), vld1q_f32(row[2] + j),
               vld1q_f32(row[3] + j), dst, stride);
}

INLINE void load4_pcm16(const int16_t *const row[4], size_t j, float *dst, size_t stride)
{
    transpose4(scaled4(row[0] + j), scaled4(row[1] + j), scaled4(row[2] + j), scaled4(row[3] + j),
               dst, stride);
}
#else
INLINE void load4_float(const float *const row[4], size_t j, float *dst, size_t stride)
{
    for (size_t i = 0; i < 4; i++)
        for (size_t r = 0; r < 4; r++)
            dst[i * stride + r] = row[r][j + i];
}

INLINE void load4_pcm16(const int16_t *const row[4], size_t j, float *dst, size_t stride)
{
    for (size_t i = 0; i < 4; i++)
        for (size_t r = 0; r < 4; r++)
            dst[i * stride + r] = (float)row[r][j + i] * (1.0f / 32768);
}
#endif

/* The same for one row. */
INLINE void load1_float(const float *const row[1], size_t j, float *dst, size_t stride)
{
    for (size_t i = 0; i < 4; i++)
        dst[i * stride] = row[0][j + i];
}

INLINE void load1_pcm16(const int16_t *const row[1], size_t j, float *dst, size_t stride)
{
    for (size_t i = 0; i < 4; i++)
        dst[i * stride] = (float)row[0][j + i] * (1.0f / 32768);
}

#if defined(LOAD_AVX)
/* The same for eight rows. A register holds four samples of row r and four of row r + 4, and each
 * half is transposed with the same half of the others. */
INLINE void transpose8(__m256 a, __m256 b, __m256 c, __m256 d, float *dst, size_t stride)
{
    const __m256 ab_low = _mm256_unpacklo_ps(a, b), ab_high = _mm256_unpackhi_ps(a, b);
    const __m256 cd_low = _mm256_unpacklo_ps(c, d), cd_high = _mm256_unpackhi_ps(c, d);
    _mm256_storeu_ps(dst, _mm256_shuffle_ps(ab_low, cd_low, 0x44));
    _mm256_storeu_ps(dst + stride, _mm256_shuffle_ps(ab_low, cd_low, 0xee));
    _mm256_storeu_ps(dst + 2 * stride, _mm256_shuffle_ps(ab_high, cd_high, 0x44));
    _mm256_storeu_ps(dst + 3 * stride, _mm256_shuffle_ps(ab_high, cd_high, 0xee));
}

INLINE __m256 two_rows(const float *low, const float *high)
{
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(low)), _mm_loadu_ps(high), 1);
}

INLINE __m256 scaled_two_rows(const int16_t *low, const int16_t *high)
{
    const __m128i v = _mm_unpacklo_epi64(_mm_loadl_epi64((const __m128i *)(const void *)low),
                                         _mm_loadl_epi64((const __m128i *)(const void *)high));
    return _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(v)),
                         _mm256_set1_ps(1.0f / 32768));
}

INLINE void load8_float(const float *const row[8], size_t j, float *dst, size_t stride)
{
    transpose8(two_rows(row[0] + j, row[4] + j), two_rows(row[1] + j, row[5] + j),
               two_rows(row[2] + j, row[6] + j), two_rows(row[3] + j, row[7] + j), dst, stride);
}

INLINE void load8_pcm16(const int16_t *const row[8], size_t j, float *dst, size_t stride)
{
    transpose8(scaled_two_rows(row[0] + j, row[4] + j), scaled_two_rows(row[1] + j, row[5] + j),
               scaled_two_rows(row[2] + j, row[6] + j), scaled_two_rows(row[3] + j, row[7] + j),
               dst, stride);
}
#endif

/* dst[g dst_step + j stride + r] = row[r][first + g step + j] for g < n_groups, j < n_samples and
 * r < n_rows, or a few rows more, up to the next multiple of 4. A row's pointer is read once for
 * all groups: reading it for each of them would cost as much as the transposing. */
INLINE void load_blocks(const tile_source *source, size_t n_rows, size_t first, size_t n_groups,
                        size_t step, size_t n_samples, float *dst, size_t dst_step, size_t stride)
{
    size_t r = 0;
#define LOAD_ROWS(n, type, load)                                                                   \
    do {                                                                                           \
        const type *row[n];                                                                        \
        for (size_t i = 0; i < n; i++)                                                             \
            row[i] = (const type *)source->row[r + i] + first;                                     \
        for (size_t g = 0; g < n_groups; g++) {                                                    \
            float *to = dst + g * dst_step + r;                                                    \
            for (size_t j = 0; j < n_samples; j += 4, to += 4 * stride)                            \
                load(row, g * step + j, to, stride);                                               \
        }                                                                                          \
    } while (0)
#if defined(LOAD_AVX)
    for (; r + 4 < n_rows; r += 8)
        if (source->is_pcm16)
            LOAD_ROWS(8, int16_t, load8_pcm16);
        else
            LOAD_ROWS(8, float, load8_float);
#endif
    for (; r + 1 < n_rows; r += 4)
        if (source->is_pcm16)
            LOAD_ROWS(4, int16_t, load4_pcm16);
        else
            LOAD_ROWS(4, float, load4_float);
    if (r < n_rows) {
        if (source->is_pcm16)
            LOAD_ROWS(1, int16_t, load1_pcm16);
        else
            LOAD_ROWS(1, float, load1_float);
    }
#undef LOAD_ROWS
}

#endif
