/* Mel bands of a tile, and whether single precision is exact enough for them. */
#ifndef ASD_TEMPLATE_BANDS_H
#define ASD_TEMPLATE_BANDS_H

#include "../kernel.h"
#include "rows.h"
#include "table.h"
#include "vector.h"

/* The lowest energy limit and the largest value among the bands of a frame. */
typedef struct {
    vec lowest_limit, peak;
} band_extremes;

/* The energy of a frame up to which single precision is exact enough for its band v. limits: the
 * scale and offset of the band, see lanes_needing_double. */
INLINE vec energy_limit(const tile_plan *plan, const REAL *limits, vec v)
{
    vec limit = V_FMA(v, V_SPLAT(limits[0]), V_SPLAT(limits[1]));
    if (plan->power == 1)
        limit = limit * limit;
    return limit;
}

/* Computes mel[band * stride + lane] from the bins. */
INLINE band_extremes bands(const tile_plan *plan, const REAL *bins, REAL *mel, size_t stride)
{
    const REAL *w = table_of(plan) + plan->weights_at;
    const REAL *limits = table_of(plan) + plan->limits_at;
    band_extremes extremes = {V_SPLAT(INFINITY), V_SPLAT(0)};
    vec rising = V_SPLAT(0);
    for (size_t s = 0; s <= plan->n_mels; s++) {
        vec rise = V_SPLAT(0), fall = rising;
        for (size_t k = plan->segment[s]; k < plan->segment[s + 1]; k++, w += 2) {
            const vec v = *(const vec *)(const void *)(bins + plan->bin_at[k] * W);
            rise = V_FMA(V_SPLAT(w[0]), v, rise);
            fall = V_FMA(V_SPLAT(w[1]), v, fall);
        }
        rising = rise;
        if (s == 0)
            continue;
        memcpy(mel, &fall, sizeof fall), mel += stride;
        extremes.lowest_limit = V_MIN(extremes.lowest_limit, energy_limit(plan, limits, fall));
        limits += 2;
        extremes.peak = V_MAX(extremes.peak, fall);
    }
    return extremes;
}

/* ln x for normal x; NaN where x is not finite. With x = 2^e (1 + f), sqrt(1/2) <= 1 + f < sqrt(2),
 * ln x = e ln 2 + f - f^2 / 2 + f^3 P(f). P is Moshier's (Cephes, logf) and has a relative error
 * below 1e-7; the whole is within 2e-7, relative or absolute, whichever is more. */
INLINE vec ln(vec x)
{
    const INT one_up = (INT)1 << MANTISSA_BITS; /* of the exponent */
    const ints e = (bits_of(x) - (INT)SQRT_HALF_BITS) >> MANTISSA_BITS;
    const vec f = real_of(bits_of(x) - e * one_up) - V_SPLAT(1);
    vec p = V_SPLAT((REAL)7.0376836292e-2);
    p = V_FMA(p, f, V_SPLAT((REAL)-1.1514610310e-1));
    p = V_FMA(p, f, V_SPLAT((REAL)1.1676998740e-1));
    p = V_FMA(p, f, V_SPLAT((REAL)-1.2420140846e-1));
    p = V_FMA(p, f, V_SPLAT((REAL)1.4249322787e-1));
    p = V_FMA(p, f, V_SPLAT((REAL)-1.6668057665e-1));
    p = V_FMA(p, f, V_SPLAT((REAL)2.0000714765e-1));
    p = V_FMA(p, f, V_SPLAT((REAL)-2.4999993993e-1));
    p = V_FMA(p, f, V_SPLAT((REAL)3.3333331174e-1));
    p = V_FMA(p, f, V_SPLAT((REAL)-0.5));
    p = V_FMA(p * f, f, f);
    return V_FMA(V_FROM_INT(e), V_SPLAT((REAL)0.69314718055994530942), p) + (x - x);
}

/* Margins of the test in double precision, see below. */
#if REAL_BITS == 32
#define LIMIT_MARGIN 0.0f
#define FLOOR_MARGIN 1.0f
#else
#define LIMIT_MARGIN 1e-3
#define FLOOR_MARGIN 4.0
#endif

