// The operator map_attention: checks, memory, threads.
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include <cmath>
#include <cstdlib>
#include <cstring>

#include "map_attention.h"

namespace mmvitdense {
namespace cpu {
namespace {

// Kernels of a type, null members where this processor or compiler has none.
AttentionKernels attention_kernels(at::ScalarType type) {
#ifdef MMVITDENSE_MAP_ATTENTION
  const char* limit = std::getenv("MMVITDENSE_CPU_CAPABILITY");
  const bool allowed = !limit || !*limit || !std::strcmp(limit, "avx512");
  const bool wide = allowed && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                    __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                    __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (wide && type == at::kFloat) return map_attention_avx512::attention_kernels();
  if (wide && type == at::kBFloat16 && __builtin_cpu_supports("avx512bf16"))
    return map_attention_bfloat16::attention_kernels();
#endif
  return {};
}

bool has_map_attention(bool bfloat16) { return attention_kernels(bfloat16 ? at::kBFloat16 : at::kFloat).attend; }

void check_table(const at::Tensor& table, int64_t side, int64_t dims) {
  const int64_t wide = (side + 15) / 16 * 16;
  TORCH_CHECK_VALUE(table.sizes().equals({side, dims, wide}) && table.scalar_type() == at::kFloat &&
                        table.is_contiguous() && table.device().is_cpu(),
                    "a table has shape ", table.sizes(), "; expected ", side, " x ", dims, " x ", wide, " in float32");
}

void check_biases(const at::Tensor& biases, at::IntArrayRef sizes) {
  TORCH_CHECK_VALUE(biases.sizes().equals(sizes) && biases.scalar_type() == at::kFloat && biases.is_contiguous() &&
                        biases.device().is_cpu(),
                    "biases have shape ", biases.sizes(), "; expected ", sizes, " in float32");
}

at::Tensor map_attention(const at::Tensor& qkv, int64_t heads, int64_t height, int64_t width, int64_t window,
                         const c10::optional<at::Tensor>& fill, const c10::optional<at::Tensor>& row_table,
                         const c10::optional<at::Tensor>& column_table, const c10::optional<at::Tensor>& offsets,
                         const c10::optional<at::Tensor>& of_prefix) {
  const AttentionKernels kernels = attention_kernels(qkv.scalar_type());
  TORCH_CHECK_VALUE(kernels.attend, "map_attention has no kernel for ", qkv.scalar_type(), " on this processor");
  TORCH_CHECK_VALUE(qkv.dim() == 3 && heads > 0 && qkv.size(2) > 0 && qkv.size(2) % (3 * heads) == 0, "qkv has shape ",
                    qkv.sizes(), "; expected B x N x 3 * heads * dims of ", heads, " heads");
  TORCH_CHECK_VALUE(height > 0 && width > 0 && height * width <= qkv.size(1) && window >= 0, "a map of ", height, " x ",
                    width, " in windows of ", window, " does not fit ", qkv.size(1), " tokens");
  const at::Tensor input = qkv.contiguous();
  AttentionCall call{};
  call.qkv = input.const_data_ptr();
  call.batch = qkv.size(0);
  call.heads = heads;
  call.dims = qkv.size(2) / (3 * heads);
  call.height = height;
  call.width = width;
  call.window = window;
  call.prefix = qkv.size(1) - height * width;
  call.scale = 1.0f / std::sqrt(static_cast<float>(call.dims));
  at::Tensor beyond;
  if (fill) {
    TORCH_CHECK_VALUE(fill->sizes().equals({qkv.size(2)}), "fill has shape ", fill->sizes(), "; expected that of a token");
    beyond = fill->to(qkv.scalar_type()).contiguous();
    call.fill = beyond.const_data_ptr();
  }
  TORCH_CHECK_VALUE(row_table.has_value() == column_table.has_value(), "one table is given; expected two or none");
  if (row_table) {
    check_table(*row_table, window ? window : height, call.dims);
    check_table(*column_table, window ? window : width, call.dims);
    call.row_table = row_table->const_data_ptr<float>();
    call.column_table = column_table->const_data_ptr<float>();
  }
  TORCH_CHECK_VALUE(offsets.has_value() == of_prefix.has_value() && !(offsets && row_table),
                    "biases of offsets are given with those of the prefix, and without tables");
  if (offsets) {
    const int64_t rows = window ? window : height, columns = window ? window : width;
    check_biases(*offsets, {heads, 2 * rows - 1, 2 * columns - 1});
    check_biases(*of_prefix, {heads, 3});
    call.offsets = offsets->const_data_ptr<float>();
    call.of_prefix = of_prefix->const_data_ptr<float>();
  }
  const at::Tensor out =
      at::empty({call.batch, window ? height * width : call.tokens(), heads * call.dims}, qkv.options());
  if (call.batch == 0) return out;
  call.out = out.mutable_data_ptr();
  call.packed_bytes = (kernels.packed_bytes(call) + 63) / 64 * 64;
  const int64_t items = call.sequences() * heads;
  const at::Tensor packed = at::empty({items * call.packed_bytes + 64}, qkv.options().dtype(at::kByte));
  char* const memory = reinterpret_cast<char*>(packed.mutable_data_ptr());
  call.packed = memory + (64 - reinterpret_cast<uintptr_t>(memory) % 64) % 64;
  at::parallel_for(0, items, 1, [&](int64_t begin, int64_t end) { kernels.pack(call, begin, end); });
  at::parallel_for(0, items * kernels.blocks(call), 1,
                   [&](int64_t begin, int64_t end) { kernels.attend(call, begin, end); });
  return out;
}

}  // namespace

TORCH_LIBRARY_IMPL(mmvitdense, CPU, library) { library.impl("map_attention", &map_attention); }
TORCH_LIBRARY_IMPL(mmvitdense, CompositeExplicitAutograd, library) {
  library.impl("has_map_attention", &has_map_attention);
}

}  // namespace cpu
}  // namespace mmvitdense
