/* From |X|^2 to mel bands, and whether they can be trusted. A part of tile.h. */

/* ---- bands ---- */

/* What `doubts` has to know of the bands: the least of what they are trusted with, the largest. */
typedef struct {
    vec lowest, peak;
} extremes;

/* What the bins of a frame may amount to for a band v of it to be trusted. */
INLINE vec trusted_with(const tile_plan *plan, const REAL *trust, vec v)
{
    vec bound = V_FMA(v, V_SPLAT(trust[0]), V_SPLAT(trust[1]));
    if (plan->power == 1)
        bound = bound * bound;
    return bound;
}

/* mel[band][W] from the bins, stride from band to band. */
INLINE extremes bands(const tile_plan *plan, const REAL *bins, REAL *mel, size_t stride)
{
    const REAL *w = PLAN_TABLE(plan) + plan->weights_at, *trust = PLAN_TABLE(plan) + plan->trust_at;
    extremes extremes = {V_SPLAT(INFINITY), V_SPLAT(0)};
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
        extremes.lowest = V_MIN(extremes.lowest, trusted_with(plan, trust, fall)), trust += 2;
        extremes.peak = V_MAX(extremes.peak, fall);
    }
    return extremes;
}

/* ln x for normal x; NaN where x is not finite. With x = 2^e (1 + f), sqrt(1/2) <= 1 + f <
 * sqrt(2), ln x = e ln 2 + f - f^2 / 2 + f^3 P(f); P by Moshier (Cephes, logf), relative error
 * of P's part below 1e-7, of the whole below 2e-7 or 2e-7 absolute, whichever is more. */
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

/* Lanes whose float result may be further than the contract allows from the exact one.
 *
 * Rounding leaves two errors in a bin, and neither knows of the bin's own size: noise, spread
 * evenly over all bins, and images of loud bins in others, the mirrored one above all. A band is
 * trusted where it is large enough beside what makes them,
 *
 *     scale mel + offset >= sum of |X|^2 + image max |X|^2      (amplitude: left side squared)
 *
 * with scale and image from the law in tile_plan.c. Bands more than 110 dB below the
 * frame's loudest are out of the contract, which ends at 100 dB. Energies near the ends of float's
 * range are not trusted, nor is one of zero if the samples are not: squares may have left the range.
 *
 * In double: lanes of which the same is sure to be said in float. At the limit a band's float result
 * lies within 1e-5 of the exact one by the law, so MARGIN leaves a hundredfold. FLOOR_MARGIN is
 * wider, since bands at the floor may be noise in float. What the range decides is left open. */
static unsigned doubts(const tile_plan *plan, const tile_source *source, const REAL *mel,
                       size_t stride, level level, extremes extremes)
{
    const vec energy = V_FMA(V_SPLAT((REAL)plan->image), level.loudest, level.energy);
    const vec limit = energy * V_SPLAT(1 - MARGIN);
    unsigned result = 0;
    if (lanes_of(below(limit, extremes.lowest)) != (1u << W) - 1) { /* only then look which it is */
        const REAL *trust = PLAN_TABLE(plan) + plan->trust_at;
        const REAL below_peak = plan->power == 1 ? (REAL)3.16e-6 : (REAL)1e-11;
        const vec floor = extremes.peak * V_SPLAT(below_peak * FLOOR_MARGIN);
        ints doubt = below(V_SPLAT(1), V_SPLAT(0));
        for (size_t m = 0; m < plan->n_mels; m++) {
            vec v;
            memcpy(&v, mel + m * stride, sizeof v);
            doubt |= ~below(limit, trusted_with(plan, trust + 2 * m, v)) & below(floor, v);
        }
        result = lanes_of(doubt);
    }
#if REAL_BITS == 64
    result &= lanes_of(below(V_SPLAT(1e-21), energy) & below(energy, V_SPLAT(1e33)));
#else
    const unsigned all = (1u << W) - 1;
    const unsigned in_range =
        lanes_of(below(V_SPLAT(1e-22f), energy) & below(energy, V_SPLAT(1e34f)));
    if (in_range != all) {
        const unsigned silent = lanes_of(below(energy, V_SPLAT(0)));
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

/* mel[band][W] to out, in dB where the plan says so. */
INLINE void finish(const tile_plan *plan, const REAL *mel, float *out, size_t out_stride)
{
    const vec amin = V_SPLAT((REAL)plan->amin), scale = V_SPLAT((REAL)plan->db_scale);
    const vec floor = V_SPLAT((REAL)plan->db_floor);
    for (size_t m = 0; m < plan->n_mels; m++, mel += W, out += out_stride) {
        const vec v = *(const vec *)(const void *)mel;
        V_OUT(out, plan->db ? choose(below(v, amin), floor, ln(v) * scale) : v);
    }
}
