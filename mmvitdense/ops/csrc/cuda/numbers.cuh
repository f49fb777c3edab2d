// Numbers in memory: storage types, and reading and writing several at once.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstring>
#include <type_traits>

#include "arguments.h"

namespace mmvitdense {
namespace cuda {

// Type of the sums over numbers stored as T.
template <typename T>
using Sum = std::conditional_t<std::is_same<T, double>::value, double, float>;

__device__ __forceinline__ float widen(float x) { return x; }
__device__ __forceinline__ double widen(double x) { return x; }
__device__ __forceinline__ float widen(__half x) { return __half2float(x); }
__device__ __forceinline__ float widen(__nv_bfloat16 x) { return __bfloat162float(x); }

__device__ __forceinline__ void narrow(float x, float& y) { y = x; }
__device__ __forceinline__ void narrow(double x, double& y) { y = x; }
__device__ __forceinline__ void narrow(float x, __half& y) { y = __float2half_rn(x); }
__device__ __forceinline__ void narrow(float x, __nv_bfloat16& y) { y = __float2bfloat16_rn(x); }

// Channels that a lane handles together: 16 bytes, or a single one where the channels do not divide.
template <typename T>
constexpr int kVector = 16 / sizeof(T);

template <int kBytes>
struct Bits;
template <>
struct Bits<16> {
  using Word = uint4;
};
template <>
struct Bits<8> {
  using Word = uint2;
};
template <>
struct Bits<4> {
  using Word = unsigned int;
};
template <>
struct Bits<2> {
  using Word = unsigned short;
};

template <typename T, int V>
struct Pack {
  using Word = typename Bits<V * sizeof(T)>::Word;
  Word word;

  __device__ __forceinline__ void unpack(Sum<T> (&numbers)[V]) const {
    if constexpr (std::is_same<T, __nv_bfloat16>::value && V % 2 == 0) {
      // A bfloat16 is the upper half of a float: one instruction each instead of two.
      uint32_t halves[V / 2];
      memcpy(halves, &word, sizeof(word));
#pragma unroll
      for (int i = 0; i < V; ++i) {
        const uint32_t bits = i % 2 == 0 ? halves[i / 2] << 16 : halves[i / 2] & 0xffff0000u;
        memcpy(&numbers[i], &bits, sizeof(bits));
      }
    } else {
      T items[V];
      memcpy(items, &word, sizeof(word));
#pragma unroll
      for (int i = 0; i < V; ++i) numbers[i] = widen(items[i]);
    }
  }

  static __device__ __forceinline__ Pack zero() {
    Pack pack;
    memset(&pack.word, 0, sizeof(Word));
    return pack;
  }

  // From memory that the kernel does not write.
  static __device__ __forceinline__ Pack read(const void* address) {
    return {__ldg(reinterpret_cast<const Word*>(address))};
  }

  // Zero where not wanted. In a vector, a predicated load rather than a branch, so that loads do not wait for each
  // other.
  static __device__ __forceinline__ Pack read_if(bool wanted, const void* address) {
    Pack pack = zero();
#ifdef __CUDA_ARCH__
    if constexpr (sizeof(Word) == 16) {
      asm volatile(
          "{ .reg .pred wanted; setp.ne.s32 wanted, %5, 0;"
          " @wanted ld.global.nc.v4.u32 {%0, %1, %2, %3}, [%4]; }"
          : "+r"(pack.word.x), "+r"(pack.word.y), "+r"(pack.word.z), "+r"(pack.word.w)
          : "l"(address), "r"(static_cast<int>(wanted)));
    } else
#endif
    {
      if (wanted) pack.word = __ldg(reinterpret_cast<const Word*>(address));
    }
    return pack;
  }

