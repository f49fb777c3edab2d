// The operators on a CPU: checks, memory, and how the work is divided.
//
// No two tasks write the same number, and within a task the order is fixed, so results are the same to the bit however
// many threads there are.

#pragma once

#include "../ops.h"

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "call.h"
#include "scratch.h"

namespace mmvitdense {
namespace cpu {
namespace {

Type type_of(const at::Tensor& t) {
  switch (t.scalar_type()) {
    case at::kDouble:
      return Type::kDouble;
    case at::kBFloat16:
      return Type::kBFloat16;
    case at::kHalf:
      return Type::kHalf;
    default:
      return Type::kFloat;
  }
}

// `t` itself where the dimensions from the third on are contiguous, else a copy.
at::Tensor with_plain_rows(const at::Tensor& t) {
  int64_t expected = 1;
  for (int64_t d = t.dim() - 1; d >= 2; --d) {
    if (t.size(d) != 1 && t.stride(d) != expected) return t.contiguous();
    expected *= t.size(d);
  }
  return t;
}

Rows rows(const at::Tensor& t) { return {t.data_ptr(), type_of(t), t.stride(0), t.stride(1)}; }

// The arguments of either operator in one shape, and copies where their strides ask for it.
struct Inputs {
  at::Tensor value, points, weights, reference;
  Problem problem;
  Call call{};

  Inputs(const at::Tensor& value_in, at::IntArrayRef shapes, const at::Tensor& points_in, const at::Tensor& weights_in,
         const at::Tensor* reference_in, const at::Tensor* grad_output)
      : value(value_in.size(-1) == 1 || value_in.stride(-1) == 1 ? value_in : value_in.contiguous()),
        points(points_in),
        weights(weights_in),
        problem(check_problem(value_in, shapes, points_in, weights_in, reference_in, grad_output)) {
    TORCH_CHECK_VALUE(problem.positions <= INT32_MAX, "value has ", problem.positions,
                      " positions (its dimension 1); at most 2^31 - 1 are possible");
    points = with_plain_rows(points);
    weights = with_plain_rows(weights);
    call.batch = problem.batch;
    call.queries = problem.queries;
    call.heads = problem.heads;
    call.channels = problem.channels;
    call.positions = problem.positions;
    call.points = problem.points;
    call.levels = static_cast<int64_t>(problem.levels.size());
    call.level = problem.levels.data();
    call.points_in = rows(points);
    call.weights_in = rows(weights);
    call.value = value.data_ptr();
    call.value_type = type_of(value);
    call.value_batch = value.stride(0);
    call.value_position = value.stride(1);
    call.value_head = value.stride(2);
    call.fused = call.softmax = reference_in != nullptr;
    if (!call.fused) return;
    reference = reference_in->contiguous();
    call.reference = rows(reference);
    if (reference.size(0) == 1) call.reference.batch = 0;
    call.reference_size = reference.size(3);
    call.reference_level = reference.size(2) == 1 ? 0 : call.reference_size;
  }
  Inputs(const Inputs&) = delete;

