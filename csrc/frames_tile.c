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
    const int is_run = t[count - 1] == t[0] + count - 1;
    size_t n_rows = 0;
    source->n_frames = count;
    source->is_pcm16 = clip->format == MELSPEC_PCM16;
    source->columns_apart = A;
    if (is_run && hop < n && hop * A % n == 0 && A % (hop * A / n) == 0) {
        source->columns_apart = hop * A / n;
        const char *first = clip_frames(plan, clip, t[0], count, w->edge);
        for (; n_rows < count + A / source->columns_apart - 1; n_rows++)
            source->row[n_rows] = first + n_rows * hop * size;
    }
    for (; n_rows < count; n_rows++)
        source->row[n_rows] =
            clip_frames(plan, clip, t[n_rows], 1, w->edge + n_rows * n * sizeof(float));
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

/* Frames that wait for others, to be computed beside them. */
typedef struct {
    size_t at[TILE_MAX_LANES], n;
} queue;

/* Frames of a clip on their way to out[band * out_stride + t - first]. */
typedef struct {
    const melspec_plan *plan;
    const clip *clip;
    size_t first;
    float *out;
    size_t out_stride;
    tile_workspace w;
    queue queue[2]; /* [is_double] */
} job;

/* Computes the frames first + at[0 .. n-1], after which `left` are still to come, and gives
 * the lanes that need double. */
static unsigned compute(const job *job, int is_double, const size_t *at, size_t n, size_t left)
{
    const melspec_plan *plan = job->plan;
    const kernel *kernel = fit(plan->kernel, n, is_double);
    const size_t width = is_double ? kernel->lanes_f64 : kernel->lanes_f32;
    tile_function *tile = is_double ? kernel->compute_f64 : kernel->compute_f32;
    size_t t[TILE_MAX_LANES] = {0};
    for (size_t l = 0; l < n; l++)
        t[l] = job->first + at[l];
    tile_source source;
    collect(plan, job->clip, t, n, &job->w, &source);
    const size_t next = left < width ? left : width;
    source.next = look_ahead(plan, job->clip, t[n - 1], next, job->out + (at[n - 1] + next),
                             job->out_stride);
    if (n == width && at[n - 1] == at[0] + n - 1)
        return tile(plan->tile, &source, job->out + at[0], job->out_stride, job->w.work);
    const unsigned need = tile(plan->tile, &source, job->w.columns, width, job->w.work);
    for (size_t m = 0; m < plan->tile->n_mels; m++)
        for (size_t l = 0; l < n; l++)
            job->out[m * job->out_stride + at[l]] = job->w.columns[m * width + l];
    return need;
}

static void compute_queue(job *job, int is_double);

static void enqueue(job *job, int is_double, size_t at)
{
    const kernel *kernel = job->plan->kernel;
    queue *queue = &job->queue[is_double];
    queue->at[queue->n++] = at;
    if (queue->n == (is_double ? kernel->lanes_f64 : kernel->lanes_f32))
        compute_queue(job, is_double);
}

static void compute_queue(job *job, int is_double)
{
    const queue queue = job->queue[is_double];
    job->queue[is_double].n = 0;
    if (queue.n == 0)
        return;
    const unsigned need = compute(job, is_double, queue.at, queue.n, 0);
    for (size_t l = 0; l < queue.n && !is_double; l++)
        if (need >> l & 1)
            enqueue(job, 1, queue.at[l]);
}

/* Float first, or double first after frames that mostly needed it, which is cheaper from two
 * in three. The bits do not tell: float has the last word on all but those that it is sure to leave to
 * double. */
void frames_tile(const melspec_plan *plan, const clip *clip, size_t first, size_t count,
                 float *out, size_t out_stride, char *memory)
{
    const size_t work_size = tile_work_size(plan->tile);
    job job = {.plan = plan, .clip = clip, .first = first, .out = out, .out_stride = out_stride};
    job.w = (tile_workspace){memory, (float *)(void *)(memory + work_size),
                             memory + work_size + columns_size(plan)};
    int is_double = 0;
    for (size_t done = 0; done < count;) {
        const kernel *kernel = fit(plan->kernel, count - done, is_double);
        const size_t width = is_double ? kernel->lanes_f64 : kernel->lanes_f32;
        const size_t n = count - done < width ? count - done : width;
        size_t at[TILE_MAX_LANES] = {0}, n_need = 0;
        for (size_t l = 0; l < n; l++)
            at[l] = done + l;
        done += n;
        const unsigned need = compute(&job, is_double, at, n, count - done);
        for (size_t l = 0; l < n; l++) {
            const int needs = (int)(need >> l & 1);
            n_need += (size_t)needs;
            if (needs != is_double)
                enqueue(&job, needs, at[l]);
        }
        is_double = 3 * n_need >= 2 * n;
    }
    compute_queue(&job, 0);
    compute_queue(&job, 1);
}
