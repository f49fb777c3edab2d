// The arithmetic of one sample of multi-scale deformable attention, for the CPU and the CUDA kernels.
//
// Everything is a free function of plain numbers, compiles as host and as device code, and is templated on the type A
// it computes in: float for float, bfloat16 and half storage, double for double. Positions in tensors are int64_t.
#pragma once

#include <cstdint>

#if defined(__CUDACC__) || defined(__HIPCC__)
#define MMVITDENSE_HD static __host__ __device__ __forceinline__
#elif defined(__GNUC__)
// Always inlined: the same function is compiled for several instruction sets, and the linker must not mix them up.
#define MMVITDENSE_HD static inline __attribute__((always_inline))
#else
#define MMVITDENSE_HD static inline
#endif

namespace mmvitdense {

// One level of the value tensor: `start` is the position of its first pixel along the S axis.
struct Level {
  int64_t start;
  int32_t height;
  int32_t width;
};

// Where one sample lies: the pixel up and to the left of it, and its distance from there in pixels, 0 <= f < 1.
template <typename A>
struct Sample {
  A fx, fy;
  int32_t x0, y0;
  int32_t inside;  // 1 if -1 < x < width and -1 < y < height, else 0 (also for NaN), and all the rest is 0
};

// Corners are numbered 00, 01, 10, 11 = (y0, x0), (y0, x0 + 1), (y0 + 1, x0), (y0 + 1, x0 + 1).
template <typename A>
struct Corners {
  A w00, w01, w10, w11;
};

// Which corners lie on the map, 1 or 0. The others count as zero, and must not be read or written.
// These are no bools because compilers do not vectorise loops over structs of them.
struct CornerMask {
  int32_t c00, c01, c10, c11;
};

template <typename A>
struct SampleGradient {
  A weight;  // of the attention weight
  A x, y;    // of the pixel coordinates, attention weight included
};

// ---- coordinates -----------------------------------------------------------------------------------------------

// x * y + z. On a GPU in one rounding: kernels that place the same sample must agree to the last bit on the pixels that
// it lies between, and compilers are free to round once or twice in an expression.
template <typename A>
MMVITDENSE_HD A multiply_add(A x, A y, A z) {
#ifdef __CUDA_ARCH__
  return fma(x, y, z);
#else
  return x * y + z;
#endif
}

// Pixel coordinate of a location in 0..1. `size` is the width for x and the height for y.
template <typename A>
MMVITDENSE_HD A pixel_from_location(A location, A size) {
  return multiply_add(location, size, A(-0.5));
}

// Gradient of the location from that of the pixel coordinate.
template <typename A>
MMVITDENSE_HD A location_gradient(A pixel_gradient, A size) {
  return pixel_gradient * size;
}

// Fused op, reference of two numbers: offsets are in pixels of the level.
template <typename A>
MMVITDENSE_HD A pixel_from_point(A reference, A offset, A size) {
  return multiply_add(reference, size, offset) - A(0.5);
}

// Fused op, reference box (centre, extent): offsets are in half extents, divided by the number of points.
template <typename A>
MMVITDENSE_HD A pixel_from_box(A centre, A extent, A offset, A size, A half_over_points) {
  return multiply_add(multiply_add(offset * half_over_points, extent, centre), size, A(-0.5));
}

// Gradients of `pixel_from_box` by the offset and by the extent; that by the centre is `location_gradient`, and that
// of `pixel_from_point` by the offset is the pixel gradient itself and by the reference `location_gradient`.
template <typename A>
MMVITDENSE_HD A box_offset_gradient(A pixel_gradient, A extent, A size, A half_over_points) {
  return pixel_gradient * size * extent * half_over_points;
}

template <typename A>
MMVITDENSE_HD A box_extent_gradient(A pixel_gradient, A offset, A size, A half_over_points) {
  return pixel_gradient * size * offset * half_over_points;
}

// ---- the four corners ------------------------------------------------------------------------------------------

// Branch-free, so that loops over it are vectorised.
template <typename A>
MMVITDENSE_HD Sample<A> locate(A x, A y, int32_t height, int32_t width) {
  Sample<A> s;
  s.inside = (x > A(-1) ? 1 : 0) & (y > A(-1) ? 1 : 0) & (x < A(width) ? 1 : 0) & (y < A(height) ? 1 : 0);
  x = s.inside ? x : A(0);
  y = s.inside ? y : A(0);
  s.x0 = static_cast<int32_t>(x);
  s.y0 = static_cast<int32_t>(y);
  s.x0 -= static_cast<int32_t>(A(s.x0) > x);  // truncation is not floor between -1 and 0
  s.y0 -= static_cast<int32_t>(A(s.y0) > y);
  s.fx = x - A(s.x0);
  s.fy = y - A(s.y0);
  return s;
}

// For a sample that is inside.
template <typename A>
MMVITDENSE_HD CornerMask corner_mask(const Sample<A>& s, int32_t height, int32_t width) {
  const int32_t top = s.y0 >= 0 ? 1 : 0, bottom = s.y0 + 1 < height ? 1 : 0;
  const int32_t left = s.x0 >= 0 ? 1 : 0, right = s.x0 + 1 < width ? 1 : 0;
  return {top & left, top & right, bottom & left, bottom & right};
}

// Position of corner 00 along the S axis; 01 is one further, 10 and 11 are `width` further. May lie outside the map.
template <typename A>
MMVITDENSE_HD int64_t first_corner(const Sample<A>& s, const Level& level) {
  return level.start + int64_t(s.y0) * level.width + s.x0;
}

// The corners' shares, multiplied by the attention weight. They are not set to zero outside the map.
template <typename A>
MMVITDENSE_HD Corners<A> corner_weights(A fx, A fy, A weight) {
  const A bottom = fy * weight, top = weight - bottom;
  const A w11 = fx * bottom, w01 = fx * top;
  return {top - w01, w01, bottom - w11, w11};
}

// `dots` are the products <grad_output, value> at the corners, zero outside the map.
template <typename A>
MMVITDENSE_HD SampleGradient<A> sample_gradient(A fx, A fy, A weight, const Corners<A>& dots) {
  const A top = dots.w01 - dots.w00, bottom = dots.w11 - dots.w10;
  const A upper = dots.w00 + fx * top, lower = dots.w10 + fx * bottom;
  const A down = lower - upper;
  return {upper + fy * down, weight * (top + fy * (bottom - top)), weight * down};
}

// ---- softmax ---------------------------------------------------------------------------------------------------

// Weights are exp(logit - maximum) / sum over the L * P samples of a query and head, as torch.softmax: -inf gives 0,
// a row that is all -inf or holds +inf or NaN gives NaN.
// Gradient of one logit from its weight a, the weight's gradient, and sum_j a_j * grad_j over the row.
template <typename A>
MMVITDENSE_HD A logit_gradient(A weight, A weight_gradient, A row_sum) {
  return weight * (weight_gradient - row_sum);
}

}  // namespace mmvitdense
