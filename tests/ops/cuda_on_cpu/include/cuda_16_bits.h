// The 16-bit types: numbers in memory, computed with in float and rounded after each operation, as on a GPU.
#pragma once

#include <cmath>

#include "cuda_runtime.h"

namespace cuda_on_cpu {

inline float float_from_half(uint16_t half) {
  const uint32_t sign = uint32_t(half & 0x8000u) << 16, exponent = half >> 10 & 31, fraction = half & 1023;
  if (exponent == 0) return std::copysign(std::ldexp(float(fraction), -24), bits<float>(sign));
  return bits<float>(sign | (exponent == 31 ? 255 : exponent + 112) << 23 | fraction << 13);
}

// To the nearest, of two as near to the even one.
inline uint16_t half_from_float(float x) {
  const uint32_t word = bits<uint32_t>(x), sign = word >> 16 & 0x8000u;
  const float size = std::fabs(x);
  if (std::isnan(x)) return sign | 0x7fff;
  if (size >= 65520) return sign | 0x7c00;
  if (size < 6.103515625e-05f) return sign | uint16_t(std::nearbyint(std::ldexp(size, 24)));
  const uint32_t wide = word & 0x7fffffffu;
  return sign | (wide + 0xfff + (wide >> 13 & 1) - (112u << 23)) >> 13;
}

inline float float_from_bfloat16(uint16_t x) { return bits<float>(uint32_t(x) << 16); }

inline uint16_t bfloat16_from_float(float x) {
  const uint32_t word = bits<uint32_t>(x);
  return std::isnan(x) ? 0x7fff : (word + 0x7fff + (word >> 16 & 1)) >> 16;
}

}  // namespace cuda_on_cpu

#define CUDA_ON_CPU_16_BITS(T, T2, widen, narrow)                                                                   \
  struct T {                                                                                                        \
    uint16_t word;                                                                                                  \
    T() = default;                                                                                                  \
    T(float x) : word(cuda_on_cpu::narrow(x)) {}                                                                    \
    operator float() const { return cuda_on_cpu::widen(word); }                                                     \
  };                                                                                                                \
  struct alignas(4) T2 {                                                                                            \
    T x, y;                                                                                                         \
  };                                                                                                                \
  inline T operator+(T a, T b) { return T(float(a) + float(b)); }                                                   \
  inline T operator-(T a, T b) { return T(float(a) - float(b)); }                                                   \
  inline T operator*(T a, T b) { return T(float(a) * float(b)); }                                                   \
  inline T2 operator+(T2 a, T2 b) { return {a.x + b.x, a.y + b.y}; }                                                \
  inline T2 operator-(T2 a, T2 b) { return {a.x - b.x, a.y - b.y}; }                                                \
  inline T2 operator*(T2 a, T2 b) { return {a.x * b.x, a.y * b.y}; }                                                \
  inline T __hadd(T a, T b) { return a + b; }                                                                       \
  inline T __hsub(T a, T b) { return a - b; }                                                                       \
  inline T __hmul(T a, T b) { return a * b; }                                                                       \
  inline T __hfma(T a, T b, T c) { return T(std::fma(float(a), float(b), float(c))); }                              \
  inline T __hmax(T a, T b) { return T(std::fmax(float(a), float(b))); }                                            \
  inline T __hmin(T a, T b) { return T(std::fmin(float(a), float(b))); }                                            \
  inline T2 __hadd2(T2 a, T2 b) { return a + b; }                                                                   \
  inline T2 __hsub2(T2 a, T2 b) { return a - b; }                                                                   \
  inline T2 __hmul2(T2 a, T2 b) { return a * b; }                                                                   \
  inline T2 __hfma2(T2 a, T2 b, T2 c) { return {__hfma(a.x, b.x, c.x), __hfma(a.y, b.y, c.y)}; }                    \
  inline float __low2float(T2 a) { return a.x; }                                                                    \
  inline float __high2float(T2 a) { return a.y; }                                                                   \
  inline T2 atomicAdd(T2* address, T2 x) {                                                                          \
    return cuda_on_cpu::atomically(address, 2, [x](T2 old) { return old + x; });                                    \
  }
