/* Slaney's mel scale (Auditory Toolbox, 1998) is linear below 1 kHz and logarithmic above:
 *
 *     mel(f) = 3 f / 200                            f < 1000 Hz
 *            = 15 + 27 ln(f / 1000) / ln 6.4        f >= 1000 Hz
 *
 * With edges e[0] .. e[n_mels+1] equally spaced on it from fmin to fmax, and f[k] = k sr / n_fft,
 *
 *     F[m][k] = 2 / (e[m+2] - e[m])                                             equal area
 *               max(0, min((f[k] - e[m]) / (e[m+1] - e[m]),
 *                          (e[m+2] - f[k]) / (e[m+2] - e[m+1])))                triangle
 *
 * Frames are computed a tile at a time, a frame a lane. Where n_fft is a power of two, a kernel
 * does it (kernel.h) in float, and again in double for the frames that need it; else the code
 * at the end of this file does, in double:
 *
 *     samples --load_tile--> window, fold --rfft_power--> |X|^2 --mel_tile--> F, log --> out
 *
 * A tile that is not full repeats a frame in its empty lanes, so that every frame takes
 * the same way whatever its neighbours.
 */
#include "melspec.h"
#include "rfft.h"
#include "tile_plan.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { L = RFFT_LANES, ALIGNMENT = 64 };

typedef struct {
    size_t first, last; /* bins [first, last) of this filter; empty where equal */
    size_t weight_at;
} mel_filter;

struct melspec_plan {
    melspec_config config;
    size_t n_bins; /* n_fft/2 + 1 */
    size_t pad;
    const kernel *kernel;
    tile_plan *tile; /* where n_fft is a power of two, */
    rfft_plan *rfft; /* where it is not; the other is NULL */
    double *window;  /* n_fft */
    mel_filter *filters;
    double *weights;
};

/* ---- plan ---- */

static double hz_to_mel(double hz)
{
    return hz < 1000.0 ? hz * 3.0 / 200.0 : 15.0 + 27.0 * log(hz / 1000.0) / log(6.4);
}

static double mel_to_hz(double mel)
{
    return mel < 15.0 ? mel * 200.0 / 3.0 : 1000.0 * exp((mel - 15.0) * log(6.4) / 27.0);
}

static double edge_hz(const melspec_config *c, int i)
{
    const double low = hz_to_mel(c->fmin), high = hz_to_mel(c->fmax);
    return mel_to_hz(low + (high - low) * i / (c->n_mels + 1));
}

static double filter_weight(const melspec_config *c, const double edge[3], size_t k)
{
    const double f = (double)k * c->sr / c->n_fft;
    const double rise = (f - edge[0]) / (edge[1] - edge[0]);
    const double fall = (edge[2] - f) / (edge[2] - edge[1]);
    return 2.0 / (edge[2] - edge[0]) * fmax(0.0, fmin(rise, fall));
}

/* The smallest range of bins that holds the filter, by a look at each bin between its edges. */
static mel_filter filter_range(const melspec_config *c, const double edge[3], size_t n_bins)
{
    const double bins_per_hz = c->n_fft / c->sr;
    size_t first = (size_t)(edge[0] * bins_per_hz);
    size_t last = (size_t)(edge[2] * bins_per_hz) + 2;
    if (last > n_bins)
        last = n_bins;
    while (first < last && !(filter_weight(c, edge, first) > 0.0))
        first++;
    while (last > first && !(filter_weight(c, edge, last - 1) > 0.0))
        last--;
    return (mel_filter){.first = first, .last = last, .weight_at = 0};
}

