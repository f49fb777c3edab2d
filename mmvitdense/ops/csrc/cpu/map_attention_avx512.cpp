// The kernels of map_attention for float32, with AVX-512.
#include "map_attention.h"

#ifdef MMVITDENSE_MAP_ATTENTION
#include <immintrin.h>

#include <cstdint>
#include <cstdlib>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"))), \
                             apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,prefer-vector-width=512")
#endif

#define MMVITDENSE_ISA map_attention_avx512
#include "map_attention_kernels.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
