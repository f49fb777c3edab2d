// 3x3 convolutions by Winograd's F(4x4, 3x3): a call, and the kernels of one instruction set.
#pragma once

#include <cstdint>

namespace mmvitdense {
namespace cpu {

// A row of tiles is 4 rows of the output of one image, and reads 6 of the input. Tensors are addressed by strides in
// numbers, so that both layouts of maps will do; one of `channel` and `column` is 1.
struct WinogradMap {
  int64_t images, channels, height, width;
  int64_t image, channel, row, column;  // strides
};

struct WinogradInput {
  const float* maps;
  WinogradMap shape;
  int64_t padding, rows_of_tiles, tiles_in_row;  // of an image
  int64_t first, count;  // rows of tiles of all images that are transformed
  float* out;  // 36 matrices of (count * tiles_in_row) x channels, `distance` apart
  int64_t distance;
};

struct WinogradOutput {
  const float* products[36];  // (count * tiles_in_row) x channels
  const float* bias;  // channels, or null
  bool relu;
  float* maps;
  WinogradMap shape;
  int64_t rows_of_tiles, tiles_in_row;
  int64_t first, count;
};

// Channels are done 16 at a time; `begin` and `end` count (row of tiles, block of channels).
struct WinogradKernels {
  void (*input)(const WinogradInput&, int64_t begin, int64_t end);
  void (*output)(const WinogradOutput&, int64_t begin, int64_t end);
};

constexpr int64_t kWinogradBlock = 16;

// The kernels for the processor at hand, as `kernels` in call.h.
const WinogradKernels& winograd_kernels();

}  // namespace cpu
}  // namespace mmvitdense
