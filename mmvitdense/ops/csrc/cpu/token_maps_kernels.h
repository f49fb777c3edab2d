// The kernels of token_maps.h for one instruction set, included after kernels.h.

#include <cstdint>

#include "token_maps.h"

namespace mmvitdense {
namespace cpu {
namespace MMVITDENSE_ISA {

namespace token_maps {

constexpr int64_t kBlock = kTokenBlock;

static_assert(sizeof(Lanes) == 4 * kBlock, "lanes are a block of channels");

inline Lanes load_some(const float* from, int64_t count) {
  Lanes lanes = {};
  if (count == kBlock) return load(from);
  __builtin_memcpy(&lanes, from, count * sizeof(float));
  return lanes;
}

// The error function by formula 7.1.26 of Abramowitz and Stegun, within 2e-7.
MMVITDENSE_HD float gelu(float x) {
  const float size = __builtin_fabsf(x) * 0.70710678f;
  const float t = 1.0f / (1.0f + 0.3275911f * size);
  const float p = t * (0.254829592f + t * (-0.284496736f + t * (1.421413741f + t * (-1.453152027f + t * 1.061405429f))));
  const float tail = 0.5f * p * exp_of_negative(-size * size);  // of the normal distribution beyond |x|
  return x * (x < 0.0f ? tail : 1.0f - tail);
}

inline void gelu_of(float* __restrict values, int64_t count, int times) {
  for (int time = 0; time < times; ++time) {
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) values[i] = gelu(values[i]);
  }
}

// Read pixels `distance` numbers apart, up to 16 channels of each, the others zero.
inline void read_row(const void* from, bool bfloat16, int64_t start, int64_t distance, int64_t pixels, int64_t channels,
                     Lanes* to) {
  if (channels < kBlock) __builtin_memset(to, 0, pixels * sizeof(Lanes));
  if (!bfloat16) {
    const float* in = static_cast<const float*>(from) + start;
    for (int64_t x = 0; x < pixels; ++x) to[x] = load_some(in + x * distance, channels);
    return;
  }
  const uint16_t* in = static_cast<const uint16_t*>(from) + start;
  for (int64_t x = 0; x < pixels; ++x) {
    float* const row = (float*)(to + x);
    if (channels == kBlock) {
      for (int64_t c = 0; c < kBlock; ++c) row[c] = from_bfloat16(in[x * distance + c]);
    } else {
      for (int64_t c = 0; c < channels; ++c) row[c] = from_bfloat16(in[x * distance + c]);
    }
  }
}

inline void write_row(const Lanes* from, bool bfloat16, int64_t start, int64_t distance, int64_t pixels,
                      int64_t channels, void* to) {
  for (int64_t x = 0; x < pixels; ++x) {
    const float* const row = (const float*)(from + x);
    if (bfloat16) {
      uint16_t* const out = static_cast<uint16_t*>(to) + start + x * distance;
      if (channels == kBlock) {
        for (int64_t c = 0; c < kBlock; ++c) out[c] = to_bfloat16(row[c]);
      } else {
        for (int64_t c = 0; c < channels; ++c) out[c] = to_bfloat16(row[c]);
      }
    } else {
      float* const out = static_cast<float*>(to) + start + x * distance;
      if (channels == kBlock) {
        __builtin_memcpy(out, row, sizeof(Lanes));
      } else {
        __builtin_memcpy(out, row, channels * sizeof(float));
      }
    }
  }
}

// Sides that are known let the compiler keep weights in registers; 0 for others.
template <int kSide>
inline void convolve_row(const Lanes* strip, int64_t wide, const Lanes* weight, Lanes bias, int64_t given, int64_t width,
                         Lanes* out) {
  const int64_t side = kSide ? kSide : given;
  for (int64_t x = 0; x < width; ++x) {
    Lanes sum = bias;
    for (int64_t i = 0; i < side; ++i)
      for (int64_t j = 0; j < side; ++j) sum += weight[i * side + j] * strip[i * wide + x + j];
    out[x] = sum;
  }
}

// Read some rows of a level of an image, which begins at `at`, with the zeros around them that a convolution sees.
inline void read_rows(const void* from, bool bfloat16, int64_t at, int64_t distance, const TokenLevel& level,
                      int64_t first_row, int64_t rows, int64_t channels, Lanes* strip) {
  const int64_t border = level.side / 2, wide = level.width + level.side - 1;
  for (int64_t r = 0; r < rows + level.side - 1; ++r) {
    Lanes* const to = strip + r * wide;
    const int64_t y = first_row + r - border;
    if (y < 0 || y >= level.height) {
      __builtin_memset(to, 0, wide * sizeof(Lanes));
      continue;
    }
    __builtin_memset(to, 0, border * sizeof(Lanes));
    __builtin_memset(to + border + level.width, 0, border * sizeof(Lanes));
    read_row(from, bfloat16, at + y * level.width * distance, distance, level.width, channels, to + border);
  }
}

inline void convolve_rows(const DepthwiseCall& call, const TokenLevel& level, int64_t image, int64_t first_row,
                          int64_t block) {
  const int64_t side = level.side, wide = level.width + side - 1, begin = block * kBlock;
  const int64_t left = level.channels - begin, channels = left < kBlock ? left : kBlock;
  const int64_t below = level.height - first_row, rows = below < kTokenRows ? below : kTokenRows;
  const int64_t at = (image * call.tokens + level.start) * call.channels + level.first + begin;
  Strip memory((rows + side - 1) * wide + side * side + level.width);
  Lanes* const strip = memory.data();
  Lanes* const weight = strip + (rows + side - 1) * wide;
  Lanes* const out = weight + side * side;
  for (int64_t i = 0; i < side * side; ++i) weight[i] = load_some(level.weight + i * level.channels + begin, channels);
  const Lanes bias = load_some(level.bias + begin, channels);
  read_rows(call.in, call.bfloat16, at, call.channels, level, first_row, rows, channels, strip);
  for (int64_t r = 0; r < rows; ++r) {
    const Lanes* const from = strip + r * wide;
    if (side == 3) {
      convolve_row<3>(from, wide, weight, bias, side, level.width, out);
    } else if (side == 5) {
      convolve_row<5>(from, wide, weight, bias, side, level.width, out);
    } else {
      convolve_row<0>(from, wide, weight, bias, side, level.width, out);
    }
    gelu_of((float*)out, level.width * kBlock, call.gelus);
    write_row(out, call.bfloat16, at + (first_row + r) * level.width * call.channels, call.channels, level.width,
              channels, call.out);
  }
}

inline void depthwise(const DepthwiseCall& call, int64_t begin, int64_t end) {
  // The blocks of rows come last, so that ranges of tasks take the same time though levels differ.
  int64_t widest = 0, of_all = 0;
  for (int64_t i = 0; i < call.levels; ++i) {
    const int64_t blocks = channel_blocks(call.level[i].channels);
    widest = blocks > widest ? blocks : widest;
    of_all += row_blocks(call.level[i]);
  }
  for (int64_t task = begin; task < end; ++task) {
    const int64_t image = task / (widest * of_all), block = task / of_all % widest;
    int64_t rows = task % of_all;
    const TokenLevel* level = call.level;
    for (; rows >= row_blocks(*level); ++level) rows -= row_blocks(*level);
    if (block * kBlock < level->channels) convolve_rows(call, *level, image, rows * kTokenRows, block);
  }
}

template <int kSide>
inline void add_gradients(const Lanes* strip, int64_t wide, const Lanes* grad, int64_t given, int64_t width,
                          Lanes* total) {
  const int64_t side = kSide ? kSide : given;
  for (int64_t i = 0; i < side; ++i) {
    if (kSide) {
      Lanes sums[kSide ? kSide : 1] = {};
      for (int64_t x = 0; x < width; ++x)
        for (int64_t j = 0; j < kSide; ++j) sums[j] += grad[x] * strip[i * wide + x + j];
      for (int64_t j = 0; j < kSide; ++j) total[i * kSide + j] += sums[j];
    } else {
      for (int64_t j = 0; j < side; ++j)
        for (int64_t x = 0; x < width; ++x) total[i * side + j] += grad[x] * strip[i * wide + x + j];
    }
  }
  for (int64_t x = 0; x < width; ++x) total[side * side] += grad[x];
}

inline void gradients_of_level(const DepthwiseGradients& call, const TokenLevel& level, int64_t block, float* out) {
  const int64_t side = level.side, wide = level.width + side - 1, begin = block * kBlock, left = level.channels - begin;
  const int64_t channels = left < kBlock ? left : kBlock;
  Strip memory((kTokenRows + side - 1) * wide + side * side + 1 + level.width);
  Lanes* const strip = memory.data();
  Lanes* const total = strip + (kTokenRows + side - 1) * wide;
  Lanes* const grad = total + side * side + 1;
  __builtin_memset(total, 0, (side * side + 1) * sizeof(Lanes));
  for (int64_t image = 0; image < call.batch; ++image) {
    const int64_t at = (image * call.tokens + level.start) * call.channels + level.first + begin;
    for (int64_t first = 0; first < level.height; first += kTokenRows) {
      const int64_t rows = level.height - first < kTokenRows ? level.height - first : kTokenRows;
      read_rows(call.in, call.bfloat16, at, call.channels, level, first, rows, channels, strip);
      for (int64_t r = 0; r < rows; ++r) {
        read_row(call.grad, call.bfloat16, at + (first + r) * level.width * call.channels, call.channels, level.width,
                 channels, grad);
        if (side == 3) {
          add_gradients<3>(strip + r * wide, wide, grad, side, level.width, total);
        } else if (side == 5) {
          add_gradients<5>(strip + r * wide, wide, grad, side, level.width, total);
        } else {
          add_gradients<0>(strip + r * wide, wide, grad, side, level.width, total);
        }
      }
    }
  }
  for (int64_t i = 0; i < side * side + 1; ++i)
    __builtin_memcpy(out + i * level.channels + begin, total + i, channels * sizeof(float));
}

inline void depthwise_gradients(const DepthwiseGradients& call, int64_t begin, int64_t end) {
  for (int64_t task = begin; task < end; ++task) {
    const int64_t index = task % call.levels, block = task / call.levels;
    const TokenLevel& level = call.level[index];
    if (block * kBlock < level.channels) gradients_of_level(call, level, block, call.out[index]);
  }
}

// Where a place of a large map lies in a small one: between two of its places, with a share of the second. As torch's
// bilinear resizing without aligned corners.
struct Between {
  int64_t low, high;
  float share;
};

inline Between between(int64_t place, int64_t large, int64_t small) {
  const float scale = static_cast<float>(small) / static_cast<float>(large);
  const float at = scale * (static_cast<float>(place) + 0.5f) - 0.5f, inside = at < 0.0f ? 0.0f : at;
  const int64_t floor = static_cast<int64_t>(inside), low = floor < small - 1 ? floor : small - 1;
  return {low, low + (low < small - 1 ? 1 : 0), inside - static_cast<float>(low)};
}

inline void sum(const SumCall& call, int64_t begin, int64_t end) {
  const int64_t C = call.channels, W = call.width, blocks = channel_blocks(C);
  Strip memory(kBlock);
  float* const square = (float*)memory.data();
  for (int64_t task = begin; task < end; ++task) {
    const int64_t image = task / call.height, y = task % call.height;
    const Between row = call.small ? between(y, call.height, call.small_height) : Between{0, 0, 0.0f};
    for (int64_t block = 0; block < blocks; ++block) {
      const int64_t first = block * kBlock, left = C - first, channels = left < kBlock ? left : kBlock;
      const Lanes gain = call.gain ? load_some(call.gain + first, channels) : Lanes{} + 1.0f;
      const Lanes shift = call.shift ? load_some(call.shift + first, channels) : Lanes{};
      for (int64_t x0 = 0; x0 < W; x0 += kBlock) {
        const int64_t pixels = W - x0 < kBlock ? W - x0 : kBlock;
        for (int64_t i = 0; i < pixels; ++i) {
          const int64_t x = x0 + i, at = (y * W + x) * C + first;
          Lanes total = {};
          for (int64_t k = 0; k < call.summands; ++k)
            total += load_some(call.summand[k] + image * call.image[k] + at, channels);
          if (call.small) {
            const Between column = between(x, W, call.small_width);
            const float* const from = call.small + image * call.small_image + first;
            const int64_t upper = row.low * call.small_width, lower = row.high * call.small_width;
            const Lanes above = (1.0f - column.share) * load_some(from + (upper + column.low) * C, channels) +
                                column.share * load_some(from + (upper + column.high) * C, channels);
            const Lanes below = (1.0f - column.share) * load_some(from + (lower + column.low) * C, channels) +
                                column.share * load_some(from + (lower + column.high) * C, channels);
            total += (1.0f - row.share) * above + row.share * below;
          }
          const Lanes result = total * gain + shift;
          __builtin_memcpy(square + i * kBlock, &result, sizeof(Lanes));
        }
        float* const out = call.out + ((image * C + first) * call.height + y) * W + x0;
        for (int64_t c = 0; c < channels; ++c) {
          float* const line = out + c * call.height * W;
          if (pixels == kBlock) {
            for (int64_t i = 0; i < kBlock; ++i) line[i] = square[i * kBlock + c];
          } else {
            for (int64_t i = 0; i < pixels; ++i) line[i] = square[i * kBlock + c];
          }
        }
      }
    }
  }
}

}  // namespace token_maps

TokenMapKernels token_map_table() {
  return {&token_maps::depthwise, &token_maps::depthwise_gradients, &token_maps::sum};
}

}  // namespace MMVITDENSE_ISA
}  // namespace cpu
}  // namespace mmvitdense
