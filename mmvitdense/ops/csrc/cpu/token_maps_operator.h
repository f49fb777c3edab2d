// The operators of maps in the order of tokens: checks, memory, threads.
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <vector>

#include "token_maps.h"

namespace mmvitdense {
namespace cpu {
namespace {

void check_numbers(const at::Tensor& numbers, const char* name, at::IntArrayRef sizes) {
  TORCH_CHECK_VALUE(numbers.sizes().equals(sizes) && numbers.scalar_type() == at::kFloat && numbers.is_contiguous() &&
                        numbers.device().is_cpu(),
                    name, " has shape ", numbers.sizes(), " in ", numbers.scalar_type(), "; expected contiguous ", sizes,
                    " in float32");
}

at::Tensor depthwise_tokens(const at::Tensor& tokens, at::IntArrayRef grids, at::TensorList weights,
                            at::TensorList biases, int64_t gelus) {
  const bool bfloat16 = tokens.scalar_type() == at::kBFloat16;
  TORCH_CHECK_VALUE(tokens.dim() == 3 && (bfloat16 || tokens.scalar_type() == at::kFloat), "tokens have shape ",
                    tokens.sizes(), " in ", tokens.scalar_type(), "; expected B x N x C in float32 or bfloat16");
  const int64_t levels = static_cast<int64_t>(grids.size()) / 2, groups = levels ? weights.size() / levels : 0;
  TORCH_CHECK_VALUE(grids.size() % 2 == 0 && static_cast<int64_t>(weights.size()) == levels * groups &&
                        weights.size() == biases.size() && gelus >= 0,
                    weights.size(), " weights and ", biases.size(), " biases are given for ", levels,
                    " levels; expected as many of both, the same number for each level");
  std::vector<TokenLevel> found;
  int64_t start = 0, blocks = 0, rows = 0;
  for (int64_t i = 0; i < levels; ++i) {
    TokenLevel level{start, grids[2 * i], grids[2 * i + 1], 0, 0, 0, nullptr, nullptr};
    TORCH_CHECK_VALUE(level.height >= 0 && level.width >= 0, "a level has ", level.height, " x ", level.width,
                      " places; expected sizes from 0 on");
    for (int64_t group = i * groups; group < (i + 1) * groups; ++group) {
      const at::Tensor& weight = weights[group];
      TORCH_CHECK_VALUE(weight.dim() == 3 && weight.size(0) == weight.size(1) && weight.size(0) % 2 == 1,
                        "a weight has shape ", weight.sizes(), "; expected side x side x channels of an odd side");
      level.side = weight.size(0);
      level.channels = weight.size(2);
      check_numbers(weight, "a weight", {level.side, level.side, level.channels});
      check_numbers(biases[group], "a bias", {level.channels});
      level.weight = weight.const_data_ptr<float>();
      level.bias = biases[group].const_data_ptr<float>();
      if (level.width > 0) {
        found.push_back(level);
        rows += row_blocks(level);
      }
      blocks = std::max(blocks, channel_blocks(level.channels));
      level.first += level.channels;
    }
    TORCH_CHECK_VALUE(level.first == tokens.size(2), "the weights of a level have ", level.first,
                      " channels; expected those of tokens of shape ", tokens.sizes());
    start += level.height * level.width;
  }
  TORCH_CHECK_VALUE(start == tokens.size(1), "levels have ", start, " places; expected those of tokens of shape ",
                    tokens.sizes());
  const at::Tensor input = tokens.contiguous();
  const at::Tensor out = at::empty(input.sizes(), input.options());
  if (out.numel() == 0) return out;
  const DepthwiseCall call{input.const_data_ptr(), out.mutable_data_ptr(), bfloat16, static_cast<int>(gelus),
                           tokens.size(1),         tokens.size(2),         found.data(), static_cast<int64_t>(found.size())};
  at::parallel_for(0, tokens.size(0) * blocks * rows, 1,
                   [&](int64_t begin, int64_t end) { token_map_kernels().depthwise(call, begin, end); });
  return out;
}

// For each level and each range of its channels, of which all levels have the same, (side * side + 1) x channels.
std::vector<at::Tensor> depthwise_tokens_gradients(const at::Tensor& tokens, const at::Tensor& grad,
                                                   at::IntArrayRef grids, at::IntArrayRef sides,
                                                   at::IntArrayRef channels) {
  const bool bfloat16 = tokens.scalar_type() == at::kBFloat16;
  TORCH_CHECK_VALUE(tokens.dim() == 3 && (bfloat16 || tokens.scalar_type() == at::kFloat) &&
                        grad.sizes().equals(tokens.sizes()) && grad.scalar_type() == tokens.scalar_type(),
                    "tokens have shape ", tokens.sizes(), " in ", tokens.scalar_type(), " and their gradient ",
                    grad.sizes(), " in ", grad.scalar_type(), "; expected the same, float32 or bfloat16");
  TORCH_CHECK_VALUE(grids.size() % 2 == 0 && sides.size() == channels.size(), sides.size(), " sides and ",
                    channels.size(), " numbers of channels are given; expected as many of both");
  std::vector<TokenLevel> levels;
  std::vector<at::Tensor> results;
  std::vector<float*> out;
  int64_t start = 0, blocks = 0;
  for (size_t i = 0; i + 1 < grids.size(); i += 2) {
    TokenLevel level{start, grids[i], grids[i + 1], 0, 0, 0, nullptr, nullptr};
    for (size_t group = 0; group < sides.size(); ++group) {
      level.side = sides[group];
      level.channels = channels[group];
      TORCH_CHECK_VALUE(level.side % 2 == 1 && level.side > 0 && level.channels >= 0, "a side of ", level.side,
                        " is given; expected an odd one");
      levels.push_back(level);
      results.push_back(at::empty({level.side * level.side + 1, level.channels}, tokens.options().dtype(at::kFloat)));
      out.push_back(results.back().mutable_data_ptr<float>());
      blocks = std::max(blocks, channel_blocks(level.channels));
      level.first += level.channels;
    }
    TORCH_CHECK_VALUE(level.first == tokens.size(2), "ranges have ", level.first,
                      " channels; expected those of tokens of shape ", tokens.sizes());
    start += level.height * level.width;
  }
  TORCH_CHECK_VALUE(start == tokens.size(1), "levels have ", start, " places; expected those of tokens of shape ",
                    tokens.sizes());
  const at::Tensor input = tokens.contiguous(), grad_output = grad.contiguous();
  const DepthwiseGradients call{input.const_data_ptr(), grad_output.const_data_ptr(), bfloat16, tokens.size(0),
                                tokens.size(1), tokens.size(2), levels.data(), out.data(),
                                static_cast<int64_t>(levels.size())};
  at::parallel_for(0, blocks * call.levels, 1, [&](int64_t begin, int64_t end) {
    token_map_kernels().depthwise_gradients(call, begin, end);
  });
  return results;
}

at::Tensor sum_maps(at::TensorList maps, const c10::optional<at::Tensor>& small, const c10::optional<at::Tensor>& gain,
                    const c10::optional<at::Tensor>& shift) {
  TORCH_CHECK_VALUE(!maps.empty() && maps.size() <= 3, maps.size(), " maps are given; expected 1 to 3");
  SumCall call{};
  std::vector<at::Tensor> kept;
  // B x C x H x W whose memory is B x H x W x C, which most are.
  const auto laid_out = [&](const at::Tensor& given) {
    TORCH_CHECK_VALUE(given.dim() == 4 && given.scalar_type() == at::kFloat && given.device().is_cpu(),
                      "maps have shape ", given.sizes(), " in ", given.scalar_type(),
                      "; expected B x C x H x W in float32");
    const at::Tensor last = given.permute({0, 2, 3, 1});
    const bool dense = last.stride(3) == 1 && last.stride(2) == last.size(3) &&
                       last.stride(1) == last.size(2) * last.size(3);
    kept.push_back(dense ? last : last.contiguous());
    return kept.back();
  };
  for (const at::Tensor& given : maps) {
    TORCH_CHECK_VALUE(given.sizes().equals(maps[0].sizes()), "maps have shapes ", maps[0].sizes(), " and ",
                      given.sizes(), "; expected the same");
    const at::Tensor last = laid_out(given);
    call.summand[call.summands] = last.const_data_ptr<float>();
    call.image[call.summands++] = last.stride(0);
  }
  call.channels = maps[0].size(1);
  call.height = maps[0].size(2);
  call.width = maps[0].size(3);
  if (small) {
    const at::Tensor last = laid_out(*small);
    TORCH_CHECK_VALUE(last.size(0) == maps[0].size(0) && last.size(3) == call.channels && last.numel() > 0,
                      "the map to resize has shape ", small->sizes(), "; expected images and channels of ",
                      maps[0].sizes());
    call.small = last.const_data_ptr<float>();
    call.small_image = last.stride(0);
    call.small_height = last.size(1);
    call.small_width = last.size(2);
  }
  TORCH_CHECK_VALUE(gain.has_value() == shift.has_value(), "gains are given with shifts");
  if (gain) {
    check_numbers(*gain, "gain", {call.channels});
    check_numbers(*shift, "shift", {call.channels});
    call.gain = gain->const_data_ptr<float>();
    call.shift = shift->const_data_ptr<float>();
  }
  const at::Tensor out = at::empty(maps[0].sizes(), maps[0].options(), at::MemoryFormat::Contiguous);
  if (out.numel() == 0) return out;
  call.out = out.mutable_data_ptr<float>();
  at::parallel_for(0, maps[0].size(0) * call.height, 1,
                   [&](int64_t begin, int64_t end) { token_map_kernels().sum(call, begin, end); });
  return out;
}

}  // namespace

TORCH_LIBRARY_IMPL(mmvitdense, CPU, library) {
  library.impl("depthwise_tokens", &depthwise_tokens);
  library.impl("depthwise_tokens_gradients", &depthwise_tokens_gradients);
  library.impl("sum_maps", &sum_maps);
}

}  // namespace cpu
}  // namespace mmvitdense
