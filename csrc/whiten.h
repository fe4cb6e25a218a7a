/* y = x L (whiten_function in kernel.h). Included once by every kernel_*.c, which defines W, V_FMA, V_SPLAT, V_SAMPLES
 * and V_OUT as for tile.h, and where the machine can
 *
 *     V_HALF(p)            W float16 at p, of any alignment, as float
 *
 * since reading L takes most of the time. The additions of a block stay in registers, in two chains. */
#ifdef V_HALF
#define STORED uint16_t
#define V_STORED V_HALF
#else
#define STORED float
#define V_STORED V_SAMPLES
#endif

static void whiten(const void *blocks, size_t n_strips, const float *x, float *y)
{
    enum { SIDE = WHITEN_SIDE };
    const STORED *l = blocks;
    memset(y, 0, n_strips * SIDE * sizeof *y);
    for (size_t strip = 0; strip < n_strips; strip++, x += SIDE)
        for (float *to = y; to <= y + strip * SIDE; to += SIDE, l += SIDE * SIDE)
            for (size_t j = 0; j < SIDE; j += W) {
#if W == 1
                float even = 0, odd = 0;
#else
                typedef float vec __attribute__((vector_size(W * sizeof(float))));
                vec even = {0}, odd = even;
#endif
                for (size_t i = 0; i < SIDE; i += 2) {
                    even = V_FMA(V_SPLAT(x[i]), V_STORED(l + i * SIDE + j), even);
                    odd = V_FMA(V_SPLAT(x[i + 1]), V_STORED(l + (i + 1) * SIDE + j), odd);
                }
                V_OUT(to + j, V_SAMPLES(to + j) + (even + odd));
            }
}

#undef STORED
#undef V_STORED
