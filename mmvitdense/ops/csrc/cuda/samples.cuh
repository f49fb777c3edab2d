// How the forward and the backward divide the work, and where a sample lies.
//
// A query and head belong to a group of G neighbouring lanes of a warp, each of which handles V channels. The lanes
// share the work of placing the samples: a lane places every G-th one, and the group then takes them from it, one
// after the other, by shuffles.
#pragma once

#include "numbers.cuh"

namespace mmvitdense {
namespace cuda {

constexpr unsigned kWholeWarp = 0xffffffffu;

template <int G, typename N>
__device__ __forceinline__ N from_lane(N x, int lane) {
  return __shfl_sync(kWholeWarp, x, lane, G);
}

template <int G, typename A>
__device__ __forceinline__ A group_sum(A x) {
#pragma unroll
  for (int i = G / 2; i > 0; i /= 2) x += __shfl_xor_sync(kWholeWarp, x, i, G);
  return x;
}

// Of N numbers that each lane of a group has, the sums over the lanes, for all N together: a lane gets that of number
// lane % N. A step halves the numbers that a lane has, for each it gives one away and gets one.
template <int G, int N, typename A>
__device__ __forceinline__ A shared_out_sums(A (&numbers)[N], int lane) {
#pragma unroll
  for (int half = N / 2; half > 0; half /= 2) {
    const bool upper = (lane & half) != 0;
#pragma unroll
    for (int i = 0; i < half; ++i) {
      const A kept = upper ? numbers[i + half] : numbers[i], given = upper ? numbers[i] : numbers[i + half];
      numbers[i] = kept + __shfl_xor_sync(kWholeWarp, given, half, G);
    }
  }
  A sum = numbers[0];
#pragma unroll
  for (int i = N; i < G; i *= 2) sum += __shfl_xor_sync(kWholeWarp, sum, i, G);
  return sum;
}

// A group's query and head. Groups beyond the last query stay, because shuffles want the whole warp: they have
// `exists` false and read what belongs to the last query.
struct Query {
  int64_t row;              // along B x Q x M
  int64_t points, weights;  // the first number of each
  int64_t query;
  int32_t image;
  bool exists;
};

// From image, head and query to the places of their numbers.
__device__ __forceinline__ void find_rows(const Arguments& a, int32_t head, Query& q) {
  q.row = (q.image * a.queries + q.query) * a.heads + head;
  const int64_t before = int64_t(head) * a.samples;
  q.points = q.image * a.points_batch_stride + q.query * a.points_query_stride + 2 * before;
  q.weights = q.image * a.weights_batch_stride + q.query * a.weights_query_stride + before;
}

// Neighbouring queries sample neighbouring pixels, so a block takes a tile of the map of queries, where that is known,
// and one head.
__host__ __device__ constexpr int tile_width(int groups) {
  int width = 1;
  while (width * width < groups) width *= 2;
  return width;
}

MMVITDENSE_HD int32_t tiles_across(int32_t size, int32_t tile) { return (size + tile - 1) / tile; }

template <int G>
__device__ __forceinline__ Query find_query(const Arguments& a, int32_t image, int32_t head) {
  constexpr int kGroups = kThreads / G, kWidth = tile_width(kGroups), kHeight = kGroups / kWidth;
  const int32_t group = threadIdx.x / G;
  Query q{0, 0, 0, int64_t(blockIdx.x) * kGroups + group, image, true};
  if (a.raster_count > 0) {
    int64_t start = 0;
    int32_t tile = blockIdx.x;
    for (int i = a.raster_first; i < a.raster_first + a.raster_count; ++i) {
      const int32_t height = a.levels[i].height, width = a.levels[i].width;
      const int32_t across = tiles_across(width, kWidth), tiles = across * tiles_across(height, kHeight);
      if (tile < tiles) {
        const int32_t y = tile / across * kHeight + group / kWidth, x = tile % across * kWidth + group % kWidth;
        q.exists = y < height && x < width;
        q.query = start + int64_t(y) * width + x;
        break;
      }
      tile -= tiles;
      start += int64_t(height) * width;
    }
  }
  q.exists = q.exists && q.query < a.queries;
  if (!q.exists) q.query = a.queries - 1;
  find_rows(a, head, q);
  return q;
}

// One block for each tile of queries, head and image, images last: what runs at the same time shares the L2 cache.
template <int G>
dim3 grid_of(const Arguments& a) {
  constexpr int kGroups = kThreads / G, kWidth = tile_width(kGroups), kHeight = kGroups / kWidth;
  int64_t tiles = a.raster_count > 0 ? 0 : (a.queries + kGroups - 1) / kGroups;
  for (int i = a.raster_first; i < a.raster_first + a.raster_count; ++i) {
    tiles += int64_t(tiles_across(a.levels[i].height, kHeight)) * tiles_across(a.levels[i].width, kWidth);
  }
  const int32_t most = 65535;
  return dim3(static_cast<unsigned>(tiles), a.heads < most ? a.heads : most, a.batch < most ? a.batch : most);
}

// Weights are exp(logit - maximum) * scale.
template <typename A>
struct Softmax {
  A maximum, scale;
};

template <int G, typename A>
__device__ __forceinline__ Softmax<A> row_softmax(const Arguments& a, const Query& q, int lane) {
  A maximum = -INFINITY, sum = 0;
  for (int i = lane; i < a.samples; i += G) {
    maximum = fmax(maximum, read_number<A>(a.weights, a.weights_type, q.weights + i));
  }
#pragma unroll
  for (int i = G / 2; i > 0; i /= 2) maximum = fmax(maximum, __shfl_xor_sync(kWholeWarp, maximum, i, G));
  for (int i = lane; i < a.samples; i += G) {
    sum += exp(read_number<A>(a.weights, a.weights_type, q.weights + i) - maximum);
  }
  return {maximum, A(1) / group_sum<G>(sum)};
}

template <bool kFused, typename A>
__device__ __forceinline__ A read_weight(const Arguments& a, const Query& q, const Softmax<A>& softmax, int32_t i) {
  const A number = read_number<A>(a.weights, a.weights_type, q.weights + i);
  return kFused ? exp(number - softmax.maximum) * softmax.scale : number;
}

// The reference point or box of a query on a level.
template <typename A>
__device__ __forceinline__ const A* reference_of(const Arguments& a, const Query& q, int32_t level) {
  const int64_t levels = a.reference_level_stride > 0 ? a.num_levels : 1;
  return static_cast<const A*>(a.reference) + q.image * a.reference_batch_stride +
         q.query * levels * a.reference_size + level * a.reference_level_stride;
}

template <bool kFused, typename A>
__device__ __forceinline__ Sample<A> place(const Arguments& a, const Query& q, int32_t i, int32_t level_index) {
  const Level& level = a.levels[level_index];
  const A width = static_cast<A>(level.width), height = static_cast<A>(level.height);
  A point[2];
  read_pair(a.points, a.points_type, q.points + 2 * i, point);
  A x, y;
  if constexpr (!kFused) {
    x = pixel_from_location(point[0], width);
    y = pixel_from_location(point[1], height);
  } else {
    const A* reference = reference_of<A>(a, q, level_index);
    if (a.reference_size == 2) {
      x = pixel_from_point(__ldg(reference), point[0], width);
      y = pixel_from_point(__ldg(reference + 1), point[1], height);
    } else {
      const A half_over_points = A(0.5) / a.num_points;
      x = pixel_from_box(__ldg(reference), __ldg(reference + 2), point[0], width, half_over_points);
      y = pixel_from_box(__ldg(reference + 1), __ldg(reference + 3), point[1], height, half_over_points);
    }
  }
  return locate(x, y, level.height, level.width);
}

// The cell, of all images and heads, of a sample that is inside.
template <typename A>
__device__ __forceinline__ int64_t cell_of(const Arguments& a, const Query& q, int32_t head, const Sample<A>& at,
                                           int32_t level) {
  return (q.image * int64_t(a.heads) + head) * a.cells + a.cells_before[level] +
         (at.y0 + int64_t(1)) * (a.levels[level].width + 1) + (at.x0 + 1);
}

}  // namespace cuda
}  // namespace mmvitdense
