/* With m = n/2, z[j] = x[2j] + i x[2j+1] and Z its DFT of m points:
 *
 *     E = (Z[k] + conj Z[m-k]) / 2           the even samples' DFT
 *     O = (Z[k] - conj Z[m-k]) / 2i          the odd samples' DFT
 *     X[k] = E + W O,  X[m-k] = conj(E - W O),  W = exp(-2 pi i k / n)
 *
 * Z comes from Stockham's self-sorting FFT. One pass of radix r splits s transforms of length
 * N = r M, side by side, into r s transforms of length M:
 *
 *     y[q + s (r p + i)] = w(N)^(p i) sum_k x[q + s (p + M k)] w(r)^(k i)
 *     p = 0 .. M-1,  i, k = 0 .. r-1,  q = 0 .. s-1,  w(N) = exp(-2 pi i / N)
 *
 * and s grows by the factor r from pass to pass. It starts at RFFT_LANES, so that all lanes are
 * transformed at once and the loop over q is contiguous, without shuffles, from the first pass on.
 *
 * Double precision throughout: the error of a bin is about 1e-16 sqrt(log n) of the frame's
 * largest one, i.e. 1e-11 relative for a bin 100 dB below it.
 */
#include "rfft.h"

#include <math.h>
#include <stdlib.h>

/* Tells the compiler that the outputs of the next loop, which have one base and lie s apart, do not
 * overlap; restrict cannot say this. Otherwise the many checks at run time make compilers give up
 * and leave passes 4 and 5 scalar. */
#if defined(__clang__)
#pragma clang diagnostic ignored "-Wpass-failed" /* -O0 and -O1 do not vectorize */
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
#define INDEPENDENT _Pragma("GCC ivdep")
#else
#define INDEPENDENT
#endif

enum {
    L = RFFT_LANES,
    MAX_PASSES = 64, /* 2^64 points are out of reach */
    /* The imaginary parts begin this many doubles behind the end of the real parts. At powers of
     * two, both would otherwise compete for the same cache sets (40 % slower). */
    STAGGER = 40
};

typedef struct {
    size_t radix;
    size_t length;     /* N of this pass */
    size_t twiddle_at; /* w(N)^(p i), p-major, i = 1 .. r-1, as (re, im) pairs */
    size_t root_at;    /* generic pass: w(r)^t, t = 0 .. r-1 */
} rfft_pass;

struct rfft_plan {
    size_t n;
    size_t max_generic; /* largest radix without a pass of its own, or 0 */
    size_t n_passes;
    rfft_pass passes[MAX_PASSES];
    double *table;    /* twiddles and roots of all passes */
    size_t unfold_at; /* exp(-2 pi i k / n), k = 0 .. n/4 */
};

/* The angle is reduced to the first octant in integers, so that the result is right to about one
 * unit in the last place, and exact where re or im is 0. */
void rfft_unit_root(size_t a, size_t b, double *out)
{
    const double turn = 6.283185307179586476925286766559;
    size_t octant, rest;
    a %= b;
    octant = a * 8 / b; /* b < 2^32, see rfft_plan_create */
    rest = a * 8 - octant * b;
    if (octant & 1)
        rest = b - rest;
    const double angle = turn * (double)rest / (8.0 * (double)b);
    const double c = cos(angle), s = sin(angle);
    double re, im;
    switch (octant) {
    case 0: re = c, im = s; break;
    case 1: re = s, im = c; break;
    case 2: re = -s, im = c; break;
    case 3: re = -c, im = s; break;
    case 4: re = -c, im = -s; break;
    case 5: re = -s, im = -c; break;
    case 6: re = s, im = -c; break;
    default: re = c, im = -s; break;
    }
    out[0] = re;
    out[1] = -im;
}

static size_t next_radix(size_t n)
{
    if (n % 4 == 0)
        return 4;
    if (n % 2 == 0)
        return 2;
    for (size_t r = 3; r * r <= n; r += 2)
        if (n % r == 0)
            return r;
    return n;
}

