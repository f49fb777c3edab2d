// The CUDA implementations of the operators: checks, memory, and which kernels to run.

#include <ATen/Context.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cumsum.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/searchsorted.h>
#include <ATen/ops/sort.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <algorithm>
#include <cstdint>
#include <limits>

#include "../ops.h"
#include "arguments.h"

namespace mmvitdense {
namespace cuda {
namespace {

Type type_of(at::ScalarType type) {
  switch (type) {
    case at::kDouble:
      return Type::kDouble;
    case at::kHalf:
      return Type::kHalf;
    case at::kBFloat16:
      return Type::kBFloat16;
    default:
      return Type::kFloat;
  }
}

// As the kernels read it: contiguous, at a multiple of 16 bytes.
at::Tensor dense(const at::Tensor& tensor, at::ScalarType type) {
  const at::Tensor result = tensor.to(type).contiguous();
  return reinterpret_cast<std::uintptr_t>(result.data_ptr()) % 16 == 0 ? result : result.clone();
}

// The same for B x Q x ..., of which only what belongs to a query has to be contiguous: views of the rows of one
// projection are read in place.
at::Tensor dense_rows(const at::Tensor& tensor, at::ScalarType type) {
  const at::Tensor result = tensor.to(type);
  // Points are read in pairs.
  bool in_place = reinterpret_cast<std::uintptr_t>(result.data_ptr()) % (2 * result.element_size()) == 0 &&
                  result.stride(0) % 2 == 0 && result.stride(1) % 2 == 0;
  int64_t step = 1;
  for (int64_t i = result.dim() - 1; i >= 2; step *= result.size(i), --i) {
    in_place = in_place && (result.size(i) == 1 || result.stride(i) == step);
  }
  return in_place ? result : dense(result, type);
}

void check_limits(const Problem& p) {
  const int64_t most = std::numeric_limits<int32_t>::max();
  TORCH_CHECK_VALUE(static_cast<int64_t>(p.levels.size()) <= kMaxLevels, "spatial_shapes has ", p.levels.size(),
                    " levels; the CUDA kernels take at most ", kMaxLevels);
  TORCH_CHECK_VALUE(p.positions <= most && p.queries <= most && p.batch <= most / 2 &&
                        p.samples_per_head() <= most / 2 && p.heads * p.channels <= most / 8,
                    "value has ", p.batch, " images of ", p.positions, " positions with ", p.heads, " heads of ",
                    p.channels, " channels, and ", p.queries, " queries have ", p.samples_per_head(),
                    " samples a head; the CUDA kernels take less than 2^31 positions and queries, 2^30 images and "
                    "samples of a head, and 2^28 channels of all heads");
}

// The levels whose pixels are the queries, as far as their number shows: all of them in an encoder, one of them where
// the tokens of a plain ViT look at a pyramid.
void find_raster(const Problem& p, Arguments& a) {
  a.raster_first = 0;
  a.raster_count = p.queries == p.positions ? a.num_levels : 0;
  for (int32_t i = 0; a.raster_count == 0 && i < a.num_levels; ++i) {
    if (int64_t(p.levels[i].height) * p.levels[i].width == p.queries) {
      a.raster_first = i;
      a.raster_count = 1;
    }
  }
}

// The tensors of a call in the types of the kernels, which `arguments` points into.
struct Call {
  Problem problem;
  bool fused;
  at::ScalarType storage, sums;
  at::Tensor value, points, weights, reference, grad_output;
  Arguments arguments{};

  Call(const at::Tensor& value_, at::IntArrayRef spatial_shapes, const at::Tensor& points_, const at::Tensor& weights_,
       const at::Tensor* reference_, const at::Tensor* grad_output_)
      : problem(check_problem(value_, spatial_shapes, points_, weights_, reference_, grad_output_)),
        fused(reference_ != nullptr),
        storage(problem.wide ? at::kDouble : value_.scalar_type()),
        sums(problem.wide ? at::kDouble : at::kFloat) {
    check_limits(problem);
    value = dense(value_, storage);
    points = dense_rows(points_, problem.wide ? at::kDouble : points_.scalar_type());
    weights = dense_rows(weights_, problem.wide ? at::kDouble : weights_.scalar_type());
    if (reference_) reference = dense(*reference_, sums);
    if (grad_output_) grad_output = dense(*grad_output_, storage);
    fill_arguments();
  }

  // B x Q x M x L x P
  int64_t samples() const { return weights.numel(); }
  int64_t cells() const { return problem.batch * problem.heads * arguments.cells; }
  bool fits_32_bits() const { return std::max(samples(), cells()) < std::numeric_limits<int32_t>::max(); }
  bool nothing_to_do() const { return samples() == 0 || problem.channels == 0; }
  Type storage_type() const { return type_of(storage); }
  at::Tensor scratch(int64_t numbers) const { return at::empty({numbers}, value.options().dtype(sums)); }

