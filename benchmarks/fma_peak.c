/* Prints the largest rate of float multiply-adds, in GFLOP/s, that one core reaches here: chains of
 * independent fused multiply-adds in registers, the best of many short runs. Compiled by
 * bench_mel.py with -march=native. */
#include <stdio.h>
#include <time.h>

#if defined(__AVX512F__)
enum { LANES = 16 };
#elif defined(__AVX__)
enum { LANES = 8 };
#else
enum { LANES = 4 };
#endif
typedef float vec __attribute__((vector_size(4 * LANES)));

enum { CHAINS = 12, STEPS = 20000, RUNS = 200 };

int main(void)
{
    double best = 0;
    vec sum = {0};
    for (int run = 0; run < RUNS; run++) {
        vec a[CHAINS];
        for (int i = 0; i < CHAINS; i++)
            a[i] = (vec){0} + (float)(run + i);
        struct timespec begin, end;
        clock_gettime(CLOCK_MONOTONIC, &begin);
        for (int step = 0; step < STEPS; step++)
#pragma GCC unroll 12
            for (int i = 0; i < CHAINS; i++)
                a[i] = a[i] * 0.999f + 0.001f;
        clock_gettime(CLOCK_MONOTONIC, &end);
        for (int i = 0; i < CHAINS; i++)
            sum += a[i];
        const double ns = 1e9 * (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec);
        const double rate = 2.0 * LANES * CHAINS * STEPS / ns;
        best = rate > best ? rate : best;
    }
    fprintf(stderr, "%g\n", (double)sum[0]);
    printf("%.1f\n", best);
    return 0;
}