/* Lanes whose result in single precision may be further from the exact one than melspec.h promises.
 *
 * Rounding leaves two errors in a bin, both independent of the bin's own size: noise, spread evenly
 * over all bins, and images of loud bins in others, above all in the mirrored one. A band is exact
 * enough if it is large beside what causes them,
 *
 *     scale mel + offset >= sum of |X|^2 + image_weight max |X|^2      (amplitude: left side
 * squared)
 *
 * with the scale, offset and image_weight of tile_plan.c. Bands more than 110 dB below the loudest
 * band of the frame do not count, since the promise ends at 100 dB. An energy near the ends of
 * float's range needs double precision, and so does an energy of zero if the samples are not zero:
 * squares may have left the range.
 *
 * In double precision, the result holds the lanes for which single precision is certain to need
 * double. At the limit, a band in single precision is within 1e-5 of the exact one, so that
 * LIMIT_MARGIN is a hundred times what is needed. FLOOR_MARGIN is wider because bands at the floor
 * may be noise in single precision. Lanes that only the range decides are left out. */
static unsigned lanes_needing_double(const tile_plan *plan, const tile_source *source,
                                     const REAL *mel, size_t stride, energy energy,
                                     band_extremes extremes)
{
    const vec total = V_FMA(V_SPLAT((REAL)plan->image_weight), energy.loudest, energy.sum);
    const vec needed = total * V_SPLAT(1 - LIMIT_MARGIN);
    unsigned result = 0;
    if (lanes_of(at_most(needed, extremes.lowest_limit)) != (1u << W) - 1) { /* look at each band */
        const REAL *limits = table_of(plan) + plan->limits_at;
        const REAL below_peak = plan->power == 1 ? (REAL)3.16e-6 : (REAL)1e-11;
        const vec floor = extremes.peak * V_SPLAT(below_peak * FLOOR_MARGIN);
        ints need_double = at_most(V_SPLAT(1), V_SPLAT(0));
        for (size_t m = 0; m < plan->n_mels; m++) {
            vec v;
            memcpy(&v, mel + m * stride, sizeof v);
            need_double |=
                ~at_most(needed, energy_limit(plan, limits + 2 * m, v)) & at_most(floor, v);
        }
        result = lanes_of(need_double);
    }
#if REAL_BITS == 64
    result &= lanes_of(at_most(V_SPLAT(1e-21), total) & at_most(total, V_SPLAT(1e33)));
#else
    const unsigned all = (1u << W) - 1;
    const unsigned in_range =
        lanes_of(at_most(V_SPLAT(1e-22f), total) & at_most(total, V_SPLAT(1e34f)));
    if (in_range != all) {
        const unsigned silent = lanes_of(at_most(total, V_SPLAT(0)));
        result |= all & ~in_range & ~silent;
        for (size_t l = 0; l < source->n_frames; l++) {
            static const char zeros[128]; /* n >= 64: divides the size of every frame */
            const size_t size = source->is_pcm16 ? sizeof(int16_t) : sizeof(float);
            const char *row = source->row[l];
            for (size_t i = 0; silent >> l & 1 && i < plan->n * size; i += sizeof zeros)
                if (memcmp(row + i, zeros, sizeof zeros) != 0) {
                    result |= 1u << l;
                    break;
                }
        }
    }
#endif
    (void)source;
    return result;
}

/* Writes mel[band][W] to out, in dB if the plan says so. */
INLINE void finish(const tile_plan *plan, const REAL *mel, float *out, size_t out_stride)
{
    const vec amin = V_SPLAT((REAL)plan->amin), scale = V_SPLAT((REAL)plan->db_scale);
    const vec floor = V_SPLAT((REAL)plan->db_floor);
    for (size_t m = 0; m < plan->n_mels; m++, mel += W, out += out_stride) {
        const vec v = *(const vec *)(const void *)mel;
        V_OUT(out, plan->is_db ? blend(at_most(v, amin), floor, ln(v) * scale) : v);
    }
}

#endif
