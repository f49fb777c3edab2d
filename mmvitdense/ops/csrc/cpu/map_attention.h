// Attention over the tokens of a map or inside of its windows: a call, and the kernels of one instruction set.
#pragma once

#include <cstdint>

namespace mmvitdense {
namespace cpu {

// A sequence is what attends to itself: all tokens of an image, or those of one window. Keys and values beyond the edge
// of the map are `fill`; there are no queries there.
struct AttentionCall {
  const void* qkv;  // batch x (prefix + height * width) x 3 x heads x dims
  const void* fill;  // 3 x heads x dims, or null for zeros
  const float* row_table;  // side x dims x padded(side): of query row, channel, key row; or null
  const float* column_table;
  // Biases of the offsets from a query to a key, heads x (2 * rows - 1) x (2 * columns - 1) from large negative to large
  // positive ones, and heads x 3 from tokens of the prefix to patches, back, and among themselves; or null.
  const float* offsets;
  const float* of_prefix;
  void* out;  // batch x tokens x heads x dims: without the prefix where there are windows
  char* packed;  // sequences x heads x packed_bytes
  int64_t packed_bytes;
  int64_t batch, prefix, heads, dims, height, width, window;  // window is 0 for none
  float scale;

  int64_t tokens() const { return prefix + height * width; }
  int64_t rows_of_windows() const { return window ? (height + window - 1) / window : 1; }
  int64_t columns_of_windows() const { return window ? (width + window - 1) / window : 1; }
  int64_t sequences() const { return batch * rows_of_windows() * columns_of_windows(); }
  int64_t keys() const { return window ? window * window : tokens(); }
};

// `pack` lays out keys and values of a range of (sequence, head); `attend` computes a range of
// (sequence, head, block of queries), `blocks` for each (sequence, head).
struct AttentionKernels {
  int64_t (*packed_bytes)(const AttentionCall&);
  int64_t (*blocks)(const AttentionCall&);
  void (*pack)(const AttentionCall&, int64_t begin, int64_t end);
  void (*attend)(const AttentionCall&, int64_t begin, int64_t end);
};

// Older compilers have no instructions for bfloat16.
#if defined(__x86_64__) && ((defined(__clang__) && __clang_major__ >= 9) || (!defined(__clang__) && defined(__GNUC__) && __GNUC__ >= 10))
#define MMVITDENSE_MAP_ATTENTION
namespace map_attention_avx512 {
AttentionKernels attention_kernels();
}
namespace map_attention_bfloat16 {
AttentionKernels attention_kernels();
}
#endif

}  // namespace cpu
}  // namespace mmvitdense
