/* Which kernel runs. */
#include "kernel.h"

#include <string.h>

extern const kernel kernel_avx512, kernel_avx2, kernel_sse2, kernel_neon, kernel_scalar;

/* Widest first. */
static const kernel *const kernels[] = {
#if defined(__x86_64__)
    &kernel_avx512, &kernel_avx2, &kernel_sse2,
#elif defined(__aarch64__)
    &kernel_neon,
#endif
    &kernel_scalar,
};

const kernel *kernel_available(size_t i)
{
    for (size_t j = 0; j < sizeof kernels / sizeof *kernels; j++)
        if (kernels[j]->is_supported() && i-- == 0)
            return kernels[j];
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
