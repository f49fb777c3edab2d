// The four operators: what register.cpp registers, once for each device, and what their implementations may assume.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/ArrayRef.h>
#include <c10/util/Exception.h>

#include <cstdint>
#include <tuple>
#include <vector>

#include "ms_deform_attn.h"

namespace mmvitdense {

// Types: float, double, bfloat16 or half, each tensor its own. Sums are float, or double where any tensor is double.
// Results have the type of `value` (the output), gradients the types of the tensors they belong to.
// `spatial_shapes` holds H0, W0, H1, W1, ... Any strides; any size may be 0.
//
//   value               B x S x M x D
//   sampling_locations  B x Q x M x L x P x 2      offsets  the same shape
//   attention_weights   B x Q x M x L x P          logits   the same shape
//   reference_points    (B|1) x Q x (L|1) x (2|4)  shared by images and by levels where the size is 1
//   output              B x Q x (M * D)
//
// The fused backward returns the gradients of value, reference_points, offsets and logits; that of reference_points is
// an empty tensor of shape (0,) unless `reference_grad`.
#define MMVITDENSE_DECLARE_OPS                                                                                       \
  at::Tensor ms_deform_attn(const at::Tensor& value, at::IntArrayRef spatial_shapes,                                 \
                            const at::Tensor& sampling_locations, const at::Tensor& attention_weights);              \
  std::tuple<at::Tensor, at::Tensor, at::Tensor> ms_deform_attn_backward(                                            \
      const at::Tensor& grad_output, const at::Tensor& value, at::IntArrayRef spatial_shapes,                        \
      const at::Tensor& sampling_locations, const at::Tensor& attention_weights);                                    \
  at::Tensor ms_deform_attn_fused(const at::Tensor& value, at::IntArrayRef spatial_shapes,                           \
                                  const at::Tensor& reference_points, const at::Tensor& offsets,                     \
                                  const at::Tensor& logits);                                                         \
  std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> ms_deform_attn_fused_backward(                          \
      const at::Tensor& grad_output, const at::Tensor& value, at::IntArrayRef spatial_shapes,                        \
      const at::Tensor& reference_points, const at::Tensor& offsets, const at::Tensor& logits, bool reference_grad);

namespace cpu {
MMVITDENSE_DECLARE_OPS
}
namespace cuda {
MMVITDENSE_DECLARE_OPS
}

// Sizes of a call, checked. The Python functions check first and with better words; these guard direct calls.
struct Problem {
  int64_t batch, queries, heads, channels, positions, points;
  std::vector<Level> levels;
  bool wide;  // compute in double

  int64_t samples_per_head() const { return static_cast<int64_t>(levels.size()) * points; }
};

inline Problem check_problem(const at::Tensor& value, at::IntArrayRef spatial_shapes, const at::Tensor& points,
                             const at::Tensor& weights, const at::Tensor* reference = nullptr,
                             const at::Tensor* grad_output = nullptr) {
  const char* points_name = reference ? "offsets" : "sampling_locations";
  const char* weights_name = reference ? "logits" : "attention_weights";
  TORCH_CHECK_VALUE(value.dim() == 4, "value has ", value.dim(), " dimensions; expected 4");
  TORCH_CHECK_VALUE(points.dim() == 6, points_name, " has ", points.dim(), " dimensions; expected 6");
  TORCH_CHECK_VALUE(weights.dim() == 5, weights_name, " has ", weights.dim(), " dimensions; expected 5");
  TORCH_CHECK_VALUE(spatial_shapes.size() % 2 == 0, "spatial_shapes has ", spatial_shapes.size(),
                    " numbers; expected H0, W0, H1, W1, ...");
  Problem p{value.size(0), points.size(1), value.size(2), value.size(3), value.size(1), points.size(4), {}, false};
  int64_t start = 0;
  for (size_t i = 0; i < spatial_shapes.size(); i += 2) {
    const int64_t h = spatial_shapes[i], w = spatial_shapes[i + 1];
    TORCH_CHECK_VALUE(h >= 0 && w >= 0 && h <= (1 << 24) && w <= (1 << 24), "spatial_shapes has a level of ", h,
                      " x ", w, "; expected sizes from 0 to 2^24");
    p.levels.push_back({start, static_cast<int32_t>(h), static_cast<int32_t>(w)});
    start += h * w;
  }
  const int64_t levels = static_cast<int64_t>(p.levels.size());
  TORCH_CHECK_VALUE(start == p.positions, "spatial_shapes hold ", start, " positions, but value has ", p.positions,
                    " (its dimension 1)");
  TORCH_CHECK_VALUE(points.sizes().equals({p.batch, p.queries, p.heads, levels, p.points, 2}), points_name,
                    " has shape ", points.sizes(), ", which does not fit value and spatial_shapes");
  TORCH_CHECK_VALUE(weights.sizes().equals(points.sizes().slice(0, 5)), weights_name, " has shape ", weights.sizes(),
                    "; expected that of ", points_name, " without its last dimension");
  if (reference) {
    TORCH_CHECK_VALUE(reference->dim() == 4 && (reference->size(0) == p.batch || reference->size(0) == 1) &&
                          reference->size(1) == p.queries &&
                          (reference->size(2) == levels || reference->size(2) == 1) &&
                          (reference->size(3) == 2 || reference->size(3) == 4),
                      "reference_points has shape ", reference->sizes(),
                      "; expected (batch or 1, queries, levels or 1, 2 or 4)");
  }
  if (grad_output) {
    TORCH_CHECK_VALUE(grad_output->sizes().equals({p.batch, p.queries, p.heads * p.channels}),
                      "grad_output has shape ", grad_output->sizes(), ", not that of the output");
  }
  for (const at::Tensor* t : {&value, &points, &weights, reference, grad_output}) {
    if (!t) continue;
    const auto type = t->scalar_type();
    TORCH_CHECK_VALUE(type == at::kFloat || type == at::kDouble || type == at::kBFloat16 || type == at::kHalf,
                      "a tensor is ", type, "; expected float32, float64, bfloat16 or float16");
    TORCH_CHECK_VALUE(t->device() == value.device(), "a tensor is on ", t->device(), " and value on ",
                      value.device());
    p.wide = p.wide || type == at::kDouble;
  }
  return p;
}

}  // namespace mmvitdense
