#include "frames_tile.h"

#include <assert.h>
#include <stdint.h>

/* A tile that is not full repeats a frame in its unused lanes, so that a frame is computed in the
 * same way whatever its neighbours are. */

typedef struct {
    void *work;
    float *columns; /* [n_mels][TILE_MAX_LANES]: bands that are not written to `out` directly */
    char *edge;     /* TILE_MAX_LANES frames: those that need padding */
} tile_workspace;

static size_t columns_size(const tile_plan *tile)
{
    return tile->n_mels * TILE_MAX_LANES * sizeof(float);
}

size_t frames_tile_workspace_size(const frames_tile_plan *plan)
{
    return tile_work_size(plan->tile) + columns_size(plan->tile) +
           TILE_MAX_LANES * plan->tile->n * sizeof(float);
}

/* The narrowest kernel with the same bits that takes all the frames at once, or the widest. */
static const kernel *choose_kernel(const kernel *kernel, size_t frames, int is_double)
{
    while (kernel->narrower != NULL &&
           frames <= (is_double ? kernel->narrower->lanes_f64 : kernel->narrower->lanes_f32))
        kernel = kernel->narrower;
    return kernel;
}

/* Describes the samples of the frames t[0] .. t[count - 1] to a kernel. */
static void find_samples(const frames_tile_plan *plan, const clip *clip, const size_t *t,
                         size_t count, const tile_workspace *w, tile_source *source)
{
    const size_t n = plan->tile->n, A = plan->tile->A, hop = plan->hop_length;
    const size_t size = clip_sample_size(clip);
    const int are_consecutive = t[count - 1] == t[0] + count - 1;
    size_t n_rows = 0;
    source->n_frames = count;
    source->is_pcm16 = clip->format == MELSPEC_PCM16;
    source->column_step = A;
    if (are_consecutive && hop < n && hop * A % n == 0 && A % (hop * A / n) == 0) {
        source->column_step = hop * A / n;
        const char *first = clip_frames(clip, t[0], count, w->edge);
        for (; n_rows < count + A / source->column_step - 1; n_rows++)
            source->row[n_rows] = first + n_rows * hop * size;
    }
    for (; n_rows < count; n_rows++)
        source->row[n_rows] = clip_frames(clip, t[n_rows], 1, w->edge + n_rows * n * sizeof(float));
    assert(n_rows <= TILE_MAX_ROWS);
    for (; n_rows < TILE_MAX_ROWS; n_rows++)
        source->row[n_rows] = source->row[0];
}

/* What the tile after frame t will read and write. It has `count` frames, and `out` is where the
 * last of them goes. */
static tile_prefetch find_next(const frames_tile_plan *plan, const clip *clip, size_t t,
                               size_t count, const float *out, size_t out_stride)
{
    const size_t n = plan->tile->n, hop = plan->hop_length;
    const size_t size = clip_sample_size(clip), end = clip->n_samples + clip->pad;
    const size_t first = t * hop + n; /* the first sample, with padding, behind frame t */
    if (count == 0 || hop > n || first < clip->pad || first >= end)
        return (tile_prefetch){0};
    const size_t samples = end - first < count * hop ? end - first : count * hop;
    return (tile_prefetch){
        .samples = (uintptr_t)clip->y + (first - clip->pad) * size,
        .n_lines = samples * size / CACHE_LINE,
        .out = (uintptr_t)out,
        .n_outs = plan->tile->n_mels,
        .out_stride = out_stride * sizeof *out,
    };
}

/* Frames that wait until there are enough of them for a tile. */
typedef struct {
    size_t at[TILE_MAX_LANES], n;
} queue;

/* A range of frames on its way to out[band * out_stride + t - first]. */
typedef struct {
    const frames_tile_plan *plan;
    const clip *clip;
    size_t first;
    float *out;
    size_t out_stride;
    tile_workspace w;
    queue queue[2]; /* [is_double] */
} job;

/* Computes the frames first + at[0 .. n-1], after which `left` frames of the range remain. Returns
 * the lanes whose frames need double precision. */
static unsigned compute_tile(const job *job, int is_double, const size_t *at, size_t n, size_t left)
{
    const frames_tile_plan *plan = job->plan;
    const kernel *kernel = choose_kernel(plan->kernel, n, is_double);
    const size_t width = is_double ? kernel->lanes_f64 : kernel->lanes_f32;
    tile_function *tile = is_double ? kernel->tile_f64 : kernel->tile_f32;
    assert(n > 0 && n <= width);
    size_t t[TILE_MAX_LANES] = {0};
    for (size_t l = 0; l < n; l++)
        t[l] = job->first + at[l];
    tile_source source;
    find_samples(plan, job->clip, t, n, &job->w, &source);
    const size_t next = left < width ? left : width;
    source.next =
        find_next(plan, job->clip, t[n - 1], next, job->out + (at[n - 1] + next), job->out_stride);
    if (n == width && at[n - 1] == at[0] + n - 1)
        return tile(plan->tile, &source, job->out + at[0], job->out_stride, job->w.work);
    const unsigned need_double = tile(plan->tile, &source, job->w.columns, width, job->w.work);
    for (size_t m = 0; m < plan->tile->n_mels; m++)
        for (size_t l = 0; l < n; l++)
            job->out[m * job->out_stride + at[l]] = job->w.columns[m * width + l];
    return need_double;
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
    const unsigned need_double = compute_tile(job, is_double, queue.at, queue.n, 0);
    for (size_t l = 0; l < queue.n && !is_double; l++)
        if (need_double >> l & 1)
            enqueue(job, 1, queue.at[l]);
}

/* A tile runs in single precision first, or in double precision first if two in three frames of the
 * tile before needed it, from which share on that is cheaper. The bits are the same either way: a
 * frame that was computed in double is computed once more in single precision unless that is
 * certain to ask for double. */
void frames_tile(const frames_tile_plan *plan, const clip *clip, size_t first, size_t count,
                 float *out, size_t out_stride, char *memory)
{
    const size_t work_size = tile_work_size(plan->tile);
    job job = {.plan = plan, .clip = clip, .first = first, .out = out, .out_stride = out_stride};
    assert((uintptr_t)memory % CACHE_LINE == 0);
    job.w = (tile_workspace){memory, (float *)(void *)(memory + work_size),
                             memory + work_size + columns_size(plan->tile)};
    int is_double = 0;
    for (size_t done = 0; done < count;) {
        const kernel *kernel = choose_kernel(plan->kernel, count - done, is_double);
        const size_t width = is_double ? kernel->lanes_f64 : kernel->lanes_f32;
        const size_t n = count - done < width ? count - done : width;
        size_t at[TILE_MAX_LANES] = {0}, n_need_double = 0;
        for (size_t l = 0; l < n; l++)
            at[l] = done + l;
        done += n;
        const unsigned need_double = compute_tile(&job, is_double, at, n, count - done);
        for (size_t l = 0; l < n; l++) {
            const int needs_double = (int)(need_double >> l & 1);
            n_need_double += (size_t)needs_double;
            if (needs_double != is_double)
                enqueue(&job, needs_double, at[l]);
        }
        is_double = 3 * n_need_double >= 2 * n;
    }
    compute_queue(&job, 0);
    compute_queue(&job, 1);
}
