// What the lanes of a warp do together.
#pragma once

#include "cuda_on_cpu.h"

#define CUDA_ON_CPU_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()

namespace cuda_on_cpu {

// For shuffles, each lane says whose number it takes.
void resolve_shuffle(Warp& warp, unsigned mask);
void resolve_ballot(Warp& warp, unsigned mask);
void resolve_match(Warp& warp, unsigned mask);
void resolve_nothing(Warp& warp, unsigned mask);

// The first of the neighbours of a lane that a shuffle of this width keeps to.
int first_of(int lane, int width);

template <typename T>
uint64_t pack(T x) {
  static_assert(sizeof(T) == 2 || sizeof(T) == 4 || sizeof(T) == 8, "shuffles take 2, 4 or 8 bytes");
  uint64_t given = 0;
  std::memcpy(&given, &x, sizeof(x));
  return given;
}

template <typename T>
T unpack(uint64_t given) {
  T x;
  std::memcpy(&x, &given, sizeof(x));
  return x;
}

template <typename T>
T shuffle(const char* call, unsigned mask, T x, int source, int width, const char* file, int line) {
  return unpack<T>(meet({call, file, line}, &resolve_shuffle, mask, width, pack(x), source));
}

inline int lane() { return current->lane; }

template <typename T, typename Combine>
void resolve_reduction(Warp& warp, unsigned mask) {
  bool first = true;
  T sum{};
  for (int i = 0; i < 32; ++i) {
    if (!(mask >> i & 1)) continue;
    const T x = unpack<T>(warp.lanes[i]->given);
    sum = first ? x : Combine{}(sum, x);
    first = false;
  }
  for (int i = 0; i < 32; ++i) {
    if (mask >> i & 1) warp.lanes[i]->result = pack(sum);
  }
}

}  // namespace cuda_on_cpu

template <typename T>
T __shfl_sync(unsigned mask, T x, int source, int width = 32, CUDA_ON_CPU_SITE) {
  const int first = cuda_on_cpu::first_of(cuda_on_cpu::lane(), width);
  return cuda_on_cpu::shuffle("__shfl_sync", mask, x, first + (source & (width - 1)), width, file, line);
}
template <typename T>
T __shfl_up_sync(unsigned mask, T x, unsigned delta, int width = 32, CUDA_ON_CPU_SITE) {
  const int lane = cuda_on_cpu::lane(), source = lane - static_cast<int>(delta);
  const bool inside = source >= cuda_on_cpu::first_of(lane, width);
  return cuda_on_cpu::shuffle("__shfl_up_sync", mask, x, inside ? source : lane, width, file, line);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T x, unsigned delta, int width = 32, CUDA_ON_CPU_SITE) {
  const int lane = cuda_on_cpu::lane(), source = lane + static_cast<int>(delta);
  const bool inside = source < cuda_on_cpu::first_of(lane, width) + width;
  return cuda_on_cpu::shuffle("__shfl_down_sync", mask, x, inside ? source : lane, width, file, line);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T x, int bits, int width = 32, CUDA_ON_CPU_SITE) {
  const int lane = cuda_on_cpu::lane(), source = lane ^ bits;
  const bool inside = source < cuda_on_cpu::first_of(lane, width) + width;
  return cuda_on_cpu::shuffle("__shfl_xor_sync", mask, x, inside ? source : lane, width, file, line);
}

inline void __syncwarp(unsigned mask = 0xffffffffu, CUDA_ON_CPU_SITE) {
  cuda_on_cpu::meet({"__syncwarp", file, line}, &cuda_on_cpu::resolve_nothing, mask, 32, 0, 0);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, CUDA_ON_CPU_SITE) {
  return cuda_on_cpu::meet({"__ballot_sync", file, line}, &cuda_on_cpu::resolve_ballot, mask, 32, predicate != 0, 0);
}
inline int __any_sync(unsigned mask, int predicate, CUDA_ON_CPU_SITE) {
  return cuda_on_cpu::meet({"__any_sync", file, line}, &cuda_on_cpu::resolve_ballot, mask, 32, predicate != 0, 0) != 0;
}
inline int __all_sync(unsigned mask, int predicate, CUDA_ON_CPU_SITE) {
  return cuda_on_cpu::meet({"__all_sync", file, line}, &cuda_on_cpu::resolve_ballot, mask, 32, predicate == 0, 0) == 0;
}
template <typename T>
unsigned __match_any_sync(unsigned mask, T x, CUDA_ON_CPU_SITE) {
  return cuda_on_cpu::meet({"__match_any_sync", file, line}, &cuda_on_cpu::resolve_match, mask, 32,
                           cuda_on_cpu::pack(x), 0);
}
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
#define CUDA_ON_CPU_REDUCTION(name, change)                                                                       \
  template <typename T>                                                                                           \
  T name(unsigned mask, T x, CUDA_ON_CPU_SITE) {                                                                  \
    static_assert(std::is_integral<T>::value && sizeof(T) == 4, #name " takes int and unsigned");                 \
    struct Combine {                                                                                              \
      T operator()(T a, T b) const { return change; }                                                             \
    };                                                                                                            \
    return cuda_on_cpu::unpack<T>(cuda_on_cpu::meet(                                                              \
        {#name, file, line}, &cuda_on_cpu::resolve_reduction<T, Combine>, mask, 32, cuda_on_cpu::pack(x), 0));    \
  }
CUDA_ON_CPU_REDUCTION(__reduce_add_sync, static_cast<T>(static_cast<unsigned>(a) + static_cast<unsigned>(b)))
CUDA_ON_CPU_REDUCTION(__reduce_min_sync, b < a ? b : a)
CUDA_ON_CPU_REDUCTION(__reduce_max_sync, a < b ? b : a)
CUDA_ON_CPU_REDUCTION(__reduce_and_sync, a & b)
CUDA_ON_CPU_REDUCTION(__reduce_or_sync, a | b)
CUDA_ON_CPU_REDUCTION(__reduce_xor_sync, a ^ b)
#undef CUDA_ON_CPU_REDUCTION
#endif

inline void __syncthreads(CUDA_ON_CPU_SITE) { cuda_on_cpu::meet_block({"__syncthreads", file, line}); }
inline int __syncthreads_count(int predicate, CUDA_ON_CPU_SITE) {
  return cuda_on_cpu::count_of_block({"__syncthreads_count", file, line}, predicate != 0);
}
inline int __syncthreads_or(int predicate, CUDA_ON_CPU_SITE) {
  return cuda_on_cpu::count_of_block({"__syncthreads_or", file, line}, predicate != 0) != 0;
}
inline int __syncthreads_and(int predicate, CUDA_ON_CPU_SITE) {
  return cuda_on_cpu::count_of_block({"__syncthreads_and", file, line}, predicate == 0) == 0;
}
