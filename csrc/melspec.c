#include "melspec.h"

#include "clip.h"
#include "frames_any.h"
#include "frames_tile.h"
#include "kernel.h"
#include "mel_filters.h"
#include "rfft.h"
#include "tile_plan.h"

#include <assert.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

enum { ALIGNMENT = 64 }; /* of what is given to frames_tile and frames_any */

struct melspec_plan {
    melspec_config config;
    const kernel *kernel;
    size_t pad;
    double *window; /* n_fft */
    mel_filters *filters;
    tile_plan *tile; /* if n_fft is a power of two; else NULL */
    rfft_plan *rfft; /* if it is not; else NULL */
};

/* ---- plans ---- */

static int is_power_of_two(size_t n) { return (n & (n - 1)) == 0; }

static double *hann_window(size_t n)
{
    double *window = malloc(n * sizeof *window);
    if (window == NULL)
        return NULL;
    /* sin^2(pi j / n) = 1/2 - 1/2 cos(2 pi j / n), without the cancellation at the ends */
    for (size_t j = 0; j < n; j++) {
        const size_t from_end = j <= n - j ? j : n - j;
        const double s = sin(3.1415926535897932384626433832795 * (double)from_end / (double)n);
        window[j] = s * s;
    }
    return window;
}

/* Comparisons are written so that NaN fails them. */
static int is_valid(const melspec_config *c)
{
    return c->sr >= 1.0 && c->sr <= MELSPEC_MAX_SR && c->n_fft >= MELSPEC_MIN_N_FFT &&
           c->n_fft <= MELSPEC_MAX_N_FFT && c->n_fft % 2 == 0 && c->hop_length >= 1 &&
           c->n_mels >= 1 && c->n_mels <= MELSPEC_MAX_N_MELS && c->fmin >= 0.0 &&
           c->fmin < c->fmax && c->fmax <= c->sr / 2.0 && (c->power == 1 || c->power == 2) &&
           (c->log == MELSPEC_LOG_NONE || c->log == MELSPEC_LOG_DB) && c->amin > 0.0 &&
           isfinite(c->amin) && (c->center == 0 || c->center == 1) &&
           (c->pad_mode == MELSPEC_PAD_CONSTANT || c->pad_mode == MELSPEC_PAD_REFLECT);
}

asd_status melspec_plan_create(const melspec_config *config, const kernel *kernel,
                               melspec_plan **out)
{
    assert(kernel != NULL);
    *out = NULL;
    if (!is_valid(config))
        return ASD_BAD_CONFIG;
    const size_t n = (size_t)config->n_fft;
    melspec_plan *plan = calloc(1, sizeof *plan);
    if (plan == NULL)
        return ASD_NO_MEMORY;
    plan->config = *config;
    plan->kernel = kernel;
    plan->pad = config->center ? n / 2 : 0;
    plan->window = hann_window(n);
    plan->filters = mel_filters_create(config);
    if (plan->window != NULL && plan->filters != NULL) {
        if (is_power_of_two(n))
            plan->tile = tile_plan_create(config, plan->filters, plan->window, kernel->lanes_f32);
        else
            plan->rfft = rfft_plan_create(n);
    }
    if (plan->tile == NULL && plan->rfft == NULL) {
        melspec_plan_free(plan);
        return ASD_NO_MEMORY;
    }
    *out = plan;
    return ASD_OK;
}

void melspec_plan_free(melspec_plan *plan)
{
    if (plan != NULL) {
        rfft_plan_free(plan->rfft);
        tile_plan_free(plan->tile);
        mel_filters_free(plan->filters);
        free(plan->window);
        free(plan);
    }
}

const melspec_config *melspec_plan_config(const melspec_plan *plan) { return &plan->config; }

static frames_tile_plan with_tiles(const melspec_plan *plan)
{
    return (frames_tile_plan){
        .kernel = plan->kernel,
        .tile = plan->tile,
        .hop_length = (size_t)plan->config.hop_length,
    };
}

