/* What avx512_f32.c and avx512_f64.c share. */
#ifndef ASD_AVX512_H
#define ASD_AVX512_H

#include <immintrin.h>

#define AVX512_INLINE static inline __attribute__((always_inline, target("avx512f")))

/* V_OPAQUE. An instruction broadcasts a number from memory to all lanes for free, but a broadcast
 * of its own occupies an adder or multiplier on Zen 4. Compilers emit a separate broadcast for what
 * is used twice, and rather leave the samples in memory for the instruction. With two pointers that
 * they cannot tell to be equal, each use has the broadcast in its own instruction. */
AVX512_INLINE const void *opaque(const void *p)
{
    __asm__("" : "+r"(p));
    return p;
}

AVX512_INLINE __m512 in_register(__m512 v)
{
    __asm__("" : "+v"(v));
    return v;
}

#endif