rfft_plan *rfft_plan_create(size_t n)
{
    if (n < 2 || n % 2 != 0 || n > (size_t)1 << 28)
        return NULL;
    rfft_plan *plan = calloc(1, sizeof *plan);
    if (plan == NULL)
        return NULL;
    plan->n = n;
    size_t doubles = 0;
    for (size_t rest = n / 2; rest > 1;) {
        rfft_pass *pass = &plan->passes[plan->n_passes++];
        pass->radix = next_radix(rest);
        pass->length = rest;
        rest /= pass->radix;
        pass->twiddle_at = doubles;
        doubles += 2 * rest * (pass->radix - 1);
        if (pass->radix > 5) {
            pass->root_at = doubles;
            doubles += 2 * pass->radix;
            if (pass->radix > plan->max_generic)
                plan->max_generic = pass->radix;
        }
    }
    plan->unfold_at = doubles;
    doubles += 2 * (n / 4 + 1);
    plan->table = malloc(doubles * sizeof *plan->table);
    if (plan->table == NULL) {
        free(plan);
        return NULL;
    }
    for (size_t t = 0; t < plan->n_passes; t++) {
        const rfft_pass *pass = &plan->passes[t];
        double *twiddle = plan->table + pass->twiddle_at;
        for (size_t p = 0; p < pass->length / pass->radix; p++)
            for (size_t i = 1; i < pass->radix; i++, twiddle += 2)
                rfft_unit_root(p * i, pass->length, twiddle);
        if (pass->radix > 5)
            for (size_t i = 0; i < pass->radix; i++)
                rfft_unit_root(i, pass->radix, plan->table + pass->root_at + 2 * i);
    }
    for (size_t k = 0; k <= n / 4; k++)
        rfft_unit_root(k, n, plan->table + plan->unfold_at + 2 * k);
    return plan;
}

void rfft_plan_free(rfft_plan *plan)
{
    if (plan != NULL) {
        free(plan->table);
        free(plan);
    }
}

size_t rfft_tile_size(const rfft_plan *plan) { return plan->n / 2 * L + STAGGER; }

size_t rfft_power_size(const rfft_plan *plan) { return (plan->n / 2 + 1) * L; }

size_t rfft_workspace_size(const rfft_plan *plan)
{
    return 2 * rfft_tile_size(plan) + 2 * plan->max_generic * L;
}

/* The passes. x and y hold M r s numbers each; w points at the twiddles of the pass. In every pass,
 * the loop over q is vectorized, and s is a multiple of RFFT_LANES. */

static void pass2(size_t M, size_t s, const double *restrict w, const double *restrict xr,
                  const double *restrict xi, double *restrict yr, double *restrict yi)
{
    for (size_t p = 0; p < M; p++, w += 2) {
        const double w1r = w[0], w1i = w[1];
        const double *ar = xr + s * p, *ai = xi + s * p;
        const double *br = ar + s * M, *bi = ai + s * M;
        double *ur = yr + s * 2 * p, *ui = yi + s * 2 * p;
        double *vr = ur + s, *vi = ui + s;
        INDEPENDENT
        for (size_t q = 0; q < s; q++) {
            const double dr = ar[q] - br[q], di = ai[q] - bi[q];
            ur[q] = ar[q] + br[q];
            ui[q] = ai[q] + bi[q];
            vr[q] = dr * w1r - di * w1i;
            vi[q] = dr * w1i + di * w1r;
        }
    }
}