static frames_any_plan without_tiles(const melspec_plan *plan)
{
    return (frames_any_plan){
        .config = &plan->config,
        .window = plan->window,
        .filters = plan->filters,
        .rfft = plan->rfft,
    };
}

/* ---- sizes ---- */

size_t melspec_n_unpadded_frames(const melspec_plan *plan, size_t n_samples)
{
    const size_t n_fft = (size_t)plan->config.n_fft;
    return n_samples < n_fft ? 0 : 1 + (n_samples - n_fft) / (size_t)plan->config.hop_length;
}

size_t melspec_n_frames(const melspec_plan *plan, size_t n_samples)
{
    const melspec_config *c = &plan->config;
    if (c->center) {
        const size_t shortest = c->pad_mode == MELSPEC_PAD_REFLECT ? plan->pad + 1 : 1;
        if (n_samples < shortest || n_samples > SIZE_MAX - 2 * plan->pad)
            return 0;
    }
    return melspec_n_unpadded_frames(plan, n_samples + 2 * plan->pad);
}

size_t melspec_workspace_size(const melspec_plan *plan)
{
    const frames_tile_plan tiles = with_tiles(plan);
    const frames_any_plan any = without_tiles(plan);
    return ALIGNMENT + (plan->tile != NULL ? frames_tile_workspace_size(&tiles)
                                           : frames_any_workspace_size(&any));
}

/* ---- frames ---- */

void melspec_filterbank(const melspec_plan *plan, double *out)
{
    for (size_t m = 0; m < plan->filters->n_mels; m++)
        for (size_t k = 0; k < plan->filters->n_bins; k++)
            *out++ = mel_filters_weight(plan->filters, m, k);
}

static void compute(const melspec_plan *plan, const void *y, melspec_format format,
                    size_t n_samples, size_t pad, size_t first, size_t count, float *out,
                    size_t out_stride, void *workspace)
{
    const clip clip = {
        .y = y,
        .n_samples = n_samples,
        .format = format,
        .pad = pad,
        .pad_mode = plan->config.pad_mode,
        .n_fft = (size_t)plan->config.n_fft,
        .hop_length = (size_t)plan->config.hop_length,
    };
    assert((uintptr_t)y % clip_sample_size(&clip) == 0 && (uintptr_t)out % sizeof *out == 0);
    char *aligned = (char *)workspace + (ALIGNMENT - (uintptr_t)workspace % ALIGNMENT) % ALIGNMENT;
    if (plan->tile != NULL) {
        const frames_tile_plan tiles = with_tiles(plan);
        frames_tile(&tiles, &clip, first, count, out, out_stride, aligned);
    } else {
        const frames_any_plan any = without_tiles(plan);
        frames_any(&any, &clip, first, count, out, out_stride, aligned);
    }
}

asd_status melspec_compute(const melspec_plan *plan, const void *y, melspec_format format,
                           size_t n_samples, size_t first, size_t count, float *out,
                           size_t out_stride, void *workspace)
{
    const size_t n_frames = melspec_n_frames(plan, n_samples);
    if (n_frames == 0)
        return ASD_TOO_SHORT;
    if (first > n_frames || count > n_frames - first || out_stride < count)
        return ASD_BAD_RANGE;
    compute(plan, y, format, n_samples, plan->pad, first, count, out, out_stride, workspace);
    return ASD_OK;
}

asd_status melspec_compute_unpadded(const melspec_plan *plan, const void *y, melspec_format format,
                                    size_t n_samples, size_t count, float *out, size_t out_stride,
                                    void *workspace)
{
    if (count > melspec_n_unpadded_frames(plan, n_samples) || out_stride < count)
        return ASD_BAD_RANGE;
    compute(plan, y, format, n_samples, 0, 0, count, out, out_stride, workspace);
    return ASD_OK;
}
