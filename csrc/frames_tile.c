/* Frames of n_fft a power of two: fed to a kernel a tile at a time, in float, and again in double
 * for those that need it. A tile that is not full repeats a frame in its empty lanes, so that
 * every frame takes the same way whatever its neighbours. */
#include "melspec_plan.h"

#include <stdint.h>

typedef struct {
    void *work;
    float *columns; /* [n_mels][TILE_MAX_LANES]: frames on their way to out */
    char *edge;     /* TILE_MAX_LANES frames that reach beyond the samples */
} tile_workspace;

static size_t columns_size(const melspec_plan *plan)
{
    return (size_t)plan->config.n_mels * TILE_MAX_LANES * sizeof(float);
}

size_t frames_tile_size(const melspec_plan *plan)
{
    return tile_work_size(plan->tile) + columns_size(plan) +
           TILE_MAX_LANES * (size_t)plan->config.n_fft * sizeof(float);
}

/* A kernel no wider than the frames need. */
static const kernel *fit(const kernel *kernel, size_t frames, int is_double)
{
    while (kernel->narrow != NULL && frames <= (is_double ? kernel->narrow->lanes_f64
                                                          : kernel->narrow->lanes_f32))
        kernel = kernel->narrow;
    return kernel;
}

/* Frames t[0] .. t[count - 1]. */
static void collect(const melspec_plan *plan, const clip *clip, const size_t *t, size_t count,
                    const tile_workspace *w, tile_source *source)
{
    const size_t n = plan->tile->n, A = plan->tile->A, hop = (size_t)plan->config.hop_length;
    const size_t size = clip_sample_size(clip);
    size_t n_rows = count;
    source->is_pcm16 = clip->format == MELSPEC_PCM16;
    source->columns_apart = A;
    for (size_t l = 0; l < count; l++)
        source->row[l] = clip_frame(plan, clip, t[l], w->edge + l * n * sizeof(float));
    if (hop < n && hop * A % n == 0 && A % (hop * A / n) == 0 && t[count - 1] == t[0] + count - 1 &&
        clip_holds(plan, clip, t[0]) && clip_holds(plan, clip, t[count - 1])) {
        source->columns_apart = hop * A / n;
        for (; n_rows < count + A / source->columns_apart - 1; n_rows++)
            source->row[n_rows] = (const char *)source->row[n_rows - 1] + hop * size;
    }
    for (; n_rows < TILE_MAX_ROWS; n_rows++)
        source->row[n_rows] = source->row[0];
}

/* What the tile after frame t, of `count` frames, will need; out is where its last one goes. */
static ahead look_ahead(const melspec_plan *plan, const clip *clip, size_t t, size_t count,
                        const float *out, size_t out_stride)
{
    const size_t n = plan->tile->n, hop = (size_t)plan->config.hop_length;
    const size_t size = clip_sample_size(clip), end = clip->n_samples + clip->pad;
    const size_t first = t * hop + n; /* padded; the first sample that frame t does not see */
    if (count == 0 || hop > n || first < clip->pad || first >= end)
        return (ahead){0};
    const size_t samples = end - first < count * hop ? end - first : count * hop;
    return (ahead){
        .samples = (uintptr_t)clip->y + (first - clip->pad) * size,
        .n_lines = samples * size / CACHE_LINE,
        .out = (uintptr_t)out,
        .n_outs = plan->tile->n_mels,
        .out_stride = out_stride * sizeof *out,
    };
}

static void scatter(const melspec_plan *plan, const float *columns, size_t width, const size_t *at,
                    size_t count, float *out, size_t out_stride)
{
    for (size_t m = 0; m < plan->tile->n_mels; m++)
        for (size_t l = 0; l < count; l++)
            out[m * out_stride + at[l]] = columns[m * width + l];
}

/* Frames first + at[0 .. count - 1], in double. */
static void compute_double(const melspec_plan *plan, const clip *clip, size_t first,
                           const size_t *at, size_t count, float *out, size_t out_stride,
                           const tile_workspace *w)
{
    const kernel *kernel = fit(plan->kernel, count, 1);
    size_t t[TILE_MAX_LANES] = {0};
    tile_source source;
    for (size_t l = 0; l < count; l++)
        t[l] = first + at[l];
    collect(plan, clip, t, count, w, &source);
    source.next = (ahead){0};
    kernel->compute_f64(plan->tile, &source, w->columns, kernel->lanes_f64, w->work);
    scatter(plan, w->columns, kernel->lanes_f64, at, count, out, out_stride);
}

void frames_tile(const melspec_plan *plan, const clip *clip, size_t first, size_t count,
                          float *out, size_t out_stride, char *memory)
{
    const size_t work_size = tile_work_size(plan->tile);
    const tile_workspace w = {memory, (float *)(void *)(memory + work_size),
                              memory + work_size + columns_size(plan)};
    size_t again[TILE_MAX_LANES], n_again = 0;
    for (size_t done = 0; done < count;) {
        const kernel *kernel = fit(plan->kernel, count - done, 0);
        const size_t width = kernel->lanes_f32;
        const size_t lanes = count - done < width ? count - done : width;
        size_t at[TILE_MAX_LANES] = {0}, t[TILE_MAX_LANES] = {0};
        for (size_t l = 0; l < lanes; l++) {
            at[l] = done + l;
            t[l] = first + done + l;
        }
        tile_source source;
        collect(plan, clip, t, lanes, &w, &source);
        const size_t left = count - done - lanes, next = left < width ? left : width;
        source.next = look_ahead(plan, clip, t[lanes - 1], next, out + (done + lanes + next - 1),
                                 out_stride);
        unsigned doubts;
        if (lanes == width) {
            doubts = kernel->compute_f32(plan->tile, &source, out + done, out_stride, w.work);
        } else {
            doubts = kernel->compute_f32(plan->tile, &source, w.columns, width, w.work);
            scatter(plan, w.columns, width, at, lanes, out, out_stride);
        }
        for (size_t l = 0; l < lanes; l++)
            if (doubts >> l & 1) {
                again[n_again++] = at[l];
                if (n_again == plan->kernel->lanes_f64) {
                    compute_double(plan, clip, first, again, n_again, out, out_stride, &w);
                    n_again = 0;
                }
            }
        done += lanes;
    }
    if (n_again > 0)
        compute_double(plan, clip, first, again, n_again, out, out_stride, &w);
}
