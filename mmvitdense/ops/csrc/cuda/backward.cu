// Multi-scale deformable attention, backward: gradients of points and weights, and of values by atomic additions or by
// what it leaves for the kernels of records.cu, or in deterministic mode those of deterministic.cu.

#include "dispatch.h"
#include "samples.cuh"

namespace mmvitdense {
namespace cuda {

extern __shared__ __align__(16) unsigned char shared_stash[];

namespace {

// How the gradient of `value` is summed.
enum class ValueSums { kAtomic, kAfterwards };

// What a lane hands to its group; the corners below are `width` positions further. The corners on the map are bits 0 to
// 3 of `on_map`, none for a sample outside.
template <typename A>
struct Placed {
  A weight, fx, fy;
  int32_t pixel, width, on_map;
};

// Leaves what the gradient of `value` needs of a sample.
template <typename A>
__device__ __forceinline__ void leave(const Arguments& a, const Query& q, int32_t head, const Sample<A>& at,
                                      int32_t level, int64_t sample, const Placed<A>& placed) {
  if constexpr (std::is_same<A, float>::value) {
    if (a.records != nullptr) {
      if (!at.inside) return;
      const int32_t cell = static_cast<int32_t>(cell_of(a, q, head, at, level));
      const int32_t i = atomicAdd(a.next_record + cell, 1);
      a.records[i] = {placed.weight, placed.fx, placed.fy, static_cast<int32_t>(q.row)};
      a.record_cells[i] = cell;
      return;
    }
  }
  a.sample_cells[sample] =
      static_cast<int32_t>(at.inside ? cell_of(a, q, head, at, level) : a.cells * a.batch * a.heads);
  A* placement = static_cast<A*>(a.placements) + 3 * sample;
  placement[0] = placed.weight;
  placement[1] = placed.fx;
  placement[2] = placed.fy;
}

template <bool kFused, ValueSums kSums, typename A>
__device__ __forceinline__ Placed<A> place_for_backward(const Arguments& a, const Query& q, int32_t head,
                                                        const Softmax<A>& softmax, int32_t i) {
  Placed<A> placed{0, 0, 0, 0, 0, 0};
  if (!q.exists || i >= a.samples) return placed;
  const int32_t level = i / a.num_points;
  const Level& map = a.levels[level];
  const Sample<A> at = place<kFused, A>(a, q, i, level);
  placed.weight = read_weight<kFused>(a, q, softmax, i);
  placed.fx = at.fx;
  placed.fy = at.fy;
  if (at.inside) {
    const CornerMask on_map = corner_mask(at, map.height, map.width);
    placed.on_map = on_map.c00 | on_map.c01 << 1 | on_map.c10 << 2 | on_map.c11 << 3;
    placed.pixel = static_cast<int32_t>(first_corner(at, map));
    placed.width = map.width;
  }
  if constexpr (kSums == ValueSums::kAfterwards) leave(a, q, head, at, level, q.row * a.samples + i, placed);
  return placed;
}

// Of the row of `grad_output` of a query and head, the part that G lanes take at once: G * V channels.
//
// For the dot products with `value`, a lane has the V channels that it also reads of `value`. For the additions it has
// others: those with which the lanes of a group add to neighbouring addresses by each instruction.
template <ValueSums kSums, typename T, int V, int G>
struct GradientRow {
  using A = Sum<T>;
  A for_dots[V], for_sums[V];

  // The first of the lane's channels in an addition, counted from the first of the part.
  static __device__ __forceinline__ int32_t channel_of_step(int step, int32_t lane) {
    return (step * G + lane) * kAddedTogether<A, V>;
  }

