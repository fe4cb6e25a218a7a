/* Vectors of W real or complex numbers. Frames of a tile lie side by side, one in each lane.
 *
 * The templates of this folder are compiled once for each instruction set and precision, by the
 * files in ../kernels. Before such a file includes a template, it defines
 *
 *   - REAL_BITS: 32 or 64, for single or double precision;
 *   - W: the number of lanes;
 *   - V_FMA(a, b, c) = a b + c and V_FNMA(a, b, c) = c - a b, fused if the machine can;
 *   - V_SUB(a, b) = a - b, computed by the multipliers if the machine has them apart from adders;
 *   - V_SQRT, V_MIN and V_MAX of vectors;
 *   - V_SPLAT(x): x in all lanes;
 *   - V_FROM_INT(v): integers, a vector of `ints`, as reals;
 *   - V_SAMPLES(p): W floats at p, of any alignment, as reals;
 *   - V_OUT(p, v): stores reals as W floats at p, of any alignment;
 *   - V_OPAQUE(p): the pointer p. Where it pays, the optimizer is kept from knowing that the result
 *     points to the same values;
 *   - V_HALF(p): W float16 at p, of any alignment, as floats, if the machine converts them;
 *   - TILE, WHITEN and SQUARED_DISTANCE: names of the functions that the templates define, as in
 *     ../kernels/kernels.h.
 *
 * Without W, the templates are plain C for one frame: scalar_f32.c and scalar_f64.c use them so,
 * and a template can be opened or compiled alone.
 */
#ifndef ASD_TEMPLATE_VECTOR_H
#define ASD_TEMPLATE_VECTOR_H

#include <math.h>
#include <stdint.h>
#include <string.h>

/* Only V_FMA and V_FNMA contract a * b + c. gcc takes this from its command line alone. */
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#endif

#define INLINE static inline __attribute__((always_inline))

#ifndef REAL_BITS
#define REAL_BITS 32
#endif

#if REAL_BITS == 32
#define REAL float
#define INT int32_t
#define MANTISSA_BITS 23
#define SQRT_HALF_BITS 0x3f3504f3 /* sqrt(1/2) */
#else
#define REAL double
#define INT int64_t
#define MANTISSA_BITS 52
#define SQRT_HALF_BITS 0x3fe6a09e667f3bcd
#endif

#ifndef W
#define W 1
#define V_FMA(a, b, c) ((a) * (b) + (c))
#define V_FNMA(a, b, c) ((c) - (a) * (b))
#define V_SUB(a, b) ((a) - (b))
#if REAL_BITS == 32
#define V_SQRT(a) sqrtf(a)
#else
#define V_SQRT(a) sqrt(a)
#endif
#define V_MIN(a, b) ((a) < (b) ? (a) : (b))
#define V_MAX(a, b) ((a) > (b) ? (a) : (b))
#define V_SPLAT(x) (x)
#define V_FROM_INT(v) ((REAL)(v))
#define V_SAMPLES(p) ((REAL) * (p))
#define V_OUT(p, v) (void)(*(p) = (float)(v))
#define V_OPAQUE(p) (p)
#endif

#if W == 1
typedef REAL vec __attribute__((may_alias));
typedef INT ints;
#else
typedef REAL vec __attribute__((vector_size(W * sizeof(REAL)), may_alias));
typedef INT ints __attribute__((vector_size(W * sizeof(INT))));
#endif

typedef struct {
    vec re, im;
} cplx;

INLINE ints bits_of(vec v)
{
    ints r;
    memcpy(&r, &v, sizeof r);
    return r;
}

INLINE vec real_of(ints v)
{
    vec r;
    memcpy(&r, &v, sizeof r);
    return r;
}

/* All bits of a lane where a <= b, otherwise none; none for NaN. */
INLINE ints at_most(vec a, vec b)
{
#if W == 1
    return -(INT)(a <= b);
#else
    return (ints)(a <= b);
#endif
}

/* One bit for each lane of a mask, the lowest for the first lane. */
INLINE unsigned lanes_of(ints mask)
{
    INT lane[W];
    unsigned result = 0;
    memcpy(lane, &mask, sizeof lane);
    for (int l = 0; l < W; l++)
        result |= (unsigned)(lane[l] != 0) << l;
    return result;
}

/* a where the mask is set, otherwise b. */
INLINE vec blend(ints mask, vec a, vec b)
{
    return real_of((mask & bits_of(a)) | (~mask & bits_of(b)));
}

/* A complex vector in memory is W real parts and then W imaginary parts, aligned. */
INLINE cplx load(const REAL *p)
{
    return (cplx){*(const vec *)(const void *)p, *(const vec *)(const void *)(p + W)};
}

INLINE void store(REAL *p, cplx a)
{
    *(vec *)(void *)p = a.re;
    *(vec *)(void *)(p + W) = a.im;
}

INLINE cplx times(cplx a, vec re, vec im)
{
    return (cplx){V_FNMA(a.im, im, a.re * re), V_FMA(a.im, re, a.re * im)};
}

/* a w. w_opaque is w or V_OPAQUE(w). */
INLINE cplx times_twiddle(cplx a, const REAL *w, const REAL *w_opaque)
{
    return (cplx){V_FNMA(a.im, V_SPLAT(w[1]), a.re * V_SPLAT(w[0])),
                  V_FMA(a.im, V_SPLAT(w_opaque[0]), a.re * V_SPLAT(w_opaque[1]))};
}

#endif
