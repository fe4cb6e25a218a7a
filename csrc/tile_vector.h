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
    *b = (cplx){V_SUB(s.re, t.re), V_SUB(s.im, t.im)};
}

INLINE void dft4(cplx *x0, cplx *x1, cplx *x2, cplx *x3)
{
    cplx a = *x0, b = *x2, c = *x1, d = *x3, t;
    t = b, combine(&a, &b, t); /* x0 + x2, x0 - x2 */
    t = d, d = c, combine(&c, &d, t);
    *x0 = a, *x2 = a, combine(x0, x2, c);
    *x1 = b, *x3 = b, combine(x1, x3, (cplx){d.im, -d.re}); /* -i d */
}

/* From the transforms E of the even and O of the odd points to that of all r:
 * E[i], O[i] <- E[i] + w O[i], E[i] - w O[i], w = w(r)^i */
INLINE void join(int r, int i, cplx *e, cplx *o)
{
    static const REAL cosine[12] = { /* of k pi / 8; w = cosine[k] + i cosine[k + 4] */
        (REAL)1, (REAL)0.92387953251128675612818318939679,
        (REAL)0.70710678118654752440084436210485, (REAL)0.38268343236508977172845998403040,
        (REAL)0, (REAL)-0.38268343236508977172845998403040,
        (REAL)-0.70710678118654752440084436210485, (REAL)-0.92387953251128675612818318939679,
        (REAL)-1, (REAL)-0.92387953251128675612818318939679,
        (REAL)-0.70710678118654752440084436210485, (REAL)-0.38268343236508977172845998403040,
    };
    const int k = 16 / r * i;
    const cplx x = *e, y = *o;
    if (k % 4 == 2) { /* w y = h t */
        const vec h = V_SPLAT(cosine[2]);
        const cplx t = {k == 2 ? y.re + y.im : y.im - y.re, k == 2 ? y.im - y.re : -y.re - y.im};
        *e = (cplx){V_FMA(h, t.re, x.re), V_FMA(h, t.im, x.im)};
        *o = (cplx){V_FNMA(h, t.re, x.re), V_FNMA(h, t.im, x.im)};
    } else {
        combine(e, o, k == 0   ? y
                      : k == 4 ? (cplx){y.im, -y.re}
                               : times(y, V_SPLAT(cosine[k]), V_SPLAT(cosine[k + 4])));
    }
}

INLINE void dft8(cplx *x0, cplx *x1, cplx *x2, cplx *x3, cplx *x4, cplx *x5, cplx *x6, cplx *x7)
{
    cplx e0 = *x0, e1 = *x2, e2 = *x4, e3 = *x6, o0 = *x1, o1 = *x3, o2 = *x5, o3 = *x7;
    dft4(&e0, &e1, &e2, &e3);
    dft4(&o0, &o1, &o2, &o3);
    join(8, 0, &e0, &o0), *x0 = e0, *x4 = o0;
    join(8, 1, &e1, &o1), *x1 = e1, *x5 = o1;
    join(8, 2, &e2, &o2), *x2 = e2, *x6 = o2;
    join(8, 3, &e3, &o3), *x3 = e3, *x7 = o3;
}

INLINE void dft(int r, cplx *x)
{
    if (r == 2)
        join(2, 0, &x[0], &x[1]);
    else if (r == 4)
        dft4(&x[0], &x[1], &x[2], &x[3]);
    else
        dft8(&x[0], &x[1], &x[2], &x[3], &x[4], &x[5], &x[6], &x[7]);
}

INLINE void dft16(cplx *x)
{
    cplx e[8], o[8];
    for (int k = 0; k < 8; k++)
        e[k] = x[2 * k], o[k] = x[2 * k + 1];
    dft8(&e[0], &e[1], &e[2], &e[3], &e[4], &e[5], &e[6], &e[7]);
    dft8(&o[0], &o[1], &o[2], &o[3], &o[4], &o[5], &o[6], &o[7]);
    join(16, 0, &e[0], &o[0]), join(16, 1, &e[1], &o[1]);
    join(16, 2, &e[2], &o[2]), join(16, 3, &e[3], &o[3]);
    join(16, 4, &e[4], &o[4]), join(16, 5, &e[5], &o[5]);
    join(16, 6, &e[6], &o[6]), join(16, 7, &e[7], &o[7]);
    for (int i = 0; i < 8; i++)
        x[i] = e[i], x[i + 8] = o[i];
}
