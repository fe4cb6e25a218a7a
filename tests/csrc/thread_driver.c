/* Threads share one plan and one whitening, each with a stream of its own, and build plans
 * meanwhile. Their results have the bits of a single thread. For ThreadSanitizer. */
#include "kernel.h"
#include "melspec.h"
#include "scoring.h"
#include "stream.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_THREADS = 4, ROUNDS = 5, N_SAMPLES = 5000, N_MELS = 20, MAX_FRAMES = 200, D = 37 };

typedef struct {
    const kernel *kernel;
    const melspec_plan *plan;
    const whitening *whitening;
    const float *y;
    const float *mel;       /* N_MELS x n_frames, computed by the first thread */
    const float *projected; /* D */
    size_t n_frames;
} shared;

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static void *allocate(size_t size)
{
    void *p = malloc(size);
    if (p == NULL)
        fail("no memory");
    return p;
}

static void compute(const shared *s, float *mel, float *projected)
{
    void *work = allocate(melspec_workspace_size(s->plan));
    if (melspec_compute(s->plan, s->y, MELSPEC_FLOAT, N_SAMPLES, 0, s->n_frames, mel, s->n_frames,
                        work) != ASD_OK)
        fail("melspec_compute");
    free(work);
    work = allocate(whitening_workspace_size(s->whitening) * sizeof(float));
    whitening_project(s->whitening, s->y, 1, projected, work);
    free(work);
}

static void stream(const shared *s, float *mel)
{
    melspec_stream *stream;
    void *work = allocate(melspec_workspace_size(s->plan));
    if (melspec_stream_create(s->plan, &stream) != ASD_OK)
        fail("melspec_stream_create");
    size_t done = 0;
    for (size_t at = 0; at < N_SAMPLES; at += 1000) {
        const size_t count = melspec_stream_n_frames(stream, 1000);
        if (melspec_stream_push(stream, s->y + at, MELSPEC_FLOAT, 1000, mel + done, s->n_frames,
                                work) != ASD_OK)
            fail("melspec_stream_push");
        done += count;
    }
    if (melspec_stream_finish(stream, mel + done, s->n_frames, work) != ASD_OK)
        fail("melspec_stream_finish");
    melspec_stream_free(stream);
    free(work);
}

static void *run(void *argument)
{
    const shared *s = argument;
    const size_t size = N_MELS * s->n_frames * sizeof(float);
    float *mel = allocate(size + s->n_frames * sizeof(float)), projected[D];
    for (int round = 0; round < ROUNDS; round++) {
        compute(s, mel, projected);
        if (memcmp(mel, s->mel, size) != 0 ||
            memcmp(projected, s->projected, sizeof projected) != 0)
            fail("a thread differs");
        stream(s, mel);
        if (memcmp(mel, s->mel, size) != 0)
            fail("a thread's stream differs");
        melspec_plan *plan;
        if (melspec_plan_create(melspec_plan_config(s->plan), s->kernel, &plan) != ASD_OK)
            fail("melspec_plan_create");
        melspec_plan_free(plan);
    }
    free(mel);
    return NULL;
}

static void check(const kernel *kernel, int n_fft)
{
    const melspec_config config = {
        .sr = 16000,
        .n_fft = n_fft,
        .hop_length = n_fft / 2,
        .n_mels = N_MELS,
        .fmax = 8000,
        .power = 2,
        .amin = 1e-10,
        .center = 1,
        .pad_mode = MELSPEC_PAD_REFLECT,
    };
    static float y[N_SAMPLES], mel[N_MELS * MAX_FRAMES], projected[D];
    static uint16_t triangle[D * (D + 1) / 2];
    for (size_t i = 0; i < N_SAMPLES; i++) /* a tone, and noise in half of the clip */
        y[i] = (float)(i * 7919 % 64) / 64 + (i < N_SAMPLES / 2 ? 0 : (float)(i * i % 8191) / 8191);
    for (size_t i = 0; i < sizeof triangle / sizeof *triangle; i++)
        triangle[i] = (uint16_t)(0x3800 + i % 64);
    melspec_plan *plan;
    whitening *w;
    if (melspec_plan_create(&config, kernel, &plan) != ASD_OK ||
        whitening_create(kernel, triangle, D, &w) != ASD_OK)
        fail("no plan");
    shared s = {.kernel = kernel, .plan = plan, .whitening = w, .y = y};
    s.n_frames = melspec_n_frames(plan, N_SAMPLES);
    if (s.n_frames > MAX_FRAMES)
        fail("too many frames");
    compute(&s, mel, projected);
    s.mel = mel, s.projected = projected;
    pthread_t threads[N_THREADS];
    for (int i = 0; i < N_THREADS; i++)
        if (pthread_create(&threads[i], NULL, run, &s) != 0)
            fail("pthread_create");
    for (int i = 0; i < N_THREADS; i++)
        pthread_join(threads[i], NULL);
    whitening_free(w);
    melspec_plan_free(plan);
}

int main(void)
{
    const kernel *kernel;
    for (size_t k = 0; (kernel = kernel_available(k)) != NULL; k++)
        check(kernel, 64), check(kernel, 100), check(kernel, 512);
    return 0;
}
