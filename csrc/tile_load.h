/* What all kernels share besides tile.h: sample blocks, transposed four by four. The includer
 * defines LOAD_SSE2, LOAD_NEON or neither. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

/* dst[j * stride + r] = row[r][j], j = 0 .. 3, r = 0 .. 3 */
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

INLINE void load4_float(const float *const row[4], float *dst, size_t stride)
{
    transpose4(_mm_loadu_ps(row[0]), _mm_loadu_ps(row[1]), _mm_loadu_ps(row[2]),
               _mm_loadu_ps(row[3]), dst, stride);
}

INLINE void load4_pcm16(const int16_t *const row[4], float *dst, size_t stride)
{
    transpose4(scaled4(row[0]), scaled4(row[1]), scaled4(row[2]), scaled4(row[3]), dst, stride);
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

INLINE float32x4_t scaled4(const int16_t *p)
{
    return vcvtq_n_f32_s32(vmovl_s16(vld1_s16(p)), 15);
}

INLINE void load4_float(const float *const row[4], float *dst, size_t stride)
{
    transpose4(vld1q_f32(row[0]), vld1q_f32(row[1]), vld1q_f32(row[2]), vld1q_f32(row[3]), dst,
               stride);
}

INLINE void load4_pcm16(const int16_t *const row[4], float *dst, size_t stride)
{
    transpose4(scaled4(row[0]), scaled4(row[1]), scaled4(row[2]), scaled4(row[3]), dst, stride);
}
#else
INLINE void load4_float(const float *const row[4], float *dst, size_t stride)
{
    for (size_t j = 0; j < 4; j++)
        for (size_t r = 0; r < 4; r++)
            dst[j * stride + r] = row[r][j];
}

INLINE void load4_pcm16(const int16_t *const row[4], float *dst, size_t stride)
{
    for (size_t j = 0; j < 4; j++)
        for (size_t r = 0; r < 4; r++)
            dst[j * stride + r] = (float)row[r][j] * (1.0f / 32768);
}
#endif

/* dst[j * stride + r] = row[r][first + j], for j < n_samples and r < n_rows, each up to the next
 * multiple of 4. */
INLINE void load_block(const tile_source *source, size_t n_rows, size_t first, size_t n_samples,
                       float *dst, size_t stride)
{
    for (size_t r = 0; r < n_rows; r += 4) {
        if (source->is_pcm16) {
            const int16_t *row[4];
            for (size_t i = 0; i < 4; i++)
                row[i] = (const int16_t *)source->row[r + i] + first;
            for (size_t j = 0; j < n_samples; j += 4) {
                load4_pcm16(row, dst + j * stride + r, stride);
                for (size_t i = 0; i < 4; i++)
                    row[i] += 4;
            }
        } else {
            const float *row[4];
            for (size_t i = 0; i < 4; i++)
                row[i] = (const float *)source->row[r + i] + first;
            for (size_t j = 0; j < n_samples; j += 4) {
                load4_float(row, dst + j * stride + r, stride);
                for (size_t i = 0; i < 4; i++)
                    row[i] += 4;
            }
        }
    }
}
