/* Plans and calls of melspec.h; melspec_plan.h says where the rest is. */
#include "melspec_plan.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

enum { ALIGNMENT = 64 };

/* ---- plan ---- */

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
        const double edge = melspec_edge_hz(c, (int)i);
        while (k < plan->n_bins && (double)k * c->sr / c->n_fft < edge)
            k++;
        first[i] = k;
    }
    const tile_spec spec = {
        .n = n,
        .lanes = plan->kernel->lanes_f32,
        .window = plan->window,
        .n_mels = n_mels,
        .first = first,
        .weight = melspec_weight,
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
        status = melspec_build_filters(plan);
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

/* ---- sizes ---- */

size_t unpadded_frames(const melspec_config *c, size_t n_samples)
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

size_t melspec_workspace_size(const melspec_plan *plan)
{
    return ALIGNMENT + (plan->tile != NULL ? frames_tile_size(plan) : frames_any_size(plan));
}

/* ---- calls ---- */

static void compute(const melspec_plan *plan, const clip *clip, size_t first, size_t count,
                    float *out, size_t out_stride, void *memory)
{
    char *aligned = (char *)memory + (ALIGNMENT - (uintptr_t)memory % ALIGNMENT) % ALIGNMENT;
    if (plan->tile != NULL)
        frames_tile(plan, clip, first, count, out, out_stride, aligned);
    else
        frames_any(plan, clip, first, count, out, out_stride, aligned);
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
