/* The functions that the files of this folder define, one file for each instruction set and
 * precision. A new instruction set needs its two files, a line here and an entry in ../kernel.c. */
#ifndef ASD_KERNELS_H
#define ASD_KERNELS_H

#include "../kernel.h"

tile_function tile_avx512_f32, tile_avx512_f64;
tile_function tile_avx2_f32, tile_avx2_f64;
tile_function tile_sse2_f32, tile_sse2_f64;
tile_function tile_neon_f32, tile_neon_f64;
tile_function tile_scalar_f32, tile_scalar_f64;

whiten_function whiten_avx512, whiten_avx2, whiten_sse2, whiten_neon, whiten_scalar;

distance_function squared_distance_avx512, squared_distance_avx2, squared_distance_sse2,
    squared_distance_neon, squared_distance_scalar;

#endif