static void pass3(size_t M, size_t s, const double *restrict w, const double *restrict xr,
                  const double *restrict xi, double *restrict yr, double *restrict yi)
{
    const double sin60 = 0.86602540378443864676372317075294;
    for (size_t p = 0; p < M; p++, w += 4) {
        const double w1r = w[0], w1i = w[1], w2r = w[2], w2i = w[3];
        const double *ar = xr + s * p, *ai = xi + s * p;
        double *ur = yr + s * 3 * p, *ui = yi + s * 3 * p;
        INDEPENDENT
        for (size_t q = 0; q < s; q++) {
            const double br = ar[q + s * M], bi = ai[q + s * M];
            const double cr = ar[q + s * 2 * M], ci = ai[q + s * 2 * M];
            const double tr = br + cr, ti = bi + ci;
            const double er = ar[q] - 0.5 * tr, ei = ai[q] - 0.5 * ti;
            const double fr = sin60 * (bi - ci), fi = sin60 * (cr - br);
            const double gr = er + fr, gi = ei + fi, hr = er - fr, hi = ei - fi;
            ur[q] = ar[q] + tr;
            ui[q] = ai[q] + ti;
            ur[q + s] = gr * w1r - gi * w1i;
            ui[q + s] = gr * w1i + gi * w1r;
            ur[q + 2 * s] = hr * w2r - hi * w2i;
            ui[q + 2 * s] = hr * w2i + hi * w2r;
        }
    }
}

static void pass4(size_t M, size_t s, const double *restrict w, const double *restrict xr,
                  const double *restrict xi, double *restrict yr, double *restrict yi)
{
    for (size_t p = 0; p < M; p++, w += 6) {
        const double w1r = w[0], w1i = w[1], w2r = w[2], w2i = w[3], w3r = w[4], w3i = w[5];
        const double *ar = xr + s * p, *ai = xi + s * p;
        const double *br = ar + s * M, *bi = ai + s * M;
        const double *cr = br + s * M, *ci = bi + s * M;
        const double *dr = cr + s * M, *di = ci + s * M;
        double *ur = yr + s * 4 * p, *ui = yi + s * 4 * p;
        INDEPENDENT
        for (size_t q = 0; q < s; q++) {
            const double acr = ar[q] + cr[q], aci = ai[q] + ci[q];
            const double bdr = br[q] + dr[q], bdi = bi[q] + di[q];
            const double er = ar[q] - cr[q], ei = ai[q] - ci[q];
            const double fr = bi[q] - di[q], fi = dr[q] - br[q]; /* -i (b - d) */
            const double g1r = er + fr, g1i = ei + fi;
            const double g2r = acr - bdr, g2i = aci - bdi;
            const double g3r = er - fr, g3i = ei - fi;
            ur[q] = acr + bdr;
            ui[q] = aci + bdi;
            ur[q + s] = g1r * w1r - g1i * w1i;
            ui[q + s] = g1r * w1i + g1i * w1r;
            ur[q + 2 * s] = g2r * w2r - g2i * w2i;
            ui[q + 2 * s] = g2r * w2i + g2i * w2r;
            ur[q + 3 * s] = g3r * w3r - g3i * w3i;
            ui[q + 3 * s] = g3r * w3i + g3i * w3r;
        }
    }
}

