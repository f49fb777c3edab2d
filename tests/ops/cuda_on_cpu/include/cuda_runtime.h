// The device's side of CUDA: what lanes do together, atomic additions, loads with hints, functions of numbers.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "cuda_runtime_api.h"
#include "cuda_warps.h"

namespace cuda_on_cpu {

template <typename T, typename Change>
T atomically(T* address, int numbers, Change change) {
  check_alignment(address, sizeof(T), "an atomic operation");
  begin_atomic(address, sizeof(T), numbers);
  const T old = *address;
  *address = change(old);
  end_atomic();
  return old;
}

template <typename To, typename From>
To bits(From x) {
  static_assert(sizeof(To) == sizeof(From), "sizes differ");
  To y;
  std::memcpy(&y, &x, sizeof(y));
  return y;
}

}  // namespace cuda_on_cpu

#define CUDA_ON_CPU_ATOMIC(name, change)                                                        \
  template <typename T>                                                                         \
  T name(T* address, std::common_type_t<T> x) {                                                 \
    return cuda_on_cpu::atomically(address, 1, [x](T old) { return static_cast<T>(change); }); \
  }
CUDA_ON_CPU_ATOMIC(atomicAdd, old + x)
CUDA_ON_CPU_ATOMIC(atomicSub, old - x)
CUDA_ON_CPU_ATOMIC(atomicMax, old < x ? x : old)
CUDA_ON_CPU_ATOMIC(atomicMin, x < old ? x : old)
CUDA_ON_CPU_ATOMIC(atomicAnd, old & x)
CUDA_ON_CPU_ATOMIC(atomicOr, old | x)
CUDA_ON_CPU_ATOMIC(atomicXor, old ^ x)
CUDA_ON_CPU_ATOMIC(atomicExch, x)
#undef CUDA_ON_CPU_ATOMIC
template <typename T>
T atomicCAS(T* address, std::common_type_t<T> expected, std::common_type_t<T> x) {
  return cuda_on_cpu::atomically(address, 1, [=](T old) { return old == expected ? x : old; });
}
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
inline float2 atomicAdd(float2* address, float2 x) {
  return cuda_on_cpu::atomically(address, 2, [x](float2 old) { return float2{old.x + x.x, old.y + x.y}; });
}
inline float4 atomicAdd(float4* address, float4 x) {
  return cuda_on_cpu::atomically(address, 4, [x](float4 old) {
    return float4{old.x + x.x, old.y + x.y, old.z + x.z, old.w + x.w};
  });
}
#endif

#define CUDA_ON_CPU_LOAD(name)                                           \
  template <typename T>                                                  \
  inline T name(const T* address) {                                      \
    cuda_on_cpu::check_alignment(address, alignof(T), #name);            \
    return *address;                                                     \
  }
CUDA_ON_CPU_LOAD(__ldg)
CUDA_ON_CPU_LOAD(__ldcs)
CUDA_ON_CPU_LOAD(__ldcg)
CUDA_ON_CPU_LOAD(__ldca)
CUDA_ON_CPU_LOAD(__ldlu)
CUDA_ON_CPU_LOAD(__ldcv)
#undef CUDA_ON_CPU_LOAD
#define CUDA_ON_CPU_STORE(name)                               \
  template <typename T>                                       \
  inline void name(T* address, std::common_type_t<T> x) {     \
    cuda_on_cpu::check_alignment(address, alignof(T), #name); \
    *address = x;                                             \
  }
CUDA_ON_CPU_STORE(__stcs)
CUDA_ON_CPU_STORE(__stcg)
CUDA_ON_CPU_STORE(__stwb)
CUDA_ON_CPU_STORE(__stwt)
#undef CUDA_ON_CPU_STORE

inline void __threadfence() {}
inline void __threadfence_block() {}
[[noreturn]] inline void __trap() { cuda_on_cpu::report("__trap() was called"); }

// Numbers. Those of float and double have their names from <cmath>.
template <typename A, typename B>
constexpr std::common_type_t<A, B> min(A a, B b) {
  return std::common_type_t<A, B>(a) < std::common_type_t<A, B>(b) ? a : b;
}
template <typename A, typename B>
constexpr std::common_type_t<A, B> max(A a, B b) {
  return std::common_type_t<A, B>(a) < std::common_type_t<A, B>(b) ? b : a;
}
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __frcp_rn(float x) { return 1 / x; }
inline float __saturatef(float x) { return x > 1 ? 1 : x > 0 ? x : 0; }
inline float rsqrtf(float x) { return 1 / std::sqrt(x); }
inline float __fmaf_rn(float x, float y, float z) { return std::fma(x, y, z); }
inline double __fma_rn(double x, double y, double z) { return std::fma(x, y, z); }
inline float __fadd_rn(float x, float y) { return x + y; }
inline float __fmul_rn(float x, float y) { return x * y; }
inline int __float2int_rd(float x) { return static_cast<int>(std::floor(x)); }
inline int __float2int_rz(float x) { return static_cast<int>(x); }
inline int __float2int_rn(float x) { return static_cast<int>(std::nearbyint(x)); }
inline float __int2float_rn(int x) { return static_cast<float>(x); }
inline int __double2int_rd(double x) { return static_cast<int>(std::floor(x)); }
inline int __float_as_int(float x) { return cuda_on_cpu::bits<int>(x); }
inline unsigned __float_as_uint(float x) { return cuda_on_cpu::bits<unsigned>(x); }
inline float __int_as_float(int x) { return cuda_on_cpu::bits<float>(x); }
inline float __uint_as_float(unsigned x) { return cuda_on_cpu::bits<float>(x); }
inline long long __double_as_longlong(double x) { return cuda_on_cpu::bits<long long>(x); }
inline double __longlong_as_double(long long x) { return cuda_on_cpu::bits<double>(x); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x)); }
inline int __clzll(long long x) { return x == 0 ? 64 : __builtin_clzll(static_cast<unsigned long long>(x)); }
inline unsigned __umulhi(unsigned x, unsigned y) { return uint64_t(x) * y >> 32; }
inline int __mulhi(int x, int y) { return int64_t(x) * y >> 32; }
inline unsigned __byte_perm(unsigned x, unsigned y, unsigned selector) {
  const uint64_t both = uint64_t(y) << 32 | x;
  unsigned result = 0;
  for (int i = 0; i < 4; ++i) result |= (both >> 8 * (selector >> 4 * i & 7) & 0xff) << 8 * i;
  return result;
}
inline size_t __cvta_generic_to_shared(const void* address) { return reinterpret_cast<size_t>(address); }
inline size_t __cvta_generic_to_global(const void* address) { return reinterpret_cast<size_t>(address); }
#define __builtin_assume(condition) ((void)0)
#define __assume(condition) ((void)0)
