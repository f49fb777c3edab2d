// The kernels of winograd.h for one instruction set, included as kernels.h is.
//
// F(4x4, 3x3) with the points 0, 3/4, -3/4, 3/2, -3/2 and infinity, whose rounding errors are about half of those with
// the usual 0, 1, -1, 2, -2: 1e-6 of the norm of the output, where a direct sum has 2e-7.

#include <cstdint>

#include "winograd.h"

namespace mmvitdense {
namespace cpu {
namespace MMVITDENSE_ISA {

namespace winograd {

constexpr int64_t kBlock = kWinogradBlock, kStep = 4, kSide = 6;
constexpr float kA = 0.75f, kB = 1.5f, kA2 = kA * kA, kB2 = kB * kB, kA3 = kA2 * kA, kB3 = kB2 * kB;

static_assert(sizeof(Lanes) == 4 * kBlock, "lanes are a block of channels");

inline void store(float* to, Lanes lanes) { __builtin_memcpy(to, &lanes, sizeof(Lanes)); }

inline void of_input(const Lanes* x, int64_t step, Lanes* v) {
  const Lanes x0 = x[0], x1 = x[step], x2 = x[2 * step], x3 = x[3 * step], x4 = x[4 * step], x5 = x[5 * step];
  const Lanes even_a = x4 - kB2 * x2, odd_a = kA * (x3 - kB2 * x1);
  const Lanes even_b = x4 - kA2 * x2, odd_b = kB * (x3 - kA2 * x1);
  v[0] = x4 - (kA2 + kB2) * x2 + (kA2 * kB2) * x0;
  v[1] = even_a + odd_a;
  v[2] = even_a - odd_a;
  v[3] = even_b + odd_b;
  v[4] = even_b - odd_b;
  v[5] = x5 - (kA2 + kB2) * x3 + (kA2 * kB2) * x1;
}

inline void of_output(const Lanes* m, int64_t step, Lanes* y) {
  const Lanes sum_a = m[step] + m[2 * step], difference_a = m[step] - m[2 * step];
  const Lanes sum_b = m[3 * step] + m[4 * step], difference_b = m[3 * step] - m[4 * step];
  y[0] = m[0] + sum_a + sum_b;
  y[1] = kA * difference_a + kB * difference_b;
  y[2] = kA2 * sum_a + kB2 * sum_b;
  y[3] = kA3 * difference_a + kB3 * difference_b + m[5 * step];
}

inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// Read `columns` pixels of up to 16 channels, the others zero.
inline void read_row(const float* from, const WinogradMap& shape, int64_t columns, int64_t channels, Lanes* to) {
  if (channels < kBlock) __builtin_memset(to, 0, columns * sizeof(Lanes));
  if (shape.column != 1 || shape.channel == 1) {
    if (channels == kBlock && shape.channel == 1) {
      for (int64_t x = 0; x < columns; ++x) to[x] = load(from + x * shape.column);
      return;
    }
    for (int64_t x = 0; x < columns; ++x)
      for (int64_t c = 0; c < channels; ++c) ((float*)(to + x))[c] = from[x * shape.column + c * shape.channel];
    return;
  }
  for (int64_t c = 0; c < channels; ++c) {
    const float* const row = from + c * shape.channel;
    float* const column = (float*)to + c;
    for (int64_t x = 0; x < columns; ++x) column[x * kBlock] = row[x];
  }
}

inline void write_row(const Lanes* from, const WinogradMap& shape, int64_t columns, int64_t channels, float* to) {
  if (shape.column != 1 || shape.channel == 1) {
    if (channels == kBlock && shape.channel == 1) {
      for (int64_t x = 0; x < columns; ++x) store(to + x * shape.column, from[x]);
      return;
    }
    for (int64_t x = 0; x < columns; ++x)
      for (int64_t c = 0; c < channels; ++c)
        to[x * shape.column + c * shape.channel] = ((const float*)(from + x))[c];
    return;
  }
  for (int64_t c = 0; c < channels; ++c) {
    float* const row = to + c * shape.channel;
    const float* const column = (const float*)from + c;
    for (int64_t x = 0; x < columns; ++x) row[x] = column[x * kBlock];
  }
}

inline void input(const WinogradInput& call, int64_t begin, int64_t end) {
  const WinogradMap& shape = call.shape;
  const int64_t blocks = (shape.channels + kBlock - 1) / kBlock, wide = kStep * call.tiles_in_row + kSide - kStep;
  const int64_t in = smaller(shape.width, wide - call.padding);
  Strip strip(kSide * wide);
  for (int64_t task = begin; task < end; ++task) {
    const int64_t row = task / blocks, first = task % blocks * kBlock;
    const int64_t channels = smaller(kBlock, shape.channels - first);
    const int64_t image = (call.first + row) / call.rows_of_tiles, tile_row = (call.first + row) % call.rows_of_tiles;
    for (int64_t r = 0; r < kSide; ++r) {
      Lanes* const to = strip.data() + r * wide;
      const int64_t y = kStep * tile_row + r - call.padding;
      if (y < 0 || y >= shape.height) {
        __builtin_memset(to, 0, wide * sizeof(Lanes));
        continue;
      }
      __builtin_memset(to, 0, call.padding * sizeof(Lanes));
      read_row(call.maps + image * shape.image + y * shape.row + first * shape.channel, shape, in, channels,
               to + call.padding);
      __builtin_memset(to + call.padding + in, 0, (wide - call.padding - in) * sizeof(Lanes));
    }
    for (int64_t x = 0; x < call.tiles_in_row; ++x) {
      Lanes columns[kSide * kSide];
      for (int64_t j = 0; j < kSide; ++j) of_input(strip.data() + kStep * x + j, wide, columns + j * kSide);
      float* const out = call.out + (row * call.tiles_in_row + x) * shape.channels + first;
      for (int64_t i = 0; i < kSide; ++i) {
        Lanes v[kSide];
        of_input(columns + i, kSide, v);
        for (int64_t j = 0; j < kSide; ++j) {
          float* const to = out + (i * kSide + j) * call.distance;
          if (channels == kBlock) {
            store(to, v[j]);
          } else {
            __builtin_memcpy(to, v + j, channels * sizeof(float));
          }
        }
      }
    }
  }
}

inline void output(const WinogradOutput& call, int64_t begin, int64_t end) {
  const WinogradMap& shape = call.shape;
  const int64_t blocks = (shape.channels + kBlock - 1) / kBlock, wide = kStep * call.tiles_in_row;
  Strip strip(kStep * wide);
  for (int64_t task = begin; task < end; ++task) {
    const int64_t row = task / blocks, first = task % blocks * kBlock;
    const int64_t channels = smaller(kBlock, shape.channels - first);
    const int64_t image = (call.first + row) / call.rows_of_tiles, tile_row = (call.first + row) % call.rows_of_tiles;
    Lanes bias = {};
    if (call.bias) __builtin_memcpy(&bias, call.bias + first, channels * sizeof(float));
    for (int64_t x = 0; x < call.tiles_in_row; ++x) {
      const int64_t at = (row * call.tiles_in_row + x) * shape.channels + first;
      Lanes columns[kSide * kStep];
      for (int64_t j = 0; j < kSide; ++j) {
        Lanes m[kSide] = {};
        for (int64_t i = 0; i < kSide; ++i) {
          const float* const from = call.products[i * kSide + j] + at;
          if (channels == kBlock) {
            m[i] = load(from);
          } else {
            __builtin_memcpy(m + i, from, channels * sizeof(float));
          }
        }
        of_output(m, 1, columns + j * kStep);
      }
      for (int64_t i = 0; i < kStep; ++i) {
        Lanes y[kStep];
        of_output(columns + i, kStep, y);
        for (int64_t j = 0; j < kStep; ++j) {
          y[j] += bias;
          // Not a number stays one.
          if (call.relu) y[j] = y[j] < 0.0f ? Lanes{} : y[j];
          strip.data()[i * wide + kStep * x + j] = y[j];
        }
      }
    }
    for (int64_t i = 0; i < smaller(kStep, shape.height - kStep * tile_row); ++i)
      write_row(strip.data() + i * wide, shape, shape.width, channels,
                call.maps + image * shape.image + (kStep * tile_row + i) * shape.row + first * shape.channel);
  }
}

}  // namespace winograd

WinogradKernels winograd_table() { return {winograd::input, winograd::output}; }

}  // namespace MMVITDENSE_ISA
}  // namespace cpu
}  // namespace mmvitdense