  static __device__ __forceinline__ void write(const Sum<T> (&numbers)[V], T* address) {
    T items[V];
#pragma unroll
    for (int i = 0; i < V; ++i) narrow(numbers[i], items[i]);
    Word word;
    memcpy(&word, items, sizeof(word));
    *reinterpret_cast<Word*>(address) = word;
  }
};

// In one instruction, which the compiler does not find by itself in a loop.
__device__ __forceinline__ int64_t wide_product(int32_t x, int32_t y) {
#ifdef __CUDA_ARCH__
  int64_t product;
  asm("mul.wide.s32 %0, %1, %2;" : "=l"(product) : "r"(x), "r"(y));
  return product;
#else
  return int64_t(x) * y;
#endif
}

// Numbers of type A that one instruction adds to global memory.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
template <typename A>
constexpr int kAddends = std::is_same<A, float>::value ? 4 : 1;
#else
template <typename A>
constexpr int kAddends = 1;
#endif

// Of V numbers of a lane, those that it adds together.
template <typename A, int V>
constexpr int kAddedTogether = V % kAddends<A> == 0 ? kAddends<A> : 1;

// Adds to global memory. Nothing is returned, which makes it a reduction that the L2 cache carries out.
__device__ __forceinline__ void add_to(float* address, float x) { atomicAdd(address, x); }
__device__ __forceinline__ void add_to(double* address, double x) { atomicAdd(address, x); }

// N numbers, times a factor, by one instruction: N is kAddends<A> or 1.
template <int N, typename A>
__device__ __forceinline__ void add_products(A* address, const A* numbers, A factor) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  if constexpr (N == 4) {
    asm volatile("red.global.add.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(address), "f"(factor * numbers[0]),
                 "f"(factor * numbers[1]), "f"(factor * numbers[2]), "f"(factor * numbers[3])
                 : "memory");
  } else
#endif
  {
    add_to(address, factor * numbers[0]);
  }
}

// Numbers of a type that is only known at run time: points and weights, one load a sample and not one a channel.
template <typename A>
__device__ __forceinline__ A read_number(const void* base, Type type, int64_t i) {
  if constexpr (std::is_same<A, double>::value) {
    return __ldg(static_cast<const double*>(base) + i);
  } else {
    if (type == Type::kFloat) return __ldg(static_cast<const float*>(base) + i);
    if (type == Type::kHalf) return widen(static_cast<const __half*>(base)[i]);
    return widen(static_cast<const __nv_bfloat16*>(base)[i]);
  }
}

// The i-th number and the next; i is even.
template <typename A>
__device__ __forceinline__ void read_pair(const void* base, Type type, int64_t i, A (&pair)[2]) {
  if constexpr (std::is_same<A, double>::value) {
    Pack<double, 2>::read(static_cast<const double*>(base) + i).unpack(pair);
  } else {
    if (type == Type::kFloat) {
      Pack<float, 2>::read(static_cast<const float*>(base) + i).unpack(pair);
    } else if (type == Type::kHalf) {
      Pack<__half, 2>::read(static_cast<const __half*>(base) + i).unpack(pair);
    } else {
      Pack<__nv_bfloat16, 2>::read(static_cast<const __nv_bfloat16*>(base) + i).unpack(pair);
    }
  }
}

template <typename A>
__device__ __forceinline__ void write_number(void* base, Type type, int64_t i, A x) {
  if constexpr (std::is_same<A, double>::value) {
    static_cast<double*>(base)[i] = x;
  } else {
    if (type == Type::kFloat) {
      static_cast<float*>(base)[i] = x;
    } else if (type == Type::kHalf) {
      narrow(x, static_cast<__half*>(base)[i]);
    } else {
      narrow(x, static_cast<__nv_bfloat16*>(base)[i]);
    }
  }
}

// The i-th pair.
template <typename A>
__device__ __forceinline__ void write_pair(void* base, Type type, int64_t i, A x, A y) {
  const A pair[2] = {x, y};
  if constexpr (std::is_same<A, double>::value) {
    Pack<double, 2>::write(pair, static_cast<double*>(base) + 2 * i);
  } else {
    if (type == Type::kFloat) {
      Pack<float, 2>::write(pair, static_cast<float*>(base) + 2 * i);
    } else if (type == Type::kHalf) {
      Pack<__half, 2>::write(pair, static_cast<__half*>(base) + 2 * i);
    } else {
      Pack<__nv_bfloat16, 2>::write(pair, static_cast<__nv_bfloat16*>(base) + 2 * i);
    }
  }
}

}  // namespace cuda
}  // namespace mmvitdense
