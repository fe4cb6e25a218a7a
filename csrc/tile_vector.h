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
    return (cplx){V_FMA(-a.im, im, a.re * re), V_FMA(a.im, re, a.re * im)};
}

INLINE cplx times_twiddle(cplx a, const REAL *w)
{
    return times(a, V_SPLAT(w[0]), V_SPLAT(w[1]));
}

/* ---- transforms of r points in registers, in place, in natural order ---- */

/* a, b <- a + t, a - t */
INLINE void combine(cplx *a, cplx *b, cplx t)
{
    const cplx s = *a;
    *a = (cplx){s.re + t.re, s.im + t.im};
    *b = (cplx){s.re - t.re, s.im - t.im};
}

INLINE void dft4(cplx *x0, cplx *x1, cplx *x2, cplx *x3)
{
    cplx a = *x0, b = *x2, c = *x1, d = *x3, t;
    t = b, combine(&a, &b, t); /* x0 + x2, x0 - x2 */
    t = d, d = c, combine(&c, &d, t);
    *x0 = a, *x2 = a, combine(x0, x2, c);
    *x1 = b, *x3 = b, combine(x1, x3, (cplx){d.im, -d.re}); /* -i d */
}

/* Halves e and o of even and odd points, of which e[j] and o[j] end as X[j] and X[j + r/2]. */
INLINE void dft8(cplx *x0, cplx *x1, cplx *x2, cplx *x3, cplx *x4, cplx *x5, cplx *x6, cplx *x7)
{
    const vec h = V_SPLAT((REAL)0.70710678118654752440084436210485);
    cplx e0 = *x0, e1 = *x2, e2 = *x4, e3 = *x6, o0 = *x1, o1 = *x3, o2 = *x5, o3 = *x7;
    dft4(&e0, &e1, &e2, &e3);
    dft4(&o0, &o1, &o2, &o3);
    *x0 = e0, combine(x0, x4, o0);
    const cplx a = {o1.re + o1.im, o1.im - o1.re}; /* sqrt 2 w(8) o1 */
    *x1 = (cplx){V_FMA(h, a.re, e1.re), V_FMA(h, a.im, e1.im)};
    *x5 = (cplx){V_FMA(-h, a.re, e1.re), V_FMA(-h, a.im, e1.im)};
    *x2 = e2, combine(x2, x6, (cplx){o2.im, -o2.re});
    const cplx b = {o3.im - o3.re, -o3.re - o3.im}; /* sqrt 2 w(8)^3 o3 */
    *x3 = (cplx){V_FMA(h, b.re, e3.re), V_FMA(h, b.im, e3.im)};
    *x7 = (cplx){V_FMA(-h, b.re, e3.re), V_FMA(-h, b.im, e3.im)};
}

INLINE void dft16(cplx *x)
{
    const vec h = V_SPLAT((REAL)0.70710678118654752440084436210485);
    const vec c = V_SPLAT((REAL)0.92387953251128675612818318939679); /* cos(pi / 8) */
    const vec s = V_SPLAT((REAL)0.38268343236508977172845998403040);
    cplx e[8], o[8];
    for (int k = 0; k < 8; k++) {
        e[k] = x[2 * k];
        o[k] = x[2 * k + 1];
    }
    dft8(&e[0], &e[1], &e[2], &e[3], &e[4], &e[5], &e[6], &e[7]);
    dft8(&o[0], &o[1], &o[2], &o[3], &o[4], &o[5], &o[6], &o[7]);
    x[0] = e[0], combine(&x[0], &x[8], o[0]);
    x[1] = e[1], combine(&x[1], &x[9], times(o[1], c, -s));
    x[3] = e[3], combine(&x[3], &x[11], times(o[3], s, -c));
    x[4] = e[4], combine(&x[4], &x[12], (cplx){o[4].im, -o[4].re});
    x[5] = e[5], combine(&x[5], &x[13], times(o[5], -s, -c));
    x[7] = e[7], combine(&x[7], &x[15], times(o[7], -c, -s));
    const cplx a = {o[2].re + o[2].im, o[2].im - o[2].re};
    x[2] = (cplx){V_FMA(h, a.re, e[2].re), V_FMA(h, a.im, e[2].im)};
    x[10] = (cplx){V_FMA(-h, a.re, e[2].re), V_FMA(-h, a.im, e[2].im)};
    const cplx b = {o[6].im - o[6].re, -o[6].re - o[6].im};
    x[6] = (cplx){V_FMA(h, b.re, e[6].re), V_FMA(h, b.im, e[6].im)};
    x[14] = (cplx){V_FMA(-h, b.re, e[6].re), V_FMA(-h, b.im, e[6].im)};
}

INLINE void dft(int r, cplx *x)
{
    if (r == 2) {
        const cplx t = x[1];
        x[1] = x[0], combine(&x[0], &x[1], t);
    } else if (r == 4)
        dft4(&x[0], &x[1], &x[2], &x[3]);
    else if (r == 8)
        dft8(&x[0], &x[1], &x[2], &x[3], &x[4], &x[5], &x[6], &x[7]);
    else
        dft16(x);
}
