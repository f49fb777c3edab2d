// What the CPU kernels are given, as plain data: their files include no header of torch, and compile in a second or two.
#pragma once

#include <cstdint>

#include "../ms_deform_attn.h"

namespace mmvitdense {
namespace cpu {

enum class Type : int { kFloat, kDouble, kBFloat16, kHalf };

template <typename A>
constexpr Type kTypeOf = sizeof(A) == sizeof(double) ? Type::kDouble : Type::kFloat;

// A tensor that is contiguous from its third dimension on. Strides are in elements.
struct Rows {
  void* data = nullptr;
  Type type = Type::kFloat;
  int64_t batch = 0, query = 0;
};

struct Call {
  int64_t batch, queries, heads, channels, positions, points, levels;
  const Level* level;
  bool fused;

  Rows points_in;                   // locations or offsets
  Rows weights_in;                  // weights, or logits where `softmax`
  bool softmax;
  Rows reference;                   // fused: batch stride 0 where images share it
  int64_t reference_size = 0;       // 2 or 4
  int64_t reference_level = 0;      // stride of levels, 0 where they share it

  const void* value;                // channels contiguous
  Type value_type;
  int64_t value_batch, value_position, value_head;

  Rows output;                      // forward
  Rows grad_output;                 // backward, and all below
  Rows grad_points, grad_weights;
  void* grad_value;                 // contiguous, of value_type
};

// The tensors of one head of one image as the kernels read them: D channels at `data + position * stride`.
template <typename A>
struct HeadValue {
  const A* data;
  int64_t stride;
};

// What `backward` does for one level of a head.
template <typename A>
struct LevelBackward {
  int64_t level;
  A* grad_value;      // D channels per position of the level; zeroed
  A* grad_reference;  // fused: B x Q x M x L x reference_size, or null
};

// One instruction set's kernels. Each call works on one head of one image and shares no output with any other call.
template <typename A>
struct Kernels {
  // Copy positions first..last of the head to `packed`, D channels each.
  void (*pack)(const Call&, int64_t b, int64_t m, int64_t first, int64_t last, A* packed);
  // Write positions first..last of the head's gradient from `packed`, whose first row is position `first`.
  void (*unpack)(const Call&, int64_t b, int64_t m, int64_t first, int64_t last, const A* packed);
  void (*forward)(const Call&, int64_t b, int64_t m, int64_t first_query, int64_t last_query, HeadValue<A>);
  // The value starts at the level's first position.
  void (*backward)(const Call&, int64_t b, int64_t m, HeadValue<A>, LevelBackward<A>);
  // Fused: the softmax of the logits of some queries of image b, all heads; `weights` is B x Q x M x L x P.
  void (*softmax_rows)(const Call&, int64_t b, int64_t first_query, int64_t last_query, A* weights);
  // Fused, after `backward` has run for all levels and heads: the gradients of the logits, from the weights and theirs.
  void (*logit_gradients)(const Call&, int64_t b, int64_t first_query, int64_t last_query, const A* weights,
                          const A* grad_weights, const Rows& grad_logits);
};

// The kernels for the processor at hand. MMVITDENSE_CPU_CAPABILITY=baseline, avx2 or avx512 asks for less than it can.
template <typename A>
const Kernels<A>& kernels();

}  // namespace cpu
}  // namespace mmvitdense
