// Multi-scale deformable attention, forward.

#include "dispatch.h"
#include "samples.cuh"

namespace mmvitdense {
namespace cuda {
namespace {

// What a lane hands to its group: the corners' weights, zero where there is nothing to read, the first corner, and how
// many positions further the corners below are.
template <typename A>
struct Placed {
  Corners<A> weights;
  int32_t pixel, width;
};

template <bool kFused, typename A>
__device__ __forceinline__ Placed<A> place_for_forward(const Arguments& a, const Query& q, const Softmax<A>& softmax,
                                                       int32_t i) {
  Placed<A> placed{{0, 0, 0, 0}, 0, 0};
  if (!q.exists || i >= a.samples) return placed;
  const int32_t level = i / a.num_points;
  const Sample<A> at = place<kFused, A>(a, q, i, level);
  if (!at.inside) return placed;
  const Level& map = a.levels[level];
  const CornerMask on_map = corner_mask(at, map.height, map.width);
  const Corners<A> weights = corner_weights(at.fx, at.fy, read_weight<kFused>(a, q, softmax, i));
  placed.weights.w00 = on_map.c00 ? weights.w00 : A(0);
  placed.weights.w01 = on_map.c01 ? weights.w01 : A(0);
  placed.weights.w10 = on_map.c10 ? weights.w10 : A(0);
  placed.weights.w11 = on_map.c11 ? weights.w11 : A(0);
  placed.pixel = static_cast<int32_t>(first_corner(at, map));
  placed.width = map.width;
  return placed;
}

// The weighted sum over all samples of the V channels that `value` points to, in the first pixel.
template <bool kFused, typename T, int V, int G>
__device__ __forceinline__ void sum_samples(const Arguments& a, const Query& q, const Softmax<Sum<T>>& softmax,
                                            const char* value, Sum<T> (&sum)[V]) {
  using A = Sum<T>;
  const int32_t stride = a.heads * a.channels * static_cast<int32_t>(sizeof(T));
  for (int32_t base = 0; base < a.samples; base += G) {
    const Placed<A> own = place_for_forward<kFused>(a, q, softmax, base + static_cast<int32_t>(threadIdx.x % G));
    const int32_t count = min(G, a.samples - base);
    for (int32_t j = 0; j < count; ++j) {
      const A w00 = from_lane<G>(own.weights.w00, j), w01 = from_lane<G>(own.weights.w01, j);
      const A w10 = from_lane<G>(own.weights.w10, j), w11 = from_lane<G>(own.weights.w11, j);
      const char* upper = value + wide_product(from_lane<G>(own.pixel, j), stride);
      const char* lower = upper + wide_product(from_lane<G>(own.width, j), stride);
      const auto p00 = Pack<T, V>::read_if(w00 != A(0), upper), p01 = Pack<T, V>::read_if(w01 != A(0), upper + stride);
      const auto p10 = Pack<T, V>::read_if(w10 != A(0), lower), p11 = Pack<T, V>::read_if(w11 != A(0), lower + stride);
      A v00[V], v01[V], v10[V], v11[V];
      p00.unpack(v00);
      p01.unpack(v01);
      p10.unpack(v10);
      p11.unpack(v11);
#pragma unroll
      for (int c = 0; c < V; ++c) {
        // In this form four fused multiply-adds.
        sum[c] += w00 * v00[c];
        sum[c] += w01 * v01[c];
        sum[c] += w10 * v10[c];
        sum[c] += w11 * v11[c];
      }
    }
  }
}

// With five blocks to a multiprocessor the reads of one wait behind those of the others: on an H200 7 to 10 % of the time
// in float. Numbers of eight bytes need more registers than that leaves.
template <bool kFused, typename T, int V, int G>
__global__ void __launch_bounds__(kThreads, sizeof(T) == 8 ? 1 : 5) forward_kernel(const __grid_constant__ Arguments a) {
  using A = Sum<T>;
  const int32_t lane = threadIdx.x % G, vectors = a.channels / V;
  for (int32_t image = blockIdx.z; image < a.batch; image += gridDim.z) {
    for (int32_t head = blockIdx.y; head < a.heads; head += gridDim.y) {
      const Query q = find_query<G>(a, image, head);
      Softmax<A> softmax{};
      if constexpr (kFused) softmax = row_softmax<G, A>(a, q, lane);
      const T* value = static_cast<const T*>(a.value) + (image * a.positions * a.heads + head) * int64_t(a.channels);
      for (int32_t first = 0; first < vectors; first += G) {
        // A lane without channels of its own reads the last ones again.
        const int32_t vector = min(first + lane, vectors - 1);
        A sum[V] = {};
        sum_samples<kFused, T, V, G>(a, q, softmax, reinterpret_cast<const char*>(value + vector * V), sum);
        if (q.exists && first + lane < vectors) {
          Pack<T, V>::write(sum, static_cast<T*>(a.output) + q.row * a.channels + vector * V);
        }
        if (G < 32) break;
      }
    }
  }
}

}  // namespace

cudaError_t launch_forward(const Arguments& a, Type storage, bool fused, cudaStream_t stream) {
  return with_layout(storage, a.channels, [&](auto layout) {
    using L = decltype(layout);
    const auto kernel = fused ? &forward_kernel<true, typename L::Storage, L::kChannels, L::kLanes>
                              : &forward_kernel<false, typename L::Storage, L::kChannels, L::kLanes>;
    return launch(kernel, grid_of<L::kLanes>(a), 0, stream, a);
  });
}

}  // namespace cuda
}  // namespace mmvitdense