  __device__ __forceinline__ void read(const T* row, int32_t lane, int32_t channels) {
    Pack<T, V>::read_if(lane * V < channels, row + lane * V).unpack(for_dots);
    if constexpr (kSums == ValueSums::kAtomic) {
      constexpr int kStep = kAddedTogether<A, V>;
#pragma unroll
      for (int step = 0; step < V / kStep; ++step) {
#pragma unroll
        for (int i = 0; i < kStep; ++i) {
          const int32_t channel = channel_of_step(step, lane) + i;
          for_sums[step * kStep + i] = channel < channels ? widen(row[channel]) : A(0);
        }
      }
    }
  }

  // Adds the row, times `factor`, to what begins at `address`.
  __device__ __forceinline__ void add(A* address, A factor, int32_t lane, int32_t channels) const {
    constexpr int kStep = kAddedTogether<A, V>;
#pragma unroll
    for (int step = 0; step < V / kStep; ++step) {
      const int32_t channel = channel_of_step(step, lane);
      if (channel < channels) add_products<kStep>(address + channel, for_sums + step * kStep, factor);
    }
  }
};

// The lane's share of the four dot products <grad_output, value>.
template <typename T, int V>
__device__ __forceinline__ void add_dots(const T* value, const int64_t (&corners)[4], int32_t on_map,
                                         const Sum<T> (&gradient)[V], Sum<T> (&dots)[4]) {
  Pack<T, V> packs[4];
#pragma unroll
  for (int k = 0; k < 4; ++k) packs[k] = Pack<T, V>::read_if(on_map >> k & 1, value + corners[k]);
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    Sum<T> numbers[V];
    packs[k].unpack(numbers);
#pragma unroll
    for (int c = 0; c < V; ++c) dots[k] += gradient[c] * numbers[c];
  }
}

// Gradients of offset and reference from that of the pixel coordinates.
template <typename A>
__device__ __forceinline__ void write_fused_gradients(const Arguments& a, const Query& q, int32_t i, A x, A y) {
  const int64_t sample = q.row * a.samples + i;
  const int32_t level = i / a.num_points;
  const A width = static_cast<A>(a.levels[level].width), height = static_cast<A>(a.levels[level].height);
  const A* reference = reference_of<A>(a, q, level);
  const int64_t position = reference - static_cast<const A*>(a.reference);
  const A half_over_points = A(0.5) / a.num_points;
  if (a.reference_size == 2) {
    write_pair(a.grad_points, a.points_type, sample, x, y);
  } else {
    write_pair(a.grad_points, a.points_type, sample,
               box_offset_gradient(x, __ldg(reference + 2), width, half_over_points),
               box_offset_gradient(y, __ldg(reference + 3), height, half_over_points));
  }
  if (a.pixel_gradients != nullptr) Pack<A, 2>::write({x, y}, static_cast<A*>(a.pixel_gradients) + 2 * sample);
  if (a.grad_reference == nullptr) return;
  A* target = static_cast<A*>(a.grad_reference) + position;
  add_to(target, location_gradient(x, width));
  add_to(target + 1, location_gradient(y, height));
  if (a.reference_size == 4) {
    A offset[2];
    read_pair(a.points, a.points_type, q.points + 2 * i, offset);
    add_to(target + 2, box_extent_gradient(x, offset[0], width, half_over_points));
    add_to(target + 3, box_extent_gradient(y, offset[1], height, half_over_points));
  }
}

template <typename A>
__device__ __forceinline__ void write_gradients(const Arguments& a, const Query& q, int32_t i,
                                                const SampleGradient<A>& gradient) {
  const int64_t sample = q.row * a.samples + i;
  const Level& map = a.levels[i / a.num_points];
  write_number(a.grad_weights, a.weights_type, sample, gradient.weight);
  write_pair(a.grad_points, a.points_type, sample, location_gradient(gradient.x, static_cast<A>(map.width)),
             location_gradient(gradient.y, static_cast<A>(map.height)));
}

// Where a lane of the fused backward keeps the gradients of its weights until their sum over the row is known. Only
// the lane itself comes back to them.
template <int G, typename A>
struct Stash {
  A* first;
  int32_t step;

