/* The steps of scoring that read much memory (kernel.h says what they do). Included once by every
 * kernel_*.c, which defines W, V_FMA, V_SPLAT, V_SAMPLES and V_OUT as for tile.h, and where the machine can
 *
 *     V_HALF(p)            W float16 at p, of any alignment, as float
 */
#if W == 1
typedef float lanes;
#else
typedef float lanes __attribute__((vector_size(W * sizeof(float))));
#endif

#ifdef V_HALF
#define STORED uint16_t
#define V_STORED V_HALF
#else
#define STORED float
#define V_STORED V_SAMPLES
#endif

/* The sums of a block stay in registers, in two chains of additions. */
static void whiten(const void *blocks, size_t n_strips, const float *x, float *y)
{
    enum { SIDE = WHITEN_SIDE };
    const STORED *l = blocks;
    memset(y, 0, n_strips * SIDE * sizeof *y);
    for (size_t strip = 0; strip < n_strips; strip++, x += SIDE)
        for (float *to = y; to <= y + strip * SIDE; to += SIDE, l += SIDE * SIDE)
            for (size_t j = 0; j < SIDE; j += W) {
                lanes even = V_SPLAT(0), odd = V_SPLAT(0);
                for (size_t i = 0; i < SIDE; i += 2) {
                    even = V_FMA(V_SPLAT(x[i]), V_STORED(l + i * SIDE + j), even);
                    odd = V_FMA(V_SPLAT(x[i + 1]), V_STORED(l + (i + 1) * SIDE + j), odd);
                }
                V_OUT(to + j, V_SAMPLES(to + j) + (even + odd));
            }
}

static double squared_distance(const float *a, const float *b, size_t d)
{
    enum { CHAINS = 4 };
    lanes sum[CHAINS];
    float parts[W];
    size_t i = 0;
    for (size_t c = 0; c < CHAINS; c++)
        sum[c] = V_SPLAT(0);
    for (; i + CHAINS * W <= d; i += CHAINS * W)
        for (size_t c = 0; c < CHAINS; c++) {
            const lanes difference = V_SAMPLES(a + i + c * W) - V_SAMPLES(b + i + c * W);
            sum[c] = V_FMA(difference, difference, sum[c]);
        }
    double result = 0;
    for (; i < d; i++)
        result += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
    for (size_t c = 0; c < CHAINS; c++) {
        memcpy(parts, &sum[c], sizeof parts);
        for (size_t l = 0; l < W; l++)
            result += parts[l];
    }
    return result;
}

#undef STORED
#undef V_STORED