static melspec_status build_filters(melspec_plan *plan)
{
    const melspec_config *c = &plan->config;
    const size_t n_mels = (size_t)c->n_mels;
    plan->filters = calloc(n_mels, sizeof *plan->filters);
    if (plan->filters == NULL)
        return MELSPEC_NO_MEMORY;
    size_t n_weights = 0;
    for (int m = 0; m < c->n_mels; m++) {
        const double edge[3] = {edge_hz(c, m), edge_hz(c, m + 1), edge_hz(c, m + 2)};
        mel_filter *filter = &plan->filters[m];
        *filter = filter_range(c, edge, plan->n_bins);
        filter->weight_at = n_weights;
        n_weights += filter->last - filter->first;
    }
    plan->weights = malloc((n_weights + 1) * sizeof *plan->weights); /* + 1: never of size 0 */
    if (plan->weights == NULL)
        return MELSPEC_NO_MEMORY;
    for (int m = 0; m < c->n_mels; m++) {
        const double edge[3] = {edge_hz(c, m), edge_hz(c, m + 1), edge_hz(c, m + 2)};
        const mel_filter *filter = &plan->filters[m];
        for (size_t k = filter->first; k < filter->last; k++)
            plan->weights[filter->weight_at + (k - filter->first)] = filter_weight(c, edge, k);
    }
    return MELSPEC_OK;
}

static melspec_status build_window(melspec_plan *plan)
{
    const int n = plan->config.n_fft;
    plan->window = malloc((size_t)n * sizeof *plan->window);
    if (plan->window == NULL)
        return MELSPEC_NO_MEMORY;
    /* sin^2(pi j / n) = 1/2 - 1/2 cos(2 pi j / n), without the cancellation at the ends */
    for (int j = 0; j < n; j++) {
        const double s = sin(3.1415926535897932384626433832795 * (j <= n - j ? j : n - j) / n);
        plan->window[j] = s * s;
    }
    return MELSPEC_OK;
}

static double weight_of(const void *context, size_t band, size_t bin)
{
    const melspec_plan *plan = context;
    const mel_filter *filter = &plan->filters[band];
    return bin >= filter->first && bin < filter->last
               ? plan->weights[filter->weight_at + (bin - filter->first)]
               : 0.0;
}

static melspec_status build_transform(melspec_plan *plan)
{
    const melspec_config *c = &plan->config;
    const size_t n = (size_t)c->n_fft, n_mels = (size_t)c->n_mels;
    if ((n & (n - 1)) != 0) {
        plan->rfft = rfft_plan_create(n);
        return plan->rfft == NULL ? MELSPEC_NO_MEMORY : MELSPEC_OK;
    }
    size_t *first = malloc((n_mels + 2) * sizeof *first);
    if (first == NULL)
        return MELSPEC_NO_MEMORY;
    for (size_t i = 0, k = 0; i < n_mels + 2; i++) {
        const double edge = edge_hz(c, (int)i);
        while (k < plan->n_bins && (double)k * c->sr / c->n_fft < edge)
            k++;
        first[i] = k;
    }
    const tile_spec spec = {
        .n = n,
        .window = plan->window,
        .n_mels = n_mels,
        .first = first,
        .weight = weight_of,
        .context = plan,
        .power = c->power,
        .db = c->log == MELSPEC_LOG_DB,
        .amin = c->amin,
    };
    plan->tile = tile_plan_create(&spec);
    free(first);
    return plan->tile == NULL ? MELSPEC_NO_MEMORY : MELSPEC_OK;
}

static int is_valid(const melspec_config *c)
{
    return c->sr > 0.0 && isfinite(c->sr) && c->n_fft >= MELSPEC_MIN_N_FFT &&
           c->n_fft <= MELSPEC_MAX_N_FFT && c->n_fft % 2 == 0 && c->hop_length >= 1 &&
           c->n_mels >= 1 && c->n_mels <= MELSPEC_MAX_N_MELS && c->fmin >= 0.0 &&
           c->fmin < c->fmax && c->fmax <= c->sr / 2.0 && (c->power == 1 || c->power == 2) &&
           (c->log == MELSPEC_LOG_NONE || c->log == MELSPEC_LOG_DB) && c->amin > 0.0 &&
           isfinite(c->amin) && (c->center == 0 || c->center == 1) &&
           (c->pad_mode == MELSPEC_PAD_CONSTANT || c->pad_mode == MELSPEC_PAD_REFLECT);
}

const char *melspec_instruction_set(size_t i)
{
    const kernel *found = kernel_available(i);
    return found == NULL ? NULL : found->name;
}