static void pass5(size_t M, size_t s, const double *restrict w, const double *restrict xr,
                  const double *restrict xi, double *restrict yr, double *restrict yi)
{
    const double c1 = 0.30901699437494742410229341718282;  /* cos 72 deg */
    const double c2 = -0.80901699437494742410229341718282; /* cos 144 deg */
    const double s1 = 0.95105651629515357211643933337938;  /* sin 72 deg */
    const double s2 = 0.58778525229247312916870595463907;  /* sin 144 deg */
    for (size_t p = 0; p < M; p++, w += 8) {
        const double *ar = xr + s * p, *ai = xi + s * p;
        double *ur = yr + s * 5 * p, *ui = yi + s * 5 * p;
        INDEPENDENT
        for (size_t q = 0; q < s; q++) {
            const double b1r = ar[q + s * M], b1i = ai[q + s * M];
            const double b2r = ar[q + s * 2 * M], b2i = ai[q + s * 2 * M];
            const double b3r = ar[q + s * 3 * M], b3i = ai[q + s * 3 * M];
            const double b4r = ar[q + s * 4 * M], b4i = ai[q + s * 4 * M];
            const double t1r = b1r + b4r, t1i = b1i + b4i, t2r = b2r + b3r, t2i = b2i + b3i;
            const double d1r = b1r - b4r, d1i = b1i - b4i, d2r = b2r - b3r, d2i = b2i - b3i;
            const double e1r = ar[q] + c1 * t1r + c2 * t2r, e1i = ai[q] + c1 * t1i + c2 * t2i;
            const double e2r = ar[q] + c2 * t1r + c1 * t2r, e2i = ai[q] + c2 * t1i + c1 * t2i;
            const double f1r = s1 * d1i + s2 * d2i, f1i = -(s1 * d1r + s2 * d2r);
            const double f2r = s2 * d1i - s1 * d2i, f2i = -(s2 * d1r - s1 * d2r);
            const double g1r = e1r + f1r, g1i = e1i + f1i, g4r = e1r - f1r, g4i = e1i - f1i;
            const double g2r = e2r + f2r, g2i = e2i + f2i, g3r = e2r - f2r, g3i = e2i - f2i;
            ur[q] = ar[q] + t1r + t2r;
            ui[q] = ai[q] + t1i + t2i;
            ur[q + s] = g1r * w[0] - g1i * w[1];
            ui[q + s] = g1r * w[1] + g1i * w[0];
            ur[q + 2 * s] = g2r * w[2] - g2i * w[3];
            ui[q + 2 * s] = g2r * w[3] + g2i * w[2];
            ur[q + 3 * s] = g3r * w[4] - g3i * w[5];
            ui[q + 3 * s] = g3r * w[5] + g3i * w[4];
            ur[q + 4 * s] = g4r * w[6] - g4i * w[7];
            ui[q + 4 * s] = g4r * w[7] + g4i * w[6];
        }
    }
}

/* A pass of any odd radix r, by the definition and the symmetry of w(r)^(k i) in k and r - k:
 *     a = x[0] + sum_k (x[k] + x[r-k]) cos(2 pi k i / r)       k = 1 .. (r-1)/2
 *     b =        sum_k (x[k] - x[r-k]) sin(2 pi k i / r)
 *     y[i] = a - i b,  y[r-i] = a + i b
 * pair: 2 r L doubles of scratch for the sums and differences of L columns. */
static void pass_odd(size_t r, size_t M, size_t s, const double *restrict w,
                     const double *restrict root, const double *restrict xr,
                     const double *restrict xi, double *restrict yr, double *restrict yi,
                     double *restrict pair)
{
    const size_t half = (r - 1) / 2;
    for (size_t p = 0; p < M; p++, w += 2 * (r - 1)) {
        for (size_t q = 0; q < s; q += L) {
            const double *ar = xr + s * p + q, *ai = xi + s * p + q;
            double *ur = yr + s * r * p + q, *ui = yi + s * r * p + q;
            double total_r[L], total_i[L];
            for (size_t l = 0; l < L; l++) {
                total_r[l] = ar[l];
                total_i[l] = ai[l];
            }
            for (size_t k = 1; k <= half; k++) {
                const double *br = ar + s * M * k, *bi = ai + s * M * k;
                const double *cr = ar + s * M * (r - k), *ci = ai + s * M * (r - k);
                double *t = pair + 4 * L * (k - 1);
                for (size_t l = 0; l < L; l++) {
                    t[l] = br[l] + cr[l];
                    t[L + l] = bi[l] + ci[l];
                    t[2 * L + l] = br[l] - cr[l];
                    t[3 * L + l] = bi[l] - ci[l];
                    total_r[l] += t[l];
                    total_i[l] += t[L + l];
                }
            }
            for (size_t l = 0; l < L; l++) {
                ur[l] = total_r[l];
                ui[l] = total_i[l];
            }
            for (size_t i = 1; i <= half; i++) {
                double a_r[L], a_i[L], b_r[L] = {0}, b_i[L] = {0};
                for (size_t l = 0; l < L; l++) {
                    a_r[l] = ar[l];
                    a_i[l] = ai[l];
                }
                size_t turn = 0; /* k i mod r */
                for (size_t k = 1; k <= half; k++) {
                    const double *t = pair + 4 * L * (k - 1);
                    turn += i;
                    if (turn >= r)
                        turn -= r;
                    const double c = root[2 * turn], sn = -root[2 * turn + 1];
                    for (size_t l = 0; l < L; l++) {
                        a_r[l] += c * t[l];
                        a_i[l] += c * t[L + l];
                        b_r[l] += sn * t[2 * L + l];
                        b_i[l] += sn * t[3 * L + l];
                    }
                }
                const double *wi = w + 2 * (i - 1), *wj = w + 2 * (r - i - 1);
                double *vr = ur + s * i, *vi = ui + s * i;
                double *zr = ur + s * (r - i), *zi = ui + s * (r - i);
                for (size_t l = 0; l < L; l++) {
                    const double gr = a_r[l] + b_i[l], gi = a_i[l] - b_r[l];
                    const double hr = a_r[l] - b_i[l], hi = a_i[l] + b_r[l];
                    vr[l] = gr * wi[0] - gi * wi[1];
                    vi[l] = gr * wi[1] + gi * wi[0];
                    zr[l] = hr * wj[0] - hi * wj[1];
                    zi[l] = hr * wj[1] + hi * wj[0];
                }
            }
        }
    }
}

