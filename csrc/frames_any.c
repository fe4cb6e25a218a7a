#include "frames_any.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

enum { L = RFFT_LANES };

typedef struct {
    double *re, *im, *rfft, *power; /* one tile, lanes innermost */
    float *edge;                    /* L frames: those that need padding, or are int16 */
} workspace;

size_t frames_any_workspace_size(const frames_any_plan *plan)
{
    return (2 * rfft_tile_size(plan->rfft) + rfft_power_size(plan->rfft) +
            rfft_workspace_size(plan->rfft)) *
               sizeof(double) +
           L * (size_t)plan->config->n_fft * sizeof(float);
}

static workspace split_workspace(const frames_any_plan *plan, void *memory)
{
    workspace w;
    w.re = memory;
    w.im = w.re + rfft_tile_size(plan->rfft);
    w.rfft = w.im + rfft_tile_size(plan->rfft);
    w.power = w.rfft + rfft_workspace_size(plan->rfft);
    w.edge = (float *)(w.power + rfft_power_size(plan->rfft));
    return w;
}

/* Gives frame t as floats: in the clip itself, or in `edge` if it needs padding or conversion. */
static const float *float_frame(const frames_any_plan *plan, const clip *clip, size_t t,
                                float *edge)
{
    const void *samples = clip_frames(clip, t, 1, (char *)edge);
    if (clip->format == MELSPEC_FLOAT)
        return samples;
    /* backwards, since `samples` may be `edge` */
    for (size_t j = (size_t)plan->config->n_fft; j-- > 0;) {
        int16_t v;
        memcpy(&v, (const char *)samples + j * sizeof v, sizeof v);
        const float scaled = (float)v / 32768;
        memcpy((char *)edge + j * sizeof scaled, &scaled, sizeof scaled);
    }
    return edge;
}

static void load_tile(const frames_any_plan *plan, const float *const frames[L],
                      double *restrict re, double *restrict im)
{
    const double *restrict w = plan->window;
    const size_t m = (size_t)plan->config->n_fft / 2;
    for (size_t j = 0; j < m; j++)
        for (size_t l = 0; l < L; l++) {
            re[j * L + l] = w[2 * j] * (double)frames[l][2 * j];
            im[j * L + l] = w[2 * j + 1] * (double)frames[l][2 * j + 1];
        }
}

static void mel_band(const frames_any_plan *plan, const double *restrict power, size_t m,
                     double mel[restrict L])
{
    const mel_filter *filter = &plan->filters->filter[m];
    const double *weight = plan->filters->weights + filter->weight_at;
    double sum[L] = {0};
    for (size_t k = filter->first; k < filter->last; k++, weight++)
        for (size_t l = 0; l < L; l++)
            sum[l] += *weight * power[k * L + l];
    for (size_t l = 0; l < L; l++)
        mel[l] = sum[l];
}

/* NaN stays NaN, since it is not below amin. */
static double to_db(const melspec_config *c, double mel)
{
    return 20.0 / c->power * log10(mel < c->amin ? c->amin : mel);
}

static void mel_tile(const frames_any_plan *plan, double *restrict power, size_t count,
                     float *restrict out, size_t out_stride)
{
    const melspec_config *c = plan->config;
    if (c->power == 1)
        for (size_t i = 0; i < plan->filters->n_bins * L; i++)
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

void frames_any(const frames_any_plan *plan, const clip *clip, size_t first, size_t count,
                float *out, size_t out_stride, char *memory)
{
    const workspace w = split_workspace(plan, memory);
    const size_t n_fft = (size_t)plan->config->n_fft;
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