melspec_status melspec_plan_create(const melspec_config *config, const char *instruction_set,
                                   melspec_plan **out)
{
    *out = NULL;
    const kernel *kernel = kernel_find(instruction_set);
    if (!is_valid(config))
        return MELSPEC_BAD_CONFIG;
    if (kernel == NULL)
        return MELSPEC_NO_INSTRUCTION_SET;
    melspec_plan *plan = calloc(1, sizeof *plan);
    if (plan == NULL)
        return MELSPEC_NO_MEMORY;
    plan->config = *config;
    plan->n_bins = (size_t)config->n_fft / 2 + 1;
    plan->pad = config->center ? (size_t)config->n_fft / 2 : 0;
    plan->kernel = kernel;
    melspec_status status = build_window(plan);
    if (status == MELSPEC_OK)
        status = build_filters(plan);
    if (status == MELSPEC_OK)
        status = build_transform(plan);
    if (status == MELSPEC_OK)
        *out = plan;
    else
        melspec_plan_free(plan);
    return status;
}

void melspec_plan_free(melspec_plan *plan)
{
    if (plan != NULL) {
        rfft_plan_free(plan->rfft);
        tile_plan_free(plan->tile);
        free(plan->window);
        free(plan->filters);
        free(plan->weights);
        free(plan);
    }
}

void melspec_filterbank(const melspec_plan *plan, double *out)
{
    for (int m = 0; m < plan->config.n_mels; m++, out += plan->n_bins) {
        const mel_filter *filter = &plan->filters[m];
        for (size_t k = 0; k < plan->n_bins; k++)
            out[k] = k >= filter->first && k < filter->last
                         ? plan->weights[filter->weight_at + (k - filter->first)]
                         : 0.0;
    }
}

/* ---- sizes ---- */

static size_t unpadded_frames(const melspec_config *c, size_t n_samples)
{
    const size_t n_fft = (size_t)c->n_fft;
    return n_samples < n_fft ? 0 : 1 + (n_samples - n_fft) / (size_t)c->hop_length;
}

size_t melspec_n_frames(const melspec_plan *plan, size_t n_samples)
{
    const melspec_config *c = &plan->config;
    if (c->center) {
        const size_t shortest = c->pad_mode == MELSPEC_PAD_REFLECT ? plan->pad + 1 : 1;
        if (n_samples < shortest || n_samples > SIZE_MAX - 2 * plan->pad)
            return 0;
    }
    return unpadded_frames(c, n_samples + 2 * plan->pad);
}

static size_t workspace_frames(const melspec_plan *plan)
{
    return plan->tile != NULL ? TILE_MAX_LANES : L;
}

static size_t compute_size(const melspec_plan *plan);

size_t melspec_workspace_size(const melspec_plan *plan)
{
    return ALIGNMENT + compute_size(plan) +
           workspace_frames(plan) * (size_t)plan->config.n_fft * sizeof(float);
}

/* ---- frames ---- */

typedef struct {
    const void *y;
    size_t n_samples, pad;
    melspec_format format;
} clip;

static size_t sample_size(const clip *clip)
{
    return clip->format == MELSPEC_PCM16 ? sizeof(int16_t) : sizeof(float);
}

/* Frame t lies in the clip from its first sample to its last. */
static int is_inside(const melspec_plan *plan, const clip *clip, size_t t)
{
    const size_t begin = t * (size_t)plan->config.hop_length; /* in the padded signal */
    return begin >= clip->pad && begin - clip->pad + (size_t)plan->config.n_fft <= clip->n_samples;
}

/* Where frame t's samples lie: in y, or, where the frame reaches beyond it, copied to edge. */
static const void *frame_samples(const melspec_plan *plan, const clip *clip, size_t t, char *edge)
{
    const size_t n_fft = (size_t)plan->config.n_fft, pad = clip->pad, n = clip->n_samples;
    const size_t begin = t * (size_t)plan->config.hop_length, size = sample_size(clip);
    const char *y = clip->y;
    if (is_inside(plan, clip, t))
        return y + (begin - pad) * size;
    for (size_t j = 0; j < n_fft;) {
        const size_t at = begin + j;
        if (at >= pad && at - pad < n) { /* all that the clip has, at once */
            const size_t rest = n - (at - pad), count = rest < n_fft - j ? rest : n_fft - j;
            memcpy(edge + j * size, y + (at - pad) * size, count * size);
            j += count;
            continue;
        }
        if (plan->config.pad_mode == MELSPEC_PAD_CONSTANT)
            memset(edge + j * size, 0, size);
        else
            memcpy(edge + j * size, y + (at < pad ? pad - at : 2 * (n - 1) + pad - at) * size, size);
        j++;
    }
    return edge;
}

