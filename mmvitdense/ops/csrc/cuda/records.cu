// The gradient of `value` where many samples lie between the same pixels: instead of four atomic additions of a whole row
// of `grad_output` for each sample, the samples are put in the order of the cells that they lie in, and the additions
// are those of a cell.
//
// 1. `count_kernel` counts the samples of each cell; sums over the counts say where the records of a cell begin.
// 2. The backward writes the record of each sample into its cell, at the place that an atomic counter gives it.
// 3. `sum_kernel` goes through the records, a group of lanes for each kRecords of them, and sums the four corners of a
//    cell in registers. Those on the right are the left ones of the next cell.

#include "dispatch.h"
#include "samples.cuh"

namespace mmvitdense {
namespace cuda {
namespace {

// Of a group of lanes, one after the other; so a cell that holds most samples does not hold up a single group.
constexpr int kRecords = 32;
// Read before the first is used, so that their reads do not wait for each other.
constexpr int kAhead = 4;

template <bool kFused>
__global__ void __launch_bounds__(kThreads) count_kernel(const __grid_constant__ Arguments a, int32_t* counts) {
  const int64_t sample = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  if (sample >= a.batch * a.queries * a.heads * a.samples) return;
  // There are fewer than 2^31, and 32 bits divide faster.
  const int32_t row = static_cast<int32_t>(sample) / a.samples, i = static_cast<int32_t>(sample) % a.samples;
  const int32_t head = row % a.heads, queries = static_cast<int32_t>(a.queries), query = row / a.heads;
  Query q{0, 0, 0, query % queries, query / queries, true};
  find_rows(a, head, q);
  const int32_t level = i / a.num_points;
  const Sample<float> at = place<kFused, float>(a, q, i, level);
  if (at.inside) atomicAdd(counts + cell_of(a, q, head, at, level), 1);
}

// The four pixels around a cell: which are on the map, and where the first begins in the gradient of `value`.
struct Square {
  int64_t first, below;  // `below` numbers further the lower two
  int32_t x0;            // -1 for the first cell of a line
  bool left, right, top, bottom;
};

__device__ __forceinline__ Square find_square(const Arguments& a, int32_t cell) {
  const int32_t cells = static_cast<int32_t>(a.cells), head_of_image = cell / cells;
  int32_t local = cell % cells, level = 0;
  while (level + 1 < a.num_levels && local >= a.cells_before[level + 1]) ++level;
  local -= static_cast<int32_t>(a.cells_before[level]);
  const Level& map = a.levels[level];
  const int32_t y0 = local / (map.width + 1) - 1, x0 = local % (map.width + 1) - 1;
  const int64_t image = head_of_image / a.heads, head = head_of_image % a.heads;
  const int64_t pixel = image * a.positions + map.start + int64_t(y0) * map.width + x0;
  return {(pixel * a.heads + head) * a.channels,
          int64_t(map.width) * a.heads * a.channels,
          x0,
          x0 >= 0,
          x0 + 1 < map.width,
          y0 >= 0,
          y0 + 1 < map.height};
}

template <int V>
__device__ __forceinline__ void add_channels(float* address, const float (&sums)[V]) {
  constexpr int kStep = kAddedTogether<float, V>;
#pragma unroll
  for (int c = 0; c < V; c += kStep) add_products<kStep>(address + c, sums + c, 1.0f);
}

// The sums at the corners of one cell, of a lane's V channels.
template <int V>
struct CellSums {
  float s00[V] = {}, s01[V] = {}, s10[V] = {}, s11[V] = {};

  __device__ __forceinline__ void add(const Record& record, const float (&gradient)[V]) {
    const Corners<float> w = corner_weights(record.fx, record.fy, record.weight);
#pragma unroll
    for (int c = 0; c < V; ++c) {
      s00[c] += w.w00 * gradient[c];
      s01[c] += w.w01 * gradient[c];
      s10[c] += w.w10 * gradient[c];
      s11[c] += w.w11 * gradient[c];
    }
  }

  __device__ __forceinline__ void give_left(const Square& square, float* target) const {
    if (square.left && square.top) add_channels(target + square.first, s00);
    if (square.left && square.bottom) add_channels(target + square.first + square.below, s10);
  }

  __device__ __forceinline__ void give_right(const Arguments& a, const Square& square, float* target) const {
    float* right = target + square.first + int64_t(a.heads) * a.channels;
    if (square.right && square.top) add_channels(right, s01);
    if (square.right && square.bottom) add_channels(right + square.below, s11);
  }

