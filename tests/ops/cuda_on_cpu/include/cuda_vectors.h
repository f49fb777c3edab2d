// Vector types, aligned as CUDA's.
#pragma once

#include <cstdint>

#define CUDA_ON_CPU_VECTORS(name, type)                                                                            \
  struct name##1 { type x; };                                                                                      \
  struct alignas(2 * sizeof(type)) name##2 { type x, y; };                                                         \
  struct name##3 { type x, y, z; };                                                                                \
  struct alignas(4 * sizeof(type) < 16 ? 4 * sizeof(type) : 16) name##4 { type x, y, z, w; };                      \
  inline name##1 make_##name##1(type x) { return {x}; }                                                            \
  inline name##2 make_##name##2(type x, type y) { return {x, y}; }                                                 \
  inline name##3 make_##name##3(type x, type y, type z) { return {x, y, z}; }                                      \
  inline name##4 make_##name##4(type x, type y, type z, type w) { return {x, y, z, w}; }

CUDA_ON_CPU_VECTORS(char, signed char)
CUDA_ON_CPU_VECTORS(uchar, unsigned char)
CUDA_ON_CPU_VECTORS(short, short)
CUDA_ON_CPU_VECTORS(ushort, unsigned short)
CUDA_ON_CPU_VECTORS(int, int)
CUDA_ON_CPU_VECTORS(uint, unsigned int)
CUDA_ON_CPU_VECTORS(long, long)
CUDA_ON_CPU_VECTORS(ulong, unsigned long)
CUDA_ON_CPU_VECTORS(longlong, long long)
CUDA_ON_CPU_VECTORS(ulonglong, unsigned long long)
CUDA_ON_CPU_VECTORS(float, float)
CUDA_ON_CPU_VECTORS(double, double)
#undef CUDA_ON_CPU_VECTORS

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