/* ---- powers of two: kernels ---- */

typedef struct {
    void *work;
    float *columns; /* [n_mels][TILE_MAX_LANES]: frames on their way to out */
    char *edge;     /* TILE_MAX_LANES frames that reach beyond the samples */
} tile_workspace;

static size_t columns_size(const melspec_plan *plan)
{
    return (size_t)plan->config.n_mels * TILE_MAX_LANES * sizeof(float);
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
    const size_t size = sample_size(clip);
    size_t n_rows = count;
    source->is_pcm16 = clip->format == MELSPEC_PCM16;
    source->columns_apart = A;
    for (size_t l = 0; l < count; l++)
        source->row[l] = frame_samples(plan, clip, t[l], w->edge + l * n * sizeof(float));
    if (hop < n && hop * A % n == 0 && A % (hop * A / n) == 0 && t[count - 1] == t[0] + count - 1 &&
        is_inside(plan, clip, t[0]) && is_inside(plan, clip, t[count - 1])) {
        source->columns_apart = hop * A / n;
        for (; n_rows < count + A / source->columns_apart - 1; n_rows++)
            source->row[n_rows] = (const char *)source->row[n_rows - 1] + hop * size;
    }
    for (; n_rows < TILE_MAX_ROWS; n_rows++)
        source->row[n_rows] = source->row[0];
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
    kernel->compute_f64(plan->tile, &source, w->columns, kernel->lanes_f64, w->work);
    scatter(plan, w->columns, kernel->lanes_f64, at, count, out, out_stride);
}