  __device__ __forceinline__ void move_right() {
#pragma unroll
    for (int c = 0; c < V; ++c) {
      s00[c] = s01[c];
      s10[c] = s11[c];
      s01[c] = s11[c] = 0;
    }
  }
};

// The V channels from `channel` on, of the records first ... end - 1.
template <typename T, int V>
__device__ __forceinline__ void sum_records(const Arguments& a, int32_t first, int32_t end, int32_t channel,
                                            float* target) {
  const T* gradients = static_cast<const T*>(a.grad_output) + channel;
  target += channel;
  int32_t cell = __ldg(a.record_cells + first);
  Square square = find_square(a, cell);
  CellSums<V> sums;
  for (; first < end; first += kAhead) {
    Record records[kAhead];
    int32_t cells[kAhead];
    Pack<T, V> packs[kAhead];
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      const int32_t at = min(first + i, end - 1);
      const auto bits = __ldg(reinterpret_cast<const float4*>(a.records + at));
      records[i] = {bits.x, bits.y, bits.z, __float_as_int(bits.w)};
      cells[i] = __ldg(a.record_cells + at);
    }
#pragma unroll
    for (int i = 0; i < kAhead; ++i) packs[i] = Pack<T, V>::read(gradients + int64_t(records[i].row) * a.channels);
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      if (first + i >= end) break;
      if (cells[i] != cell) {
        const Square next = find_square(a, cells[i]);
        sums.give_left(square, target);
        if (cells[i] != cell + 1 || next.x0 < 0) {
          sums.give_right(a, square, target);
          sums.move_right();
        }
        sums.move_right();
        cell = cells[i];
        square = next;
      }
      float gradient[V];
      packs[i].unpack(gradient);
      sums.add(records[i], gradient);
    }
  }
  sums.give_left(square, target);
  sums.give_right(a, square, target);
}

template <typename T, int V, int G>
__global__ void __launch_bounds__(kThreads) sum_kernel(const __grid_constant__ Arguments a,
                                                       const __grid_constant__ RecordArguments r) {
  const int64_t first = (int64_t(blockIdx.x) * (kThreads / G) + threadIdx.x / G) * kRecords;
  const int32_t number = __ldg(r.number);
  if (first >= number) return;
  const int32_t end = static_cast<int32_t>(min(first + kRecords, int64_t(number)));
  for (int32_t channel = static_cast<int32_t>(threadIdx.x % G) * V; channel < a.channels; channel += G * V) {
    sum_records<T, V>(a, static_cast<int32_t>(first), end, channel, static_cast<float*>(r.grad_value));
  }
}

template <typename T>
cudaError_t launch_sum(const Arguments& a, const RecordArguments& r, cudaStream_t stream) {
  const auto with = [&](auto layout) {
    using L = decltype(layout);
    const int64_t groups = (r.most + kRecords - 1) / kRecords, per_block = kThreads / L::kLanes;
    const dim3 grid(static_cast<unsigned>((groups + per_block - 1) / per_block));
    return launch(&sum_kernel<T, L::kChannels, L::kLanes>, grid, 0, stream, a, r);
  };
  // Four channels a lane whatever their type: what is added has four bytes each.
  if (a.channels % 4 != 0) return with(Layout<T, 1, 32>{});
  if (a.channels <= 16) return with(Layout<T, 4, 4>{});
  if (a.channels <= 32) return with(Layout<T, 4, 8>{});
  if (a.channels <= 64) return with(Layout<T, 4, 16>{});
  return with(Layout<T, 4, 32>{});
}

}  // namespace

cudaError_t launch_count_samples(const Arguments& a, int32_t* counts, bool fused, cudaStream_t stream) {
  const int64_t samples = a.batch * a.queries * a.heads * a.samples;
  const dim3 grid(static_cast<unsigned>((samples + kThreads - 1) / kThreads));
  return launch(fused ? &count_kernel<true> : &count_kernel<false>, grid, 0, stream, a, counts);
}

cudaError_t launch_sum_records(const Arguments& a, const RecordArguments& r, Type storage, cudaStream_t stream) {
  switch (storage) {
    case Type::kHalf:
      return launch_sum<__half>(a, r, stream);
    case Type::kBFloat16:
      return launch_sum<__nv_bfloat16>(a, r, stream);
    default:
      return launch_sum<float>(a, r, stream);
  }
}

}  // namespace cuda
}  // namespace mmvitdense
