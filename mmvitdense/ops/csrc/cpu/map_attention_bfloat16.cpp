// The kernels of map_attention for bfloat16, with AVX512-BF16.
#include "map_attention.h"

#ifdef MMVITDENSE_MAP_ATTENTION
#include <immintrin.h>

#include <cstdint>
#include <cstdlib>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,avx512bf16"))), \
                             apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,avx512bf16,prefer-vector-width=512")
#endif

#define MMVITDENSE_BFLOAT16
#define MMVITDENSE_ISA map_attention_bfloat16
#include "map_attention_kernels.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