static void compute_tiles(const melspec_plan *plan, const clip *clip, size_t first, size_t count,
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

/* ---- other sizes: double ---- */

typedef struct {
    double *re, *im, *rfft, *power; /* one tile, lanes innermost */
    float *edge;                    /* L frames that reach beyond the samples, or are int16 */
} workspace;

static size_t compute_size(const melspec_plan *plan)
{
    if (plan->tile != NULL)
        return tile_work_size(plan->tile) + columns_size(plan);
    return (2 * rfft_tile_size(plan->rfft) + rfft_power_size(plan->rfft) +
            rfft_workspace_size(plan->rfft)) * sizeof(double);
}

static workspace split_workspace(const melspec_plan *plan, void *memory)
{
    workspace w;
    w.re = memory;
    w.im = w.re + rfft_tile_size(plan->rfft);
    w.rfft = w.im + rfft_tile_size(plan->rfft);
    w.power = w.rfft + rfft_workspace_size(plan->rfft);
    w.edge = (float *)(w.power + rfft_power_size(plan->rfft));
    return w;
}

/* Frame t as floats: in y, or, where it reaches beyond it or y is of int16, in edge. */
static const float *float_frame(const melspec_plan *plan, const clip *clip, size_t t, float *edge)
{
    const void *samples = frame_samples(plan, clip, t, (char *)edge);
    if (clip->format == MELSPEC_FLOAT)
        return samples;
    for (size_t j = (size_t)plan->config.n_fft; j-- > 0;) { /* backwards: samples may be edge */
        int16_t v;
        memcpy(&v, (const char *)samples + j * sizeof v, sizeof v);
        const float scaled = (float)v / 32768;
        memcpy((char *)edge + j * sizeof scaled, &scaled, sizeof scaled);
    }
    return edge;
}

static void load_tile(const melspec_plan *plan, const float *const frames[L], double *restrict re,
                      double *restrict im)
{
    const double *restrict w = plan->window;
    const size_t m = (size_t)plan->config.n_fft / 2;
    for (size_t j = 0; j < m; j++)
        for (size_t l = 0; l < L; l++) {
            re[j * L + l] = w[2 * j] * (double)frames[l][2 * j];
            im[j * L + l] = w[2 * j + 1] * (double)frames[l][2 * j + 1];
        }
}

static void mel_band(const melspec_plan *plan, const double *restrict power, size_t m,
                     double mel[restrict L])
{
    const mel_filter *filter = &plan->filters[m];
    const double *weight = plan->weights + filter->weight_at;
    double sum[L] = {0};
    for (size_t k = filter->first; k < filter->last; k++, weight++)
        for (size_t l = 0; l < L; l++)
            sum[l] += *weight * power[k * L + l];
    for (size_t l = 0; l < L; l++)
        mel[l] = sum[l];
}

/* NaN is not below amin and stays. */
static double to_db(const melspec_config *c, double mel)
{
    return 20.0 / c->power * log10(mel < c->amin ? c->amin : mel);
}

static void mel_tile(const melspec_plan *plan, double *restrict power, size_t count,
                     float *restrict out, size_t out_stride)
{
    const melspec_config *c = &plan->config;
    if (c->power == 1)
        for (size_t i = 0; i < plan->n_bins * L; i++)
            power[i] = sqrt(power[i]);
    for (size_t m = 0; m < (size_t)c->n_mels; m++, out += out_stride) {
        double mel[L];
        mel_band(plan, power, m, mel);
        if (c->log == MELSPEC_LOG_DB)
            for (size_t l = 0; l < count; l++)
                mel[l] = to_db(c, mel[l]);
        for (size_t l = 0; l < count; l++)
            out[l] = (float)mel[l];
    }
}

static void compute_rest(const melspec_plan *plan, const clip *clip, size_t first, size_t count,
                         float *out, size_t out_stride, char *memory)
{
    const workspace w = split_workspace(plan, memory);
    const size_t n_fft = (size_t)plan->config.n_fft;
    for (size_t done = 0; done < count; done += L) {
        const size_t lanes = count - done < L ? count - done : L;
        const float *frames[L];
        for (size_t l = 0; l < L; l++)
            frames[l] = l < lanes ? float_frame(plan, clip, first + done + l, w.edge + l * n_fft)
                                  : frames[0];
        load_tile(plan, frames, w.re, w.im);
        rfft_power(plan->rfft, w.re, w.im, w.power, w.rfft);
        mel_tile(plan, w.power, lanes, out + done, out_stride);
    }
}

/* ---- calls ---- */

static void compute(const melspec_plan *plan, const clip *clip, size_t first, size_t count,
                    float *out, size_t out_stride, void *memory)
{
    char *aligned = (char *)memory + (ALIGNMENT - (uintptr_t)memory % ALIGNMENT) % ALIGNMENT;
    if (plan->tile != NULL)
        compute_tiles(plan, clip, first, count, out, out_stride, aligned);
    else
        compute_rest(plan, clip, first, count, out, out_stride, aligned);
}

melspec_status melspec_compute(const melspec_plan *plan, const void *y, melspec_format format,
                               size_t n_samples, size_t first, size_t count, float *out,
                               size_t out_stride, void *workspace)
{
    const size_t n_frames = melspec_n_frames(plan, n_samples);
    if (n_frames == 0)
        return MELSPEC_TOO_SHORT;
    if (first > n_frames || count > n_frames - first || out_stride < count)
        return MELSPEC_BAD_RANGE;
    const clip clip = {y, n_samples, plan->pad, format};
    compute(plan, &clip, first, count, out, out_stride, workspace);
    return MELSPEC_OK;
}

melspec_status melspec_frames(const melspec_plan *plan, const void *y, melspec_format format,
                              size_t n_samples, size_t count, float *out, size_t out_stride,
                              void *workspace)
{
    if (count > unpadded_frames(&plan->config, n_samples) || out_stride < count)
        return MELSPEC_BAD_RANGE;
    const clip clip = {y, n_samples, 0, format};
    compute(plan, &clip, 0, count, out, out_stride, workspace);
    return MELSPEC_OK;
}
