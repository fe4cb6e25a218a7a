/* Transforms of 2 to 16 points in registers, in place. */
#ifndef ASD_TEMPLATE_DFT_H
#define ASD_TEMPLATE_DFT_H

#include "vector.h"

/* Which units subtract, where adders and multipliers are apart: c - a b with b = 1 gives the bits
 * of c - a. A loop is as fast as the busier of the two units. */
enum { SUBTRACT_BY_ADDERS, SUBTRACT_BY_BOTH, SUBTRACT_BY_MULTIPLIERS };

/* a, b <- a + t, a - t */
INLINE void add_and_subtract(int by, cplx *a, cplx *b, cplx t)
{
    const cplx s = *a;
    *a = (cplx){s.re + t.re, s.im + t.im};
    *b = (cplx){s.re - t.re, s.im - t.im};
    if (by != SUBTRACT_BY_ADDERS)
        b->re = V_SUB(s.re, t.re);
    if (by == SUBTRACT_BY_MULTIPLIERS)
        b->im = V_SUB(s.im, t.im);
}

INLINE void dft4(int by, cplx *x0, cplx *x1, cplx *x2, cplx *x3)
{
    cplx a = *x0, b = *x2, c = *x1, d = *x3, t;
    t = b, add_and_subtract(by, &a, &b, t); /* x0 + x2, x0 - x2 */
    t = d, d = c, add_and_subtract(by, &c, &d, t);
    *x0 = a, *x2 = a, add_and_subtract(by, x0, x2, c);
    *x1 = b, *x3 = b, add_and_subtract(by, x1, x3, (cplx){d.im, -d.re}); /* -i d */
}

#define COS_1 V_SPLAT((REAL)0.92387953251128675612818318939679) /* of pi / 8 */
#define SIN_1 V_SPLAT((REAL)0.38268343236508977172845998403040)
#define COS_2 V_SPLAT((REAL)0.70710678118654752440084436210485)

/* The transform of a, w b with w = w(r)^k, r = 2, 4, 8. */
INLINE void twiddled_dft2(int by, int r, int k, cplx *a, cplx *b)
{
    const cplx x = *a, y = *b;
    if (8 / r * k % 2 == 1) {
        const vec u = y.re + y.im, v = y.im - y.re; /* sqrt(1/2) (u, v) or (v, -u) is w y */
        const vec re = k == 1 ? u : v, im = k == 1 ? v : u;
        *a = (cplx){V_FMA(COS_2, re, x.re),
                    k == 1 ? V_FMA(COS_2, im, x.im) : V_FNMA(COS_2, im, x.im)};
        *b = (cplx){V_FNMA(COS_2, re, x.re),
                    k == 1 ? V_FNMA(COS_2, im, x.im) : V_FMA(COS_2, im, x.im)};
    } else {
        add_and_subtract(by, a, b, k == 0 ? y : (cplx){y.im, -y.re});
    }
}

/* The transform of a, w b, w^2 c, w^3 d with w = w(16)^k. */
INLINE void twiddled_dft4(int by, int k, cplx *a, cplx *b, cplx *c, cplx *d)
{
    if (k == 0) {
        dft4(by, a, b, c, d);
        return;
    }
    cplx e = *a, f = *a, g, h; /* a + w^2 c, a - w^2 c; w b + w^3 d, w b - w^3 d */
    if (k == 2) {
        add_and_subtract(by, &e, &f, (cplx){c->im, -c->re});
        const vec bu = b->re + b->im, bv = b->im - b->re, du = d->re + d->im, dv = d->im - d->re;
        g = (cplx){bu + dv, bv - du}, h = (cplx){bu - dv, bv + du}; /* without sqrt(1/2) */
        *a = (cplx){V_FMA(COS_2, g.re, e.re), V_FMA(COS_2, g.im, e.im)};
        *b = (cplx){V_FMA(COS_2, h.im, f.re), V_FNMA(COS_2, h.re, f.im)};
        *c = (cplx){V_FNMA(COS_2, g.re, e.re), V_FNMA(COS_2, g.im, e.im)};
        *d = (cplx){V_FNMA(COS_2, h.im, f.re), V_FMA(COS_2, h.re, f.im)};
    } else {
        f = *c, twiddled_dft2(by, 8, k, &e, &f);
        g = k == 1 ? times(*b, COS_1, -SIN_1) : times(*b, SIN_1, -COS_1);
        add_and_subtract(by, &g, &h, k == 1 ? times(*d, SIN_1, -COS_1) : times(*d, -COS_1, SIN_1));
        *a = e, add_and_subtract(by, a, c, g);
        *b = f, add_and_subtract(by, b, d, (cplx){h.im, -h.re});
    }
}

/* A transform of r = 2, 4, 8 or 16 points z in two layers: inner_dft for each i < outer(r), then
 * outer_dft for each k < r / outer(r), which leaves result k + j r / outer(r) in z[outer(r) k + j].
 * Each call takes a few points only, so that few registers are in use at a time and additions stand
 * beside the multiplications by windows and twiddles. */
INLINE int outer(int r) { return r == 16 ? 4 : 2; }

INLINE void inner_dft(int by, int r, int i, cplx *z)
{
    if (r == 16)
        dft4(by, &z[i], &z[i + 4], &z[i + 8], &z[i + 12]);
    else if (r == 8)
        dft4(by, &z[i], &z[i + 2], &z[i + 4], &z[i + 6]);
    else if (r == 4)
        twiddled_dft2(by, 2, 0, &z[i], &z[i + 2]);
}

INLINE void outer_dft(int by, int r, int k, cplx *z)
{
    if (r == 16)
        twiddled_dft4(by, k, &z[4 * k], &z[4 * k + 1], &z[4 * k + 2], &z[4 * k + 3]);
    else
        twiddled_dft2(by, r, k, &z[2 * k], &z[2 * k + 1]);
}

#endif
