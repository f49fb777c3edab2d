// What the host code hands to the kernels. Plain numbers and pointers: the .cu files include nothing of torch, which
// keeps nvcc out of torch's headers.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "../ms_deform_attn.h"

namespace mmvitdense {
namespace cuda {

constexpr int kThreads = 256;   // in a block
constexpr int kMaxLevels = 64;  // they travel as kernel arguments, of which there may be 4 KB
constexpr int kStashBytes = 48 * 1024;

enum class Type : int32_t { kFloat, kDouble, kHalf, kBFloat16 };

// A sample inside its map, as far as the gradient of `value` needs it.
struct alignas(16) Record {
  float weight, fx, fy;
  int32_t row;  // along B x Q x M
};

// Tensors are contiguous and start at multiples of 16 bytes. Of `points` and `weights` only what belongs to a query has
// to be contiguous, and the points start at multiples of two numbers. `value`, `grad_output` and `output` have one
// type, the storage type; sums are double for double and float otherwise. `points` are sampling locations or offsets,
// `weights` attention weights or logits; both are of any type for float sums and double for double sums, as are the
// gradients of each. All other floating-point buffers have the type of the sums.
struct Arguments {
  int64_t queries, positions;
  int32_t batch, heads, channels, num_levels, num_points;
  int32_t samples;  // of a query and head: levels * points
  Level levels[kMaxLevels];
  // Cells before those of each level, and of an image and head; see `cells_of_level`.
  int64_t cells_before[kMaxLevels], cells;

  // Queries are the pixels of the maps raster_first ... raster_first + raster_count - 1 of `levels`, as far as their
  // number shows. Decides only which queries share a block. raster_count 0: not known.
  int32_t raster_first, raster_count;

  const void *value, *points, *weights, *grad_output;
  Type points_type, weights_type;
  // In numbers, those of the points even.
  int64_t points_batch_stride, points_query_stride, weights_batch_stride, weights_query_stride;

  // Fused op only. Strides in numbers, 0 where images or levels share the points.
  const void* reference;
  int64_t reference_batch_stride;
  int32_t reference_level_stride, reference_size;

  void* output;
  void* grad_value;  // type of the sums, zero at the start; null where the gradient of `value` is summed afterwards
  void *grad_points, *grad_weights;
  void* grad_reference;  // zero at the start; null where not wanted, and in deterministic mode
  void* stash;           // B x Q x M x samples, where `stash_fits` says no; fused backward only

  // Deterministic mode, written by the backward for the kernels of deterministic.cu; null otherwise.
  int32_t* sample_cells;  // B x Q x M x samples: which cell of which image and head the sample lies in, see `cell_of`
  void* placements;       // B x Q x M x samples x 3: attention weight, fx, fy
  void* pixel_gradients;  // B x Q x M x samples x 2; null where grad_reference is not wanted

  // Records in the order of their cells, written by the backward for the kernels of records.cu; null otherwise.
  int32_t* next_record;   // of each cell of all images and heads
  Record* records;
  int32_t* record_cells;
};

// Deterministic mode: from samples in the order of their cells to the gradient of `value`.
struct GatherArguments {
  const int64_t* order;   // samples, by cell and then by position
  const int32_t* starts;  // of each cell in `order`, and the end of the last
  void* grad_value;       // storage type
};

// From records to the gradient of `value`.
struct RecordArguments {
  const int32_t* number;  // of records, on the device
  int64_t most;           // records that there may be
  void* grad_value;       // float, zero at the start
};

// A cell is the square between four neighbouring pixels, the border around the map included: (H + 1) x (W + 1) cells
// a level. Samples outside have the number after the last cell.
MMVITDENSE_HD int64_t cells_of_level(const Level& level) {
  return (int64_t(level.height) + 1) * (int64_t(level.width) + 1);
}

inline void number_cells(Arguments& a) {
  a.cells = 0;
  for (int i = 0; i < a.num_levels; ++i) {
    a.cells_before[i] = a.cells;
    a.cells += cells_of_level(a.levels[i]);
  }
}

// Whether what a thread keeps between the two sweeps of the fused backward fits into shared memory.
bool stash_fits(const Arguments& a, Type storage);

cudaError_t launch_forward(const Arguments& a, Type storage, bool fused, cudaStream_t stream);
cudaError_t launch_backward(const Arguments& a, Type storage, bool fused, cudaStream_t stream);
// Adds to `counts`, of each cell of all images and heads, the samples that lie in it. Float sums only.
cudaError_t launch_count_samples(const Arguments& a, int32_t* counts, bool fused, cudaStream_t stream);
cudaError_t launch_sum_records(const Arguments& a, const RecordArguments& r, Type storage, cudaStream_t stream);
cudaError_t launch_gather_value_gradient(const Arguments& a, const GatherArguments& g, Type storage,
                                         cudaStream_t stream);
cudaError_t launch_sum_reference_gradient(const Arguments& a, void* grad_reference, bool shared_by_images,
                                          bool shared_by_levels, Type storage, cudaStream_t stream);

}  // namespace cuda
}  // namespace mmvitdense