/* |X|^2 from the half-length transform Z; |conj(E - W O)| = |E - W O|. */
static void unfold_power(size_t m, const double *restrict w, const double *restrict zr,
                         const double *restrict zi, double *restrict power)
{
    for (size_t l = 0; l < L; l++) {
        const double sum = zr[l] + zi[l], difference = zr[l] - zi[l];
        power[l] = sum * sum;
        power[m * L + l] = difference * difference;
    }
    for (size_t k = 1; k <= m / 2; k++) {
        const double wr = 0.5 * w[2 * k], wi = 0.5 * w[2 * k + 1];
        const double *ar = zr + k * L, *ai = zi + k * L;
        const double *br = zr + (m - k) * L, *bi = zi + (m - k) * L;
        double *low = power + k * L, *high = power + (m - k) * L;
        double lo[L], hi[L]; /* low and high are the same bin at k = m/2 */
        for (size_t l = 0; l < L; l++) {
            const double er = 0.5 * (ar[l] + br[l]), ei = 0.5 * (ai[l] - bi[l]);
            const double or2 = ai[l] + bi[l], oi2 = br[l] - ar[l];
            const double tr = or2 * wr - oi2 * wi, ti = or2 * wi + oi2 * wr;
            lo[l] = (er + tr) * (er + tr) + (ei + ti) * (ei + ti);
            hi[l] = (er - tr) * (er - tr) + (ei - ti) * (ei - ti);
        }
        for (size_t l = 0; l < L; l++)
            high[l] = hi[l];
        for (size_t l = 0; l < L; l++)
            low[l] = lo[l];
    }
}

void rfft_power(const rfft_plan *plan, double *restrict re, double *restrict im,
                double *restrict power, double *restrict work)
{
    double *xr = re, *xi = im;
    double *yr = work, *yi = work + rfft_tile_size(plan);
    double *pair = work + 2 * rfft_tile_size(plan);
    size_t s = L;
    for (size_t t = 0; t < plan->n_passes; t++) {
        const rfft_pass *pass = &plan->passes[t];
        const double *w = plan->table + pass->twiddle_at;
        const size_t M = pass->length / pass->radix;
        switch (pass->radix) {
        case 2: pass2(M, s, w, xr, xi, yr, yi); break;
        case 3: pass3(M, s, w, xr, xi, yr, yi); break;
        case 4: pass4(M, s, w, xr, xi, yr, yi); break;
        case 5: pass5(M, s, w, xr, xi, yr, yi); break;
        default: pass_odd(pass->radix, M, s, w, plan->table + pass->root_at, xr, xi, yr, yi, pair);
        }
        double *swap_r = xr, *swap_i = xi;
        xr = yr, xi = yi;
        yr = swap_r, yi = swap_i;
        s *= pass->radix;
    }
    unfold_power(plan->n / 2, plan->table + plan->unfold_at, xr, xi, power);
}