  __device__ __forceinline__ Stash(const Arguments& a, const Query& q, int32_t lane)
      : first(a.stash != nullptr ? static_cast<A*>(a.stash) + q.row * a.samples + lane
                                 : reinterpret_cast<A*>(shared_stash) + threadIdx.x),
        step(a.stash != nullptr ? G : kThreads) {}

  __device__ __forceinline__ A& at(int32_t round) const { return first[int64_t(round) * step]; }
};

// The lane's share of the gradient of one sample, and its additions to the gradient of `value`. `value` and
// `grad_value` point to the first channel of the head in the first pixel.
template <ValueSums kSums, typename T, int V, int G>
__device__ __forceinline__ SampleGradient<Sum<T>> visit_sample(const Arguments& a, const Placed<Sum<T>>& s,
                                                               const T* value, Sum<T>* grad_value, const T* grad_output,
                                                               GradientRow<kSums, T, V, G>& gradient) {
  using A = Sum<T>;
  const int32_t lane = threadIdx.x % G, stride = a.heads * a.channels;
  const int64_t first = wide_product(s.pixel, stride), lower = first + wide_product(s.width, stride);
  const int64_t corners[4] = {first, first + stride, lower, lower + stride};
  A dots[4] = {};
  for (int32_t start = 0; start < a.channels; start += G * V) {
    const int32_t channels = a.channels - start;
    if (G == 32 && a.channels > G * V) gradient.read(grad_output + start, lane, channels);
    // A lane without channels of its own reads nothing.
    add_dots<T, V>(value + start + lane * V, corners, lane * V < channels ? s.on_map : 0, gradient.for_dots, dots);
    if constexpr (kSums == ValueSums::kAtomic) {
      const Corners<A> shares = corner_weights(s.fx, s.fy, s.weight);
      const A weights[4] = {shares.w00, shares.w01, shares.w10, shares.w11};
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        if (s.on_map >> k & 1) gradient.add(grad_value + start + corners[k], weights[k], lane, channels);
      }
    }
    if (G < 32) break;
  }
  return sample_gradient(s.fx, s.fy, s.weight, Corners<A>{dots[0], dots[1], dots[2], dots[3]});
}

// Samples whose sums over the lanes of a group are taken together.
template <int G>
constexpr int kTogether = G < 4 ? G : 4;

// The gradients of the samples that the lanes of the group have placed, each in its lane.
template <ValueSums kSums, typename T, int V, int G>
__device__ __forceinline__ SampleGradient<Sum<T>> visit_samples(const Arguments& a, const Placed<Sum<T>>& own,
                                                                int32_t count, const T* value, Sum<T>* grad_value,
                                                                const T* grad_output,
                                                                GradientRow<kSums, T, V, G>& gradient) {
  using A = Sum<T>;
  constexpr int N = kTogether<G>;
  const int32_t lane = threadIdx.x % G;
  SampleGradient<A> own_gradient{0, 0, 0};
  for (int32_t first = 0; first < count; first += N) {
    A weights[N], x[N], y[N];
#pragma unroll
    for (int i = 0; i < N; ++i) {
      // What lies beyond the last sample has no corner on the map.
      const int32_t j = first + i;
      const Placed<A> s{from_lane<G>(own.weight, j), from_lane<G>(own.fx, j),    from_lane<G>(own.fy, j),
                        from_lane<G>(own.pixel, j),  from_lane<G>(own.width, j), from_lane<G>(own.on_map, j)};
      const SampleGradient<A> part = visit_sample<kSums>(a, s, value, grad_value, grad_output, gradient);
      weights[i] = part.weight;
      x[i] = part.x;
      y[i] = part.y;
    }
    const SampleGradient<A> sums{shared_out_sums<G>(weights, lane), shared_out_sums<G>(x, lane),
                                 shared_out_sums<G>(y, lane)};
    if (lane / N == first / N) own_gradient = sums;
  }
  return own_gradient;
}

template <bool kFused, ValueSums kSums, typename T, int V, int G>
__device__ __forceinline__ void backward_of_query(const Arguments& a, const Query& q, int32_t head) {
  using A = Sum<T>;
  const int32_t lane = threadIdx.x % G;
  const int64_t channel = (q.image * a.positions * a.heads + head) * int64_t(a.channels);
  const T* value = static_cast<const T*>(a.value) + channel;
  A* grad_value = a.grad_value == nullptr ? nullptr : static_cast<A*>(a.grad_value) + channel;
  const T* grad_output = static_cast<const T*>(a.grad_output) + q.row * a.channels;

  Softmax<A> softmax{};
  if constexpr (kFused) softmax = row_softmax<G, A>(a, q, lane);
  const Stash<G, A> stash(a, q, lane);
  A row_sum = 0;
  GradientRow<kSums, T, V, G> gradient;
  gradient.read(grad_output, lane, a.channels);

  for (int32_t base = 0; base < a.samples; base += G) {
    const Placed<A> own = place_for_backward<kFused, kSums>(a, q, head, softmax, base + lane);
    const SampleGradient<A> own_gradient =
        visit_samples(a, own, min(G, a.samples - base), value, grad_value, grad_output, gradient);
    if (!q.exists || base + lane >= a.samples) continue;
    if constexpr (kFused) {
      write_fused_gradients(a, q, base + lane, own_gradient.x, own_gradient.y);
      stash.at(base / G) = own_gradient.weight;
      row_sum += own.weight * own_gradient.weight;
    } else {
      write_gradients(a, q, base + lane, own_gradient);
    }
  }
  if constexpr (kFused) {
    row_sum = group_sum<G>(row_sum);
    for (int32_t i = lane; q.exists && i < a.samples; i += G) {
      const int64_t sample = q.row * a.samples + i;
      const A weight = read_weight<true>(a, q, softmax, i);
      write_number(a.grad_weights, a.weights_type, sample, logit_gradient(weight, stash.at(i / G), row_sum));
    }
  }
}

template <bool kFused, ValueSums kSums, typename T, int V, int G>
__global__ void __launch_bounds__(kThreads, 3) backward_kernel(const __grid_constant__ Arguments a) {
  for (int32_t image = blockIdx.z; image < a.batch; image += gridDim.z) {
    for (int32_t head = blockIdx.y; head < a.heads; head += gridDim.y) {
      backward_of_query<kFused, kSums, T, V, G>(a, find_query<G>(a, image, head), head);
    }
  }
}

template <typename L>
size_t stash_bytes(const Arguments& a) {
  return (a.samples + L::kLanes - 1) / L::kLanes * size_t(kThreads) * sizeof(Sum<typename L::Storage>);
}

template <ValueSums kSums, typename L>
auto kernel_for(bool fused) {
  return fused ? &backward_kernel<true, kSums, typename L::Storage, L::kChannels, L::kLanes>
               : &backward_kernel<false, kSums, typename L::Storage, L::kChannels, L::kLanes>;
}

}  // namespace

bool stash_fits(const Arguments& a, Type storage) {
  return with_layout(storage, a.channels, [&](auto layout) { return stash_bytes<decltype(layout)>(a) <= kStashBytes; });
}

cudaError_t launch_backward(const Arguments& a, Type storage, bool fused, cudaStream_t stream) {
  return with_layout(storage, a.channels, [&](auto layout) {
    using L = decltype(layout);
    const auto kernel = a.grad_value != nullptr ? kernel_for<ValueSums::kAtomic, L>(fused)
                                                : kernel_for<ValueSums::kAfterwards, L>(fused);
    return launch(kernel, grid_of<L::kLanes>(a), fused && a.stash == nullptr ? stash_bytes<L>(a) : 0, stream, a);
  });
}

}  // namespace cuda
}  // namespace mmvitdense
