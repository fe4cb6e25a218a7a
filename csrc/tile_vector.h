/* Vectors of W lanes and transforms of 2 to 16 points in registers. A part of tile.h, included by it
 * for each type and width. */
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

/* ---- vectors ---- */

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

/* All bits of a lane where a <= b, else none; none for NaN. */
INLINE ints below(vec a, vec b)
{
#if W == 1
    return -(INT)(a <= b);
#else
    return (ints)(a <= b);
#endif
}

/* A mask as bits, the lowest for the first lane. */
INLINE unsigned lanes_of(ints mask)
{
    INT lane[W];
    unsigned result = 0;
    memcpy(lane, &mask, sizeof lane);
    for (int l = 0; l < W; l++)
        result |= (unsigned)(lane[l] != 0) << l;
    return result;
}

INLINE vec choose(ints mask, vec a, vec b)
{
    return real_of((mask & bits_of(a)) | (~mask & bits_of(b)));
}

/* A complex vector in memory: W real parts, W imaginary parts, aligned. */
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

/* a w. `again` is w, or V_AFRESH(w). */
INLINE cplx times_twiddle(cplx a, const REAL *w, const REAL *again)
{
    return (cplx){V_FNMA(a.im, V_SPLAT(w[1]), a.re * V_SPLAT(w[0])),
                  V_FMA(a.im, V_SPLAT(again[0]), a.re * V_SPLAT(again[1]))};
}

/* ---- transforms of r points in registers, in place ---- */

/* a, b <- a + t, a - t */
INLINE void combine(int by, cplx *a, cplx *b, cplx t)
{
    const cplx s = *a;
    *a = (cplx){s.re + t.re, s.im + t.im};
    *b = (cplx){s.re - t.re, s.im - t.im};
    if (by != BY_ADDERS)
        b->re = V_SUB(s.re, t.re);
    if (by == BY_MULTIPLIERS)
        b->im = V_SUB(s.im, t.im);
}

INLINE void dft4(int by, cplx *x0, cplx *x1, cplx *x2, cplx *x3)
{
    cplx a = *x0, b = *x2, c = *x1, d = *x3, t;
    t = b, combine(by, &a, &b, t); /* x0 + x2, x0 - x2 */
    t = d, d = c, combine(by, &c, &d, t);
    *x0 = a, *x2 = a, combine(by, x0, x2, c);
    *x1 = b, *x3 = b, combine(by, x1, x3, (cplx){d.im, -d.re}); /* -i d */
}

#define COS_1 V_SPLAT((REAL)0.92387953251128675612818318939679) /* of pi / 8 */
#define SIN_1 V_SPLAT((REAL)0.38268343236508977172845998403040)
#define COS_2 V_SPLAT((REAL)0.70710678118654752440084436210485)

/* The transform of a, w b with w = w(r)^k, r = 2, 4, 8 */
INLINE void turned_dft2(int by, int r, int k, cplx *a, cplx *b)
{
    const cplx x = *a, y = *b;
    if (8 / r * k % 2 == 1) {
        const vec u = y.re + y.im, v = y.im - y.re; /* sqrt(1/2) (u, v) or (v, -u) is w y */
        const vec re = k == 1 ? u : v, im = k == 1 ? v : u;
        *a = (cplx){V_FMA(COS_2, re, x.re), k == 1 ? V_FMA(COS_2, im, x.im) : V_FNMA(COS_2, im, x.im)};
        *b = (cplx){V_FNMA(COS_2, re, x.re), k == 1 ? V_FNMA(COS_2, im, x.im) : V_FMA(COS_2, im, x.im)};
    } else {
        combine(by, a, b, k == 0 ? y : (cplx){y.im, -y.re});
    }
}

/* The transform of a, w b, w^2 c, w^3 d with w = w(16)^k */
INLINE void turned_dft4(int by, int k, cplx *a, cplx *b, cplx *c, cplx *d)
{
    if (k == 0) {
        dft4(by, a, b, c, d);
        return;
    }
    cplx e = *a, f = *a, g, h; /* a + w^2 c, a - w^2 c; w b + w^3 d, w b - w^3 d */
    if (k == 2) {
        combine(by, &e, &f, (cplx){c->im, -c->re});
        const vec bu = b->re + b->im, bv = b->im - b->re, du = d->re + d->im, dv = d->im - d->re;
        g = (cplx){bu + dv, bv - du}, h = (cplx){bu - dv, bv + du}; /* but for sqrt(1/2) */
        *a = (cplx){V_FMA(COS_2, g.re, e.re), V_FMA(COS_2, g.im, e.im)};
        *b = (cplx){V_FMA(COS_2, h.im, f.re), V_FNMA(COS_2, h.re, f.im)};
        *c = (cplx){V_FNMA(COS_2, g.re, e.re), V_FNMA(COS_2, g.im, e.im)};
        *d = (cplx){V_FNMA(COS_2, h.im, f.re), V_FMA(COS_2, h.re, f.im)};
    } else {
        f = *c, turned_dft2(by, 8, k, &e, &f);
        g = k == 1 ? times(*b, COS_1, -SIN_1) : times(*b, SIN_1, -COS_1);
        combine(by, &g, &h, k == 1 ? times(*d, SIN_1, -COS_1) : times(*d, -COS_1, SIN_1));
        *a = e, combine(by, a, c, g);
        *b = f, combine(by, b, d, (cplx){h.im, -h.re});
    }
}

/* The transform of r = 2, 4, 8 or 16 points z in two layers: inner_dft for each i < outer(r), then
 * outer_dft for each k < r / outer(r), which leaves result k + j r / outer(r) in
 * z[outer(r) k + j]. Each takes a few points apart from the others, so that few are alive at a
 * time, and additions stand beside the multiplications of windows and twiddles. */
INLINE int outer(int r) { return r == 16 ? 4 : 2; }

INLINE void inner_dft(int by, int r, int i, cplx *z)
{
    if (r == 16)
        dft4(by, &z[i], &z[i + 4], &z[i + 8], &z[i + 12]);
    else if (r == 8)
        dft4(by, &z[i], &z[i + 2], &z[i + 4], &z[i + 6]);
    else if (r == 4)
        turned_dft2(by, 2, 0, &z[i], &z[i + 2]);
}

INLINE void outer_dft(int by, int r, int k, cplx *z)
{
    if (r == 16)
        turned_dft4(by, k, &z[4 * k], &z[4 * k + 1], &z[4 * k + 2], &z[4 * k + 3]);
    else
        turned_dft2(by, r, k, &z[2 * k], &z[2 * k + 1]);
}
