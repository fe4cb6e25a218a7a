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

#if defined(__x86_64__)
static const kernel avx2 = {
    .name = "avx2",
    .is_supported = has_avx2,
    .lanes_f32 = 8,
    .lanes_f64 = 4,
    .tile_f32 = tile_avx2_f32,
    .tile_f64 = tile_avx2_f64,
    .whiten = whiten_avx2,
    .reads_float16 = 1,
    .squared_distance = squared_distance_avx2,
};

static const kernel avx512 = {
    .name = "avx512",
    .is_supported = has_avx512,
    .narrower = &avx2,
    .lanes_f32 = 16,
    .lanes_f64 = 8,
    .tile_f32 = tile_avx512_f32,
    .tile_f64 = tile_avx512_f64,
    .whiten = whiten_avx512,
    .reads_float16 = 1,
    .squared_distance = squared_distance_avx512,
};

static const kernel sse2 = {
    .name = "sse2",
    .is_supported = always,
    .lanes_f32 = 4,
    .lanes_f64 = 2,
    .tile_f32 = tile_sse2_f32,
    .tile_f64 = tile_sse2_f64,
    .whiten = whiten_sse2,
    .squared_distance = squared_distance_sse2,
};
#elif defined(__aarch64__)
static const kernel neon = {
    .name = "neon",
    .is_supported = always,
    .lanes_f32 = 4,
    .lanes_f64 = 2,
    .tile_f32 = tile_neon_f32,
    .tile_f64 = tile_neon_f64,
    .whiten = whiten_neon,
    .reads_float16 = 1,
    .squared_distance = squared_distance_neon,
};
#endif

static const kernel scalar = {
    .name = "scalar",
    .is_supported = always,
    .lanes_f32 = 1,
    .lanes_f64 = 1,
    .tile_f32 = tile_scalar_f32,
    .tile_f64 = tile_scalar_f64,
    .whiten = whiten_scalar,
    .squared_distance = squared_distance_scalar,
};

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