  bool empty() const {
    return !call.batch || !call.queries || !call.heads || !call.channels || !call.positions || !call.points ||
           !call.levels;
  }
};

// Reading a head's channels from one place costs a copy and repays it where positions are read several times.
template <typename A>
bool worth_packing(const Call& call) {
  if (call.value_type != kTypeOf<A>) return true;
  return call.value_position != call.channels && call.queries * call.levels * call.points >= call.positions;
}

template <typename F>
void for_each_task(int64_t tasks, const F& run) {
  at::parallel_for(0, tasks, 1, [&](int64_t first, int64_t last) {
    for (int64_t task = first; task < last; ++task) run(task);
  });
}

template <typename A>
void forward(const Call& call) {
  constexpr int64_t chunk = 512, wave_bytes = int64_t(8) << 20;
  const Kernels<A>& k = kernels<A>();
  const int64_t heads = call.batch * call.heads, head_size = call.positions * call.channels;
  const int64_t chunks = (call.queries + chunk - 1) / chunk;
  const auto run = [&](int64_t head, int64_t part, HeadValue<A> value) {
    k.forward(call, head / call.heads, head % call.heads, part * chunk, std::min(call.queries, (part + 1) * chunk),
              value);
  };
  if (!worth_packing<A>(call)) {
    const A* value = static_cast<const A*>(call.value);
    for_each_task(heads * chunks, [&](int64_t task) {
      const int64_t head = task / chunks;
      const int64_t start = head / call.heads * call.value_batch + head % call.heads * call.value_head;
      run(head, task % chunks, {value + start, call.value_position});
    });
    return;
  }
  const int64_t head_bytes = head_size * static_cast<int64_t>(sizeof(A));
  const int64_t wave = std::min(heads, std::max<int64_t>(1, wave_bytes / head_bytes));
  const int64_t part_size = std::max<int64_t>(1, (int64_t(1) << 16) / call.channels);
  const int64_t parts = (call.positions + part_size - 1) / part_size;
  const Scratch<A> packed(wave * head_size);
  for (int64_t first = 0; first < heads; first += wave) {
    const int64_t count = std::min(wave, heads - first);
    for_each_task(count * parts, [&](int64_t task) {
      const int64_t i = task / parts, head = first + i, start = task % parts * part_size;
      k.pack(call, head / call.heads, head % call.heads, start, std::min(call.positions, start + part_size),
             packed.data() + i * head_size + start * call.channels);
    });
    for_each_task(count * chunks, [&](int64_t task) {
      const int64_t i = task / chunks;
      run(first + i, task % chunks, {packed.data() + i * head_size, call.channels});
    });
  }
}

// A task is one level of one head: it alone touches that part of the gradient of the value, and level by level the
// caches hold most of what it touches.
template <typename A>
void backward_levels(const Call& call, A* grad_reference) {
  const Kernels<A>& k = kernels<A>();
  const bool packs = worth_packing<A>(call);
  int64_t largest = 0;
  for (int64_t i = 0; i < call.levels; ++i)
    largest = std::max(largest, int64_t(call.level[i].height) * call.level[i].width * call.channels);
  at::parallel_for(0, call.batch * call.heads * call.levels, 1, [&](int64_t first_task, int64_t last_task) {
    const Scratch<A> gradient(largest), packed(packs ? largest : 0);
    for (int64_t task = first_task; task < last_task; ++task) {
      const int64_t head = task / call.levels, level = task % call.levels;
      const int64_t b = head / call.heads, m = head % call.heads;
      const int64_t first = call.level[level].start;
      const int64_t last = first + int64_t(call.level[level].height) * call.level[level].width;
      std::fill_n(gradient.data(), (last - first) * call.channels, A(0));
      HeadValue<A> value{packed.data(), call.channels};
      if (packs) {
        k.pack(call, b, m, first, last, packed.data());
      } else {
        const int64_t start = b * call.value_batch + m * call.value_head + first * call.value_position;
        value = {static_cast<const A*>(call.value) + start, call.value_position};
      }
      k.backward(call, b, m, value, {level, gradient.data(), grad_reference});
      k.unpack(call, b, m, first, last, gradient.data());
    }
  });
}

// The softmax is done before, and its gradient after, all heads of a query at once: levels could not share it.
template <typename A>
void backward(Call& call, A* grad_reference) {
  if (!call.fused) return backward_levels(call, grad_reference);
  constexpr int64_t chunk = 256;
  const Kernels<A>& k = kernels<A>();
  const int64_t in_query = call.heads * call.levels * call.points, in_image = call.queries * in_query;
  const int64_t chunks = (call.queries + chunk - 1) / chunk;
  const Scratch<A> weights(call.batch * in_image), grad_weights(call.batch * in_image);
  for_each_task(call.batch * chunks, [&](int64_t task) {
    const int64_t first = task % chunks * chunk;
    k.softmax_rows(call, task / chunks, first, std::min(call.queries, first + chunk), weights.data());
  });
  const Rows grad_logits = call.grad_weights;
  call.softmax = false;
  call.weights_in = {weights.data(), kTypeOf<A>, in_image, in_query};
  call.grad_weights = {grad_weights.data(), kTypeOf<A>, in_image, in_query};
  backward_levels(call, grad_reference);
  for_each_task(call.batch * chunks, [&](int64_t task) {
    const int64_t first = task % chunks * chunk;
    k.logit_gradients(call, task / chunks, first, std::min(call.queries, first + chunk), weights.data(),
                      grad_weights.data(), grad_logits);
  });
}

// The gradient of reference_points from the sums over points, B x Q x M x L x (2|4): over heads, and over images and
// levels where they share a point.
template <typename A>
at::Tensor sum_references(const Call& call, const at::Tensor& reference, const at::Tensor& partial) {
  const int64_t images = reference.size(0), levels = reference.size(2), size = reference.size(3);
  at::Tensor sums = at::zeros(reference.sizes(), partial.options());
  A* const out = sums.mutable_data_ptr<A>();
  const A* const in = partial.const_data_ptr<A>();
  at::parallel_for(0, call.queries, 256, [&](int64_t first, int64_t last) {
    for (int64_t q = first; q < last; ++q) {
      for (int64_t b = 0; b < call.batch; ++b) {
        A* const row = out + ((images == 1 ? 0 : b) * call.queries + q) * levels * size;
        const A* from = in + (b * call.queries + q) * call.heads * call.levels * size;
        for (int64_t m = 0; m < call.heads; ++m)
          for (int64_t level = 0; level < call.levels; ++level, from += size)
            for (int64_t i = 0; i < size; ++i) row[(levels == 1 ? 0 : level) * size + i] += from[i];
      }
    }
  });
  return sums.to(reference.scalar_type());
}

at::Tensor run_forward(Inputs& in) {
  Call& call = in.call;
  at::Tensor output = at::empty({call.batch, call.queries, call.heads * call.channels}, in.value.options());
  if (in.empty()) return output.zero_();
  call.output = rows(output);
  if (in.problem.wide) {
    forward<double>(call);
  } else {
    forward<float>(call);
  }
  return output;
}

struct Gradients {
  at::Tensor value, points, weights, reference;
};

Gradients run_backward(Inputs& in, const at::Tensor& grad_output_in, bool reference_grad) {
  Call& call = in.call;
  const auto like = [](const at::Tensor& t) { return at::empty(t.sizes(), t.options()); };
  Gradients out{like(in.value), like(in.points), like(in.weights), {}};
  if (call.fused) out.reference = at::empty({0}, in.reference.options());
  if (in.empty()) {
    out.value.zero_();
    out.points.zero_();
    out.weights.zero_();
    if (reference_grad) out.reference = at::zeros(in.reference.sizes(), in.reference.options());
    return out;
  }
  const at::Tensor grad_output = with_plain_rows(grad_output_in);
  call.grad_output = rows(grad_output);
  call.grad_points = rows(out.points);
  call.grad_weights = rows(out.weights);
  call.grad_value = out.value.data_ptr();
  const auto wide = in.value.options().dtype(in.problem.wide ? at::kDouble : at::kFloat);
  at::Tensor reference;
  if (reference_grad)
    reference = at::empty({call.batch, call.queries, call.heads, call.levels, call.reference_size}, wide);
  const auto run = [&](auto zero) {
    using A = decltype(zero);
    backward<A>(call, reference_grad ? reference.mutable_data_ptr<A>() : nullptr);
    if (reference_grad) out.reference = sum_references<A>(call, in.reference, reference);
  };
  if (in.problem.wide) {
    run(double(0));
  } else {
    run(float(0));
  }
  return out;
}

}  // namespace

at::Tensor ms_deform_attn(const at::Tensor& value, at::IntArrayRef spatial_shapes,
                          const at::Tensor& sampling_locations, const at::Tensor& attention_weights) {
  Inputs in(value, spatial_shapes, sampling_locations, attention_weights, nullptr, nullptr);
  return run_forward(in);
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> ms_deform_attn_backward(const at::Tensor& grad_output,
                                                                       const at::Tensor& value,
                                                                       at::IntArrayRef spatial_shapes,
                                                                       const at::Tensor& sampling_locations,
                                                                       const at::Tensor& attention_weights) {
  Inputs in(value, spatial_shapes, sampling_locations, attention_weights, nullptr, &grad_output);
  Gradients out = run_backward(in, grad_output, false);
  return {out.value, out.points, out.weights};
}

at::Tensor ms_deform_attn_fused(const at::Tensor& value, at::IntArrayRef spatial_shapes,
                                const at::Tensor& reference_points, const at::Tensor& offsets,
                                const at::Tensor& logits) {
  Inputs in(value, spatial_shapes, offsets, logits, &reference_points, nullptr);
  return run_forward(in);
}

std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> ms_deform_attn_fused_backward(
    const at::Tensor& grad_output, const at::Tensor& value, at::IntArrayRef spatial_shapes,
    const at::Tensor& reference_points, const at::Tensor& offsets, const at::Tensor& logits, bool reference_grad) {
  Inputs in(value, spatial_shapes, offsets, logits, &reference_points, &grad_output);
  Gradients out = run_backward(in, grad_output, reference_grad);
  return {out.value, out.reference, out.points, out.weights};
}

}  // namespace cpu
}  // namespace mmvitdense
