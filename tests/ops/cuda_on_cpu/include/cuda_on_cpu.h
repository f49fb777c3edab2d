// CUDA's threads on a CPU: the blocks of a grid one after the other, the threads of a block as coroutines, each of which
// runs until it has to meet others, at a shuffle, a vote or a barrier. What runs is one thread of the process.
//
// A meeting takes place when all lanes of its mask have come to the same call with the same mask. Where the threads
// of a block wait and none can go on, or a lane of a mask has ended, the launch fails with a message that says who
// waits where. Which thread goes first is drawn anew for each block (`set_order`), so that results which depend on it
// differ from call to call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include "cuda_vectors.h"

namespace cuda_on_cpu {

struct Site {
  const char *call, *file;
  int line;
};

struct Warp;
// Works out what the lanes of `mask` get from what they gave, when all have come.
using Resolve = void (*)(Warp& warp, unsigned mask);

struct Thread {
  void* stack_pointer;
  char* stack;
  uint3 index;
  Warp* warp;
  int lane;
  // What it waits for; `site.call` is null where it waits for nothing.
  Site site;
  Resolve resolve;
  unsigned mask;
  int width;
  uint64_t given, result;
  int source;
};

struct Warp {
  unsigned ready, waiting, ended;  // bits of lanes
  Thread* lanes[32];
  uint64_t meetings;
  int order[32], rank[32];  // lanes in the order in which they run; the bits of `ready` are ranks
};

enum class Order { kForward, kBackward, kShuffled };

void set_order(Order order, uint64_t seed);

// Ends the launch that is running, which returns an error with this message.
[[noreturn]] void report(const std::string& message);

uint64_t meet(Site site, Resolve resolve, unsigned mask, int width, uint64_t given, int source);
void meet_block(Site site);
// As `meet_block`; the number of threads of the block that gave true.
int count_of_block(Site site, bool given);

// Memory of a block, filled with ones before it: NaN as numbers. `slot` is null at the first call for a variable.
void* shared_variable(void** slot, size_t bytes, size_t alignment);
void* dynamic_shared();

// What the declaration of a shared variable becomes.
template <typename T>
T& shared(void** slot) {
  return *static_cast<T*>(shared_variable(slot, sizeof(T), alignof(T) < 16 ? 16 : alignof(T)));
}
template <typename T>
T* dynamic_shared_as() {
  return static_cast<T*>(dynamic_shared());
}

using Body = void (*)(void*);
int run(const void* kernel, dim3 grid, dim3 block, size_t shared_bytes, Body body, void* context);
int set_shared_limit(const void* kernel, int bytes);

// What a vector instruction of the GPU demands.
inline void check_alignment(const void* address, size_t bytes, const char* call) {
  if (reinterpret_cast<uintptr_t>(address) % bytes == 0) return;
  report(std::string(call) + " of " + std::to_string(bytes) + " bytes at an address that is no multiple of them");
}

template <typename... P, size_t... I>
int launch_with_pointers(void (*kernel)(P...), dim3 grid, dim3 block, void** arguments, size_t shared_bytes,
                         std::index_sequence<I...>) {
  // As on a GPU, the kernel gets copies.
  std::tuple<std::decay_t<P>...> values(*static_cast<std::decay_t<P>*>(arguments[I])...);
  auto call = [&] { kernel(std::get<I>(values)...); };
  return run(reinterpret_cast<const void*>(kernel), grid, block, shared_bytes,
             [](void* context) { (*static_cast<decltype(call)*>(context))(); }, &call);
}

void remember(int error);

// What `kernel<<<grid, block, shared, stream>>>(...)` becomes.
template <typename... P>
auto launch_with(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared_bytes = 0, void* = nullptr) {
  return [=](std::decay_t<P>... values) {
    void* arguments[] = {&values..., nullptr};
    remember(launch_with_pointers(kernel, grid, block, arguments, shared_bytes, std::index_sequence_for<P...>{}));
  };
}

#ifdef CUDA_ON_CPU_WATCH
// One instruction; what the CPU does for it between the two is not counted.
void begin_atomic(const void* address, size_t bytes, int numbers);
void end_atomic();
#else
inline void begin_atomic(const void*, size_t, int) {}
inline void end_atomic() {}
#endif

extern Thread* current;
extern int fault;  // of kernels that are made faulty on purpose; 0 for none

}  // namespace cuda_on_cpu

// Names of CUDA.
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
constexpr int warpSize = 32;