 private:
  void fill_arguments() {
    Arguments& a = arguments;
    a.queries = problem.queries;
    a.positions = problem.positions;
    a.batch = static_cast<int32_t>(problem.batch);
    a.heads = static_cast<int32_t>(problem.heads);
    a.channels = static_cast<int32_t>(problem.channels);
    a.num_levels = static_cast<int32_t>(problem.levels.size());
    a.num_points = static_cast<int32_t>(problem.points);
    a.samples = static_cast<int32_t>(problem.samples_per_head());
    for (int32_t i = 0; i < a.num_levels; ++i) a.levels[i] = problem.levels[i];
    number_cells(a);
    find_raster(problem, a);
    a.points_type = type_of(points.scalar_type());
    a.weights_type = type_of(weights.scalar_type());
    a.points_batch_stride = points.stride(0);
    a.points_query_stride = points.stride(1);
    a.weights_batch_stride = weights.stride(0);
    a.weights_query_stride = weights.stride(1);
    a.value = value.data_ptr();
    a.points = points.data_ptr();
    a.weights = weights.data_ptr();
    if (grad_output.defined()) a.grad_output = grad_output.data_ptr();
    if (!fused) return;
    a.reference = reference.data_ptr();
    a.reference_size = static_cast<int32_t>(reference.size(3));
    a.reference_batch_stride = reference.size(0) == 1 ? 0 : reference.stride(0);
    a.reference_level_stride = reference.size(2) == 1 ? 0 : a.reference_size;
  }
};

at::Tensor forward(const at::Tensor& value, at::IntArrayRef spatial_shapes, const at::Tensor& points,
                   const at::Tensor& weights, const at::Tensor* reference) {
  const c10::cuda::CUDAGuard guard(value.device());
  Call call(value, spatial_shapes, points, weights, reference, nullptr);
  const Problem& p = call.problem;
  const at::Tensor output = at::empty({p.batch, p.queries, p.heads * p.channels}, call.value.options());
  if (output.numel() > 0) {
    call.arguments.output = output.data_ptr();
    C10_CUDA_CHECK(
        launch_forward(call.arguments, call.storage_type(), call.fused, c10::cuda::getCurrentCUDAStream().stream()));
  }
  return output.to(value.scalar_type());
}

struct Gradients {
  at::Tensor value, points, weights, reference;
};

// Whether sums over cells are faster than additions for each sample. On an H200 they are from about this many samples
// of a cell on, where a row of channels is long or its additions, four bytes each, are wider than its storage; see
// docs/ops.md.
constexpr int64_t kSamplesPerCell = 4, kChannels = 64;

bool sums_cells(const Call& call) {
  const bool wide_rows = call.storage != at::kFloat || call.problem.channels >= kChannels;
  return call.sums == at::kFloat && wide_rows && call.fits_32_bits() &&
         call.samples() >= kSamplesPerCell * call.cells();
}

// With records in the order of their cells; see records.cu.
void run_backward_with_records(Call& call, Gradients& gradients) {
  Arguments& a = call.arguments;
  const auto stream = c10::cuda::getCurrentCUDAStream().stream();
  const at::TensorOptions integers = call.value.options().dtype(at::kInt);
  at::Tensor next = at::zeros({call.cells()}, integers);
  C10_CUDA_CHECK(launch_count_samples(a, next.data_ptr<int32_t>(), call.fused, stream));
  const at::Tensor ends = at::cumsum(next, 0, at::kInt);
  next = ends.sub(next);
  const at::Tensor cells = at::empty({call.samples()}, integers);
  const at::Tensor records = at::empty({call.samples() * static_cast<int64_t>(sizeof(Record))},
                                       call.value.options().dtype(at::kByte));
  a.next_record = next.data_ptr<int32_t>();
  a.records = static_cast<Record*>(records.data_ptr());
  a.record_cells = cells.data_ptr<int32_t>();
  C10_CUDA_CHECK(launch_backward(a, call.storage_type(), call.fused, stream));
  const RecordArguments r{ends.data_ptr<int32_t>() + call.cells() - 1, call.samples(), gradients.value.data_ptr()};
  C10_CUDA_CHECK(launch_sum_records(a, r, call.storage_type(), stream));
}

// With atomic additions, in the type of the sums.
void run_backward(Call& call, Gradients& gradients, bool reference_grad) {
  gradients.value = at::zeros(call.value.sizes(), call.value.options().dtype(call.sums));
  if (reference_grad) {
    gradients.reference = at::zeros_like(call.reference);
    call.arguments.grad_reference = gradients.reference.data_ptr();
  }
  if (sums_cells(call)) {
    run_backward_with_records(call, gradients);
    return;
  }
  call.arguments.grad_value = gradients.value.data_ptr();
  C10_CUDA_CHECK(
      launch_backward(call.arguments, call.storage_type(), call.fused, c10::cuda::getCurrentCUDAStream().stream()));
}

// Samples in the order of the cell they lie in, and where each cell starts in it.
GatherArguments sort_cells(const Call& call, at::Tensor cells, at::Tensor& order, at::Tensor& starts) {
  at::Tensor sorted;
  std::tie(sorted, order) = at::sort(cells, /*stable=*/true, /*dim=*/0, /*descending=*/false);
  starts = at::searchsorted(sorted, at::arange(call.cells() + 1, cells.options()), /*out_int32=*/true);
  return {order.data_ptr<int64_t>(), starts.data_ptr<int32_t>(), nullptr};
}

void run_deterministic_backward(Call& call, Gradients& gradients, bool reference_grad) {
  Arguments& a = call.arguments;
  const auto stream = c10::cuda::getCurrentCUDAStream().stream();
  TORCH_CHECK_VALUE(call.fits_32_bits(), "there are ", call.samples(), " samples and ", call.cells(), " squares between "
                    "the pixels of all heads; deterministic algorithms take less than 2^31 of each on CUDA");
  at::Tensor cells = at::empty({call.samples()}, call.value.options().dtype(at::kInt));
  const at::Tensor placements = call.scratch(3 * call.samples());
  const at::Tensor pixel_gradients = call.scratch(reference_grad ? 2 * call.samples() : 0);
  a.sample_cells = cells.data_ptr<int32_t>();
  a.placements = placements.data_ptr();
  if (reference_grad) a.pixel_gradients = pixel_gradients.data_ptr();
  C10_CUDA_CHECK(launch_backward(a, call.storage_type(), call.fused, stream));

  gradients.value = at::empty_like(call.value);
  if (gradients.value.numel() > 0) {
    at::Tensor order, starts;
    GatherArguments gather = sort_cells(call, std::move(cells), order, starts);
    gather.grad_value = gradients.value.data_ptr();
    C10_CUDA_CHECK(launch_gather_value_gradient(a, gather, call.storage_type(), stream));
  }
  if (reference_grad) {
    gradients.reference = at::empty_like(call.reference);
    C10_CUDA_CHECK(launch_sum_reference_gradient(a, gradients.reference.data_ptr(), call.reference.size(0) == 1,
                                                 call.reference.size(2) == 1, call.storage_type(), stream));
  }
}

// Gradients in the types of the kernels.
Gradients backward(Call& call, bool reference_grad) {
  Gradients gradients;
  if (call.nothing_to_do()) {
    gradients = {at::zeros_like(call.value), at::zeros(call.points.sizes(), call.points.options()),
                 at::zeros(call.weights.sizes(), call.weights.options()), {}};
    if (reference_grad) gradients.reference = at::zeros_like(call.reference);
    return gradients;
  }
  gradients.points = at::empty(call.points.sizes(), call.points.options());
  gradients.weights = at::empty(call.weights.sizes(), call.weights.options());
  call.arguments.grad_points = gradients.points.data_ptr();
  call.arguments.grad_weights = gradients.weights.data_ptr();
  at::Tensor stash;
  if (call.fused && !stash_fits(call.arguments, call.storage_type())) {
    stash = call.scratch(call.samples());
    call.arguments.stash = stash.data_ptr();
  }
  if (at::globalContext().deterministicAlgorithms()) {
    run_deterministic_backward(call, gradients, reference_grad);
  } else {
    run_backward(call, gradients, reference_grad);
  }
  return gradients;
}

}  // namespace

at::Tensor ms_deform_attn(const at::Tensor& value, at::IntArrayRef spatial_shapes,
                          const at::Tensor& sampling_locations, const at::Tensor& attention_weights) {
  return forward(value, spatial_shapes, sampling_locations, attention_weights, nullptr);
}

at::Tensor ms_deform_attn_fused(const at::Tensor& value, at::IntArrayRef spatial_shapes,
                                const at::Tensor& reference_points, const at::Tensor& offsets,
                                const at::Tensor& logits) {
  return forward(value, spatial_shapes, offsets, logits, &reference_points);
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> ms_deform_attn_backward(const at::Tensor& grad_output,
                                                                       const at::Tensor& value,
                                                                       at::IntArrayRef spatial_shapes,
                                                                       const at::Tensor& sampling_locations,
                                                                       const at::Tensor& attention_weights) {
  const c10::cuda::CUDAGuard guard(value.device());
  Call call(value, spatial_shapes, sampling_locations, attention_weights, nullptr, &grad_output);
  const Gradients gradients = backward(call, false);
  return {gradients.value.to(value.scalar_type()), gradients.points.to(sampling_locations.scalar_type()),
          gradients.weights.to(attention_weights.scalar_type())};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> ms_deform_attn_fused_backward(
    const at::Tensor& grad_output, const at::Tensor& value, at::IntArrayRef spatial_shapes,
    const at::Tensor& reference_points, const at::Tensor& offsets, const at::Tensor& logits, bool reference_grad) {
  const c10::cuda::CUDAGuard guard(value.device());
  Call call(value, spatial_shapes, offsets, logits, &reference_points, &grad_output);
  const Gradients gradients = backward(call, reference_grad);
  return {gradients.value.to(value.scalar_type()),
          reference_grad ? gradients.reference.to(reference_points.scalar_type())
                         : at::empty({0}, reference_points.options()),
          gradients.points.to(offsets.scalar_type()), gradients.weights.to(logits.scalar_type())};
}

}  // namespace cuda
}  // namespace mmvitdense
