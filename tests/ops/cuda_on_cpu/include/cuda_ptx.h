// What the instructions of PTX become that ptx.py translates.
#pragma once

#include "cuda_bf16.h"
#include "cuda_fp16.h"

namespace cuda_on_cpu {

// A register as a type: its bits where sizes are equal.
template <typename To, typename From>
To as(From x) {
  if constexpr (std::is_pointer<From>::value) {
    return static_cast<To>(reinterpret_cast<uintptr_t>(x));
  } else if constexpr (sizeof(To) == sizeof(From)) {
    return bits<To>(x);
  } else {
    static_assert(std::is_integral<To>::value && std::is_integral<From>::value, "sizes differ");
    return static_cast<To>(x);
  }
}

template <typename To, typename From>
void set(To& x, From y) {
  x = as<To>(y);
}

template <typename T, int N>
struct alignas(sizeof(T) * N) Words {
  T words[N];
};

template <typename T, int N>
Words<T, N> load(uint64_t address, const char* call) {
  const auto* words = reinterpret_cast<const Words<T, N>*>(address);
  check_alignment(words, sizeof(*words), call);
  return *words;
}

template <typename T, int N>
void store(uint64_t address, Words<T, N> x, const char* call) {
  auto* words = reinterpret_cast<Words<T, N>*>(address);
  check_alignment(words, sizeof(*words), call);
  *words = x;
}

// Returns what was there before. `kNumbers` of each word: two of a pair of 16-bit numbers.
template <typename T, int N, int kNumbers, typename Change>
Words<T, N> change(uint64_t address, Words<T, N> x, Change change_one) {
  return atomically(reinterpret_cast<Words<T, N>*>(address), N * kNumbers, [&](Words<T, N> old) {
    for (int i = 0; i < N; ++i) old.words[i] = change_one(old.words[i], x.words[i]);
    return old;
  });
}

}  // namespace cuda_on_cpu
