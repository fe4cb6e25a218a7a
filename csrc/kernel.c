#include "kernel.h"

#include "kernels/kernels.h"

#include <assert.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>

static int has_avx2(void)
{
    unsigned a, b, c, d; /* clang 14's __builtin_cpu_supports does not know F16C */
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}

static int has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") && has_avx2();
}
#endif

static int always(void) { return 1; }

/* The kernels of one instruction set, by the names that csrc/kernels/ gives them. */
#define KERNEL(set, lanes_of_f32, lanes_of_f64, ...)                                               \
    static const kernel set = {                                                                    \
        .name = #set,                                                                              \
        .lanes_f32 = lanes_of_f32,                                                                 \
        .lanes_f64 = lanes_of_f64,                                                                 \
        .tile_f32 = tile_##set##_f32,                                                              \
        .tile_f64 = tile_##set##_f64,                                                              \
        .whiten = whiten_##set,                                                                    \
        .squared_distance = squared_distance_##set,                                                \
        __VA_ARGS__,                                                                               \
    }

#if defined(__x86_64__)
KERNEL(avx2, 8, 4, .is_supported = has_avx2, .reads_float16 = 1);
KERNEL(avx512, 16, 8, .is_supported = has_avx512, .reads_float16 = 1, .narrower = &avx2);
KERNEL(sse2, 4, 2, .is_supported = always);
#elif defined(__aarch64__)
KERNEL(neon, 4, 2, .is_supported = always, .reads_float16 = 1);
#endif
KERNEL(scalar, 1, 1, .is_supported = always);

/* Fastest first. */
static const kernel *const kernels[] = {
#if defined(__x86_64__)
    &avx512,
    &avx2,
    &sse2,
#elif defined(__aarch64__)
    &neon,
#endif
    &scalar,
};

const kernel *kernel_available(size_t i)
{
    for (size_t j = 0; j < sizeof kernels / sizeof *kernels; j++)
        if (kernels[j]->is_supported() && i-- == 0) {
            assert(kernels[j]->lanes_f32 <= TILE_MAX_LANES);
            return kernels[j];
        }
    return NULL;
}

const kernel *kernel_find(const char *name)
{
    const kernel *found;
    for (size_t i = 0; (found = kernel_available(i)) != NULL; i++)
        if (name == NULL || strcmp(name, found->name) == 0)
            break;
    return found;
}
