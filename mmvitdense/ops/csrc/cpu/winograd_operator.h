// The operators of 3x3 convolutions by Winograd's algorithm: checks, memory, threads.
#include <ATen/Parallel.h>
#include <ATen/ops/as_strided.h>
#include <ATen/ops/empty.h>

#include "winograd.h"

namespace mmvitdense {
namespace cpu {
namespace {

WinogradMap map_of(const at::Tensor& maps) {
  TORCH_CHECK_VALUE(maps.dim() == 4 && maps.scalar_type() == at::kFloat && maps.device().is_cpu(), "maps have shape ",
                    maps.sizes(), " in ", maps.scalar_type(), "; expected B x C x H x W in float32");
  return {maps.size(0),   maps.size(1),   maps.size(2),   maps.size(3),
          maps.stride(0), maps.stride(1), maps.stride(2), maps.stride(3)};
}

at::Tensor winograd_input(const at::Tensor& maps, int64_t padding, int64_t first, int64_t count) {
  WinogradInput call{};
  call.shape = map_of(maps);
  const int64_t height = call.shape.height + 2 * padding - 2, width = call.shape.width + 2 * padding - 2;
  TORCH_CHECK_VALUE(padding >= 0 && height > 0 && width > 0, "maps have shape ", maps.sizes(),
                    "; expected at least 3 pixels each way with the padding");
  call.rows_of_tiles = (height + 3) / 4;
  call.tiles_in_row = (width + 3) / 4;
  TORCH_CHECK_VALUE(first >= 0 && count >= 0 && first + count <= call.shape.images * call.rows_of_tiles, "rows ", first,
                    " to ", first + count, " of tiles do not fit maps of shape ", maps.sizes());
  call.maps = maps.const_data_ptr<float>();
  call.padding = padding;
  call.first = first;
  call.count = count;
  const int64_t tiles = count * call.tiles_in_row;
  // 36 places are written in turns: a distance that is no power of two lets the caches hold all of them.
  call.distance = tiles * call.shape.channels + 5 * kWinogradBlock;
  const at::Tensor out = at::empty({36 * call.distance}, maps.options());
  call.out = out.mutable_data_ptr<float>();
  const int64_t blocks = (call.shape.channels + kWinogradBlock - 1) / kWinogradBlock;
  at::parallel_for(0, count * blocks, 1,
                   [&](int64_t begin, int64_t end) { winograd_kernels().input(call, begin, end); });
  return out.as_strided({36, tiles, call.shape.channels}, {call.distance, call.shape.channels, 1});
}

void winograd_output(at::TensorList products, const c10::optional<at::Tensor>& bias, bool relu, int64_t first,
                     int64_t count, at::Tensor& maps) {
  WinogradOutput call{};
  call.shape = map_of(maps);
  call.rows_of_tiles = (call.shape.height + 3) / 4;
  call.tiles_in_row = (call.shape.width + 3) / 4;
  TORCH_CHECK_VALUE(products.size() == 36, products.size(), " products are given; expected 36");
  TORCH_CHECK_VALUE(first >= 0 && count >= 0 && first + count <= call.shape.images * call.rows_of_tiles, "rows ", first,
                    " to ", first + count, " of tiles do not fit maps of shape ", maps.sizes());
  for (int64_t i = 0; i < 36; ++i) {
    const at::Tensor& product = products[i];
    TORCH_CHECK_VALUE(product.sizes().equals({count * call.tiles_in_row, call.shape.channels}) &&
                          product.is_contiguous() && product.scalar_type() == at::kFloat,
                      "a product has shape ", product.sizes(), "; expected tiles x channels of the maps in float32");
    call.products[i] = product.const_data_ptr<float>();
  }
  if (bias) {
    TORCH_CHECK_VALUE(bias->sizes().equals({call.shape.channels}) && bias->is_contiguous() &&
                          bias->scalar_type() == at::kFloat,
                      "bias has shape ", bias->sizes(), "; expected one number for each channel in float32");
    call.bias = bias->const_data_ptr<float>();
  }
  call.relu = relu;
  call.maps = maps.mutable_data_ptr<float>();
  call.first = first;
  call.count = count;
  const int64_t blocks = (call.shape.channels + kWinogradBlock - 1) / kWinogradBlock;
  at::parallel_for(0, count * blocks, 1,
                   [&](int64_t begin, int64_t end) { winograd_kernels().output(call, begin, end); });
}

}  // namespace

TORCH_LIBRARY_IMPL(mmvitdense, CPU, library) {
  library.impl("winograd_input", &winograd_input);
  library.impl("winograd_output", &winograd_output);
}

}  // namespace cpu
}  // namespace mmvitdense
