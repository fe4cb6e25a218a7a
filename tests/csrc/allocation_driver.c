/* Every allocation of the C core fails once. The function that asked must return ASD_NO_MEMORY and
 * NULL, and must have freed everything else. Linked with -Wl,--wrap=malloc,--wrap=calloc,
 * --wrap=aligned_alloc,--wrap=free. */
#include "kernel.h"
#include "melspec.h"
#include "rfft.h"
#include "scoring.h"
#include "stream.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void __real_free(void *p);

static size_t n_before_failure = SIZE_MAX; /* allocations that succeed before one fails */
static size_t n_live;                      /* allocated and not freed */

static int is_failing(void)
{
    if (n_before_failure == SIZE_MAX)
        return 0;
    return n_before_failure-- == 0;
}

static void *counted(void *p)
{
    n_live += p != NULL;
    return p;
}

void *__wrap_malloc(size_t size) { return is_failing() ? NULL : counted(__real_malloc(size)); }

void *__wrap_calloc(size_t count, size_t size)
{
    return is_failing() ? NULL : counted(__real_calloc(count, size));
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return is_failing() ? NULL : counted(__real_aligned_alloc(alignment, size));
}

void __wrap_free(void *p)
{
    n_live -= p != NULL;
    __real_free(p);
}

static _Noreturn void fail(const char *what, size_t number)
{
    fprintf(stderr, "%s (allocation %zu fails)\n", what, number);
    exit(1);
}

/* Makes one object of the core. */
typedef asd_status maker(const void *argument, void **result);
typedef void destroyer(void *object);

/* Calls `make` with its first, second, .. allocation failing, until it succeeds. */
static void check(const char *what, maker *make, destroyer *destroy, const void *argument,
                  size_t n_allocations)
{
    const size_t n_live_before = n_live;
    for (size_t i = 0;; i++) {
        void *result = &result;
        n_before_failure = i;
        const asd_status status = make(argument, &result);
        n_before_failure = SIZE_MAX;
        if (status == ASD_OK) {
            if (i < n_allocations || result == NULL)
                fail(what, i);
            destroy(result);
            if (n_live != n_live_before)
                fail(what, i);
            return;
        }
        if (status != ASD_NO_MEMORY || result != NULL || n_live != n_live_before)
            fail(what, i);
    }
}

static asd_status make_plan(const void *config, void **result)
{
    melspec_plan *plan = *result;
    const asd_status status = melspec_plan_create(config, kernel_find(NULL), &plan);
    *result = plan;
    return status;
}

static void destroy_plan(void *plan) { melspec_plan_free(plan); }

static asd_status make_stream(const void *plan, void **result)
{
    melspec_stream *stream = *result;
    const asd_status status = melspec_stream_create(plan, &stream);
    *result = stream;
    return status;
}

static void destroy_stream(void *stream) { melspec_stream_free(stream); }

static asd_status make_whitening(const void *kernel, void **result)
{
    const uint16_t triangle[] = {0x3c00, 0, 0x3c00};
    whitening *w = *result;
    const asd_status status = whitening_create(kernel, triangle, 2, &w);
    *result = w;
    return status;
}

static void destroy_whitening(void *w) { whitening_free(w); }

static asd_status make_rfft(const void *n, void **result)
{
    rfft_plan *plan = rfft_plan_create(*(const size_t *)n);
    *result = plan;
    return plan == NULL ? ASD_NO_MEMORY : ASD_OK;
}

static void destroy_rfft(void *plan) { rfft_plan_free(plan); }

int main(void)
{
    melspec_config config = {
        .sr = 16000,
        .n_fft = 128,
        .hop_length = 64,
        .n_mels = 20,
        .fmax = 8000,
        .power = 1,
        .log = MELSPEC_LOG_DB,
        .amin = 1e-5,
        .center = 1,
    };
    check("a plan of tiles", make_plan, destroy_plan, &config, 11);
    config.n_fft = 2 * 67; /* with a prime factor that has no pass of its own */
    check("a plan of another n_fft", make_plan, destroy_plan, &config, 8);
    const size_t sizes[] = {2, 64, 134, 1000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        check("rfft_plan_create", make_rfft, destroy_rfft, &sizes[i], 2);
    void *plan;
    if (make_plan(&config, &plan) != ASD_OK)
        fail("a plan for streams", SIZE_MAX);
    check("a stream", make_stream, destroy_stream, plan, 1);
    destroy_plan(plan);
    const kernel *kernel;
    for (size_t k = 0; (kernel = kernel_available(k)) != NULL; k++)
        check("a whitening", make_whitening, destroy_whitening, kernel, 1);
    return 0;
}
