// The kernels for AVX-512. Everything the kernels include is included before the instructions are switched on.
#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>

#include "call.h"
#include "token_maps.h"
#include "winograd.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"))), \
                             apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,prefer-vector-width=512")
#endif

#define MMVITDENSE_ISA avx512
#include "kernels.h"
#include "lanes.h"
#include "token_maps_kernels.h"
#include "winograd_kernels.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
