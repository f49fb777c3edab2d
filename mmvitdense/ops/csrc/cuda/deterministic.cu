// The sums of the backward in a fixed order, without atomic additions.
//
// Gradient of `value`: the samples have been sorted by the cell that they lie in. A pixel is a corner of the samples
// in the four cells around it, and goes through them one after the other.

#include "dispatch.h"

namespace mmvitdense {
namespace cuda {
namespace {

struct Place {
  int32_t level, y, x;
};

// Of a position along the S axis.
__device__ __forceinline__ Place find_place(const Arguments& a, int64_t position) {
  Place place{0, 0, 0};
  for (int i = 0; i < a.num_levels; ++i) {
    const Level& level = a.levels[i];
    const int64_t local = position - level.start;
    if (local >= 0 && local < int64_t(level.height) * level.width) {
      place = {i, static_cast<int32_t>(local / level.width), static_cast<int32_t>(local % level.width)};
    }
  }
  return place;
}

// Adds, for all samples of a cell, the gradient of the output times the weight of corner K.
template <int K, typename T, int V>
__device__ __forceinline__ void add_cell(const Arguments& a, const GatherArguments& g, int64_t cell, int32_t channel,
                                         Sum<T> (&sum)[V]) {
  using A = Sum<T>;
  const int32_t end = __ldg(g.starts + cell + 1);
  for (int32_t i = __ldg(g.starts + cell); i < end; ++i) {
    const int64_t sample = __ldg(g.order + i);
    const A* placement = static_cast<const A*>(a.placements) + 3 * sample;
    const Corners<A> weights = corner_weights(__ldg(placement + 1), __ldg(placement + 2), __ldg(placement));
    const A weight = K == 0 ? weights.w00 : K == 1 ? weights.w01 : K == 2 ? weights.w10 : weights.w11;
    const int64_t row = sample / a.samples;
    A gradient[V];
    Pack<T, V>::read(static_cast<const T*>(a.grad_output) + row * a.channels + channel).unpack(gradient);
#pragma unroll
    for (int c = 0; c < V; ++c) sum[c] += weight * gradient[c];
  }
}

// A group of G lanes for each image, position and head.
template <typename T, int V, int G>
__global__ void __launch_bounds__(kThreads) gather_kernel(const __grid_constant__ Arguments a,
                                                          const __grid_constant__ GatherArguments g) {
  const int64_t rows = a.batch * a.positions * a.heads, step = int64_t(gridDim.x) * (kThreads / G);
  for (int64_t row = int64_t(blockIdx.x) * (kThreads / G) + threadIdx.x / G; row < rows; row += step) {
    const int64_t head = row % a.heads, position = row / a.heads % a.positions, image = row / a.heads / a.positions;
    const Place place = find_place(a, position);
    const int64_t line = a.levels[place.level].width + int64_t(1);
    // The cell whose last corner is this pixel; the pixel's own cell is one line down and one to the right.
    const int64_t cell =
        (image * a.heads + head) * a.cells + a.cells_before[place.level] + place.y * line + place.x;
    for (int32_t channel = static_cast<int32_t>(threadIdx.x % G) * V; channel < a.channels; channel += G * V) {
      Sum<T> sum[V] = {};
      add_cell<3, T>(a, g, cell, channel, sum);
      add_cell<2, T>(a, g, cell + 1, channel, sum);
      add_cell<1, T>(a, g, cell + line, channel, sum);
      add_cell<0, T>(a, g, cell + line + 1, channel, sum);
      Pack<T, V>::write(sum, static_cast<T*>(g.grad_value) + row * a.channels + channel);
    }
  }
}

// One thread for each reference point; sums over what shares it.
template <typename A>
__global__ void __launch_bounds__(kThreads) reference_kernel(const __grid_constant__ Arguments a, A* grad_reference,
                                                             bool shared_by_images, bool shared_by_levels) {
  const int64_t images = shared_by_images ? 1 : a.batch, levels = shared_by_levels ? 1 : a.num_levels;
  const int64_t points = images * a.queries * levels, step = int64_t(gridDim.x) * kThreads;
  const A half_over_points = A(0.5) / a.num_points;
  for (int64_t point = int64_t(blockIdx.x) * kThreads + threadIdx.x; point < points; point += step) {
    const int64_t level = point % levels, query = point / levels % a.queries, image = point / levels / a.queries;
    A sum[4] = {};
    for (int64_t b = image; b < (shared_by_images ? a.batch : image + 1); ++b) {
      for (int64_t m = 0; m < a.heads; ++m) {
        for (int64_t l = level; l < (shared_by_levels ? a.num_levels : level + 1); ++l) {
          const A width = static_cast<A>(a.levels[l].width), height = static_cast<A>(a.levels[l].height);
          const int64_t before = m * a.samples + l * a.num_points;
          const int64_t offsets = b * a.points_batch_stride + query * a.points_query_stride + 2 * before;
          const A* pixel = static_cast<const A*>(a.pixel_gradients) +
                           2 * ((b * a.queries + query) * a.heads * a.samples + before);
          for (int i = 0; i < a.num_points; ++i, pixel += 2) {
            sum[0] += location_gradient(pixel[0], width);
            sum[1] += location_gradient(pixel[1], height);
            if (a.reference_size == 4) {
              A offset[2];
              read_pair(a.points, a.points_type, offsets + 2 * i, offset);
              sum[2] += box_extent_gradient(pixel[0], offset[0], width, half_over_points);
              sum[3] += box_extent_gradient(pixel[1], offset[1], height, half_over_points);
            }
          }
        }
      }
    }
    for (int i = 0; i < a.reference_size; ++i) grad_reference[point * a.reference_size + i] = sum[i];
  }
}

dim3 blocks_for(int64_t count, int64_t per_block) {
  const int64_t blocks = (count + per_block - 1) / per_block, most = 1 << 20;
  return dim3(static_cast<unsigned>(blocks < most ? blocks : most));
}

}  // namespace

cudaError_t launch_gather_value_gradient(const Arguments& a, const GatherArguments& g, Type storage,
                                         cudaStream_t stream) {
  return with_layout(storage, a.channels, [&](auto layout) {
    using L = decltype(layout);
    const dim3 grid = blocks_for(a.batch * a.positions * a.heads, kThreads / L::kLanes);
    return launch(&gather_kernel<typename L::Storage, L::kChannels, L::kLanes>, grid, 0, stream, a, g);
  });
}

cudaError_t launch_sum_reference_gradient(const Arguments& a, void* grad_reference, bool shared_by_images,
                                          bool shared_by_levels, Type storage, cudaStream_t stream) {
  const int64_t points = (shared_by_images ? 1 : a.batch) * a.queries * (shared_by_levels ? 1 : a.num_levels);
  const dim3 grid = blocks_for(points, kThreads);
  if (storage == Type::kDouble) {
    return launch(&reference_kernel<double>, grid, 0, stream, a, static_cast<double*>(grad_reference),
                  shared_by_images, shared_by_levels);
  }
  return launch(&reference_kernel<float>, grid, 0, stream, a, static_cast<float*>(grad_reference), shared_by_images,
                shared_by_levels);
}

}  // namespace cuda
}  // namespace mmvitdense
