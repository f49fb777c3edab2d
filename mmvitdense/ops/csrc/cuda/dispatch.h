// From types and sizes known at run time to the kernel compiled for them.
#pragma once

#include "numbers.cuh"

namespace mmvitdense {
namespace cuda {

// How a kernel is compiled: storage type, channels of a lane, lanes of a group. Fewer lanes than the channels need
// means that each goes over several vectors; only groups of a whole warp may.
template <typename T, int V, int G>
struct Layout {
  using Storage = T;
  static constexpr int kChannels = V, kLanes = G;
};

// Calls `function` with the layout for `channels` channels of type T: 16 bytes a lane and the fewest lanes that cover
// them, which is exact for 16, 32 and 64 channels. Channels that do not divide go one to a lane.
template <typename T, typename Function>
auto with_layout(int32_t channels, const Function& function) {
  constexpr int V = kVector<T>;
  if (channels % V != 0) return function(Layout<T, 1, 32>{});
  const int32_t vectors = channels / V;
  if constexpr (sizeof(T) == 2) {
    if (vectors <= 2) return function(Layout<T, V, 2>{});
  }
  if constexpr (sizeof(T) <= 4) {
    if (vectors <= 4) return function(Layout<T, V, 4>{});
  }
  if (vectors <= 8) return function(Layout<T, V, 8>{});
  if constexpr (sizeof(T) <= 4) {
    if (vectors <= 16) return function(Layout<T, V, 16>{});
  }
  return function(Layout<T, V, 32>{});
}

template <typename Function>
auto with_layout(Type storage, int32_t channels, const Function& function) {
  switch (storage) {
    case Type::kDouble:
      return with_layout<double>(channels, function);
    case Type::kHalf:
      return with_layout<__half>(channels, function);
    case Type::kBFloat16:
      return with_layout<__nv_bfloat16>(channels, function);
    default:
      return with_layout<float>(channels, function);
  }
}

// Returns the error of the launch; the caller raises it.
template <typename... Values>
cudaError_t launch(void (*kernel)(Values...), dim3 grid, size_t shared_bytes, cudaStream_t stream, Values... values) {
  void* arguments[] = {&values...};
  return cudaLaunchKernel(reinterpret_cast<const void*>(kernel), grid, dim3(kThreads), arguments, shared_bytes, stream);
}

}  // namespace cuda
}  // namespace mmvitdense
