// Maps in the order of tokens, B x positions x channels: depth-wise convolutions of several levels in one sequence, and
// sums of maps that are written channel by channel. A call, and the kernels of one instruction set.
#pragma once

#include <cstdint>

namespace mmvitdense {
namespace cpu {

constexpr int64_t kTokenBlock = 16;  // channels that are done at once
constexpr int64_t kTokenRows = 4;    // rows of a map, at most, that are done at once

// A level, and a range of its channels, with the kernel that convolves them.
struct TokenLevel {
  int64_t start, height, width;  // first token
  int64_t first, channels, side;
  const float* weight;  // side x side x channels
  const float* bias;    // channels
};

struct DepthwiseCall {
  const void* in;
  void* out;  // as `in`
  bool bfloat16;
  int gelus;  // how many follow each other
  int64_t tokens, channels;
  const TokenLevel* level;
  int64_t levels;
};

// The gradients of weights and biases.
struct DepthwiseGradients {
  const void* in;
  const void* grad;  // of the result, as `in`
  bool bfloat16;
  int64_t batch, tokens, channels;
  const TokenLevel* level;  // weight and bias are null
  float* const* out;        // of each level (side * side + 1) x channels, the last row of the bias
  int64_t levels;
};

struct SumCall {
  const float* summand[3];  // batch x height x width x channels, with strides of images
  int64_t image[3];
  int64_t summands;
  const float* small;  // batch x small_height x small_width x channels that are resized bilinearly, or null
  int64_t small_image, small_height, small_width;
  const float* gain;  // channels, or null; the sum times gains plus shifts is written
  const float* shift;
  float* out;  // batch x channels x height x width
  int64_t height, width, channels;
};

// A task is an image, a block of channels and a few rows of a level; they are counted in that order.
struct TokenMapKernels {
  void (*depthwise)(const DepthwiseCall&, int64_t begin, int64_t end);
  // A task is a block of channels and a level.
  void (*depthwise_gradients)(const DepthwiseGradients&, int64_t begin, int64_t end);
  // A task is an image and a row.
  void (*sum)(const SumCall&, int64_t begin, int64_t end);
};

inline int64_t row_blocks(const TokenLevel& level) { return (level.height + kTokenRows - 1) / kTokenRows; }
inline int64_t channel_blocks(int64_t channels) { return (channels + kTokenBlock - 1) / kTokenBlock; }

// The kernels for the processor at hand, as `kernels` in call.h.
const TokenMapKernels& token_map_kernels();

}  // namespace cpu
}  // namespace mmvitdense
