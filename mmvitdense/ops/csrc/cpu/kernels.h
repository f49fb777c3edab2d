// The CPU kernels for one instruction set. kernels_*.cpp include this file once each, with MMVITDENSE_ISA as the name
// of a namespace and the instruction set switched on.
//
// The samples of several queries are prepared together, sample by sample in vectors: coordinates, corners, weights.
// Then each query runs over its samples, channel by channel in vectors.

#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <limits>

#include "call.h"

namespace mmvitdense {
namespace cpu {
namespace MMVITDENSE_ISA {

#include "number_types.h"  // before channels.h

#include "channels.h"

// Zeroed memory. Not std::vector: its functions would be compiled for this instruction set under a name that the other
// files share.
template <typename T>
class Buffer {
 public:
  explicit Buffer(int64_t size) : data_(new T[size > 0 ? size : 1]()) {}
  ~Buffer() { delete[] data_; }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  T* data() { return data_; }

 private:
  T* data_;
};

// exp for arguments up to 0, in a form that compilers vectorise; within 2 units in the last place.
MMVITDENSE_HD float exp_of_negative(float x) {
  const float clamped = x < -87.0f ? -87.0f : x;
  const float magic = 0x1.8p23f;  // adding it rounds to an integer, which stands in the low bits
  const float shifted = clamped * 1.44269504f + magic;
  const float n = shifted - magic;
  const float r = (clamped - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.0f / 5040;
  p = p * r + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const float power = float_of((bits_of(shifted) - bits_of(magic) + 127u) << 23);
  return x < -87.0f ? 0.0f : p * power;
}

MMVITDENSE_HD double exp_of_negative(double x) { return std::exp(x); }

constexpr int64_t kLanes = 16;

MMVITDENSE_HD int64_t padded(int64_t n) { return (n + kLanes - 1) / kLanes * kLanes; }

template <typename A>
MMVITDENSE_HD void softmax_of_padded(A* __restrict row, int64_t wide) {
  A maximum = -std::numeric_limits<A>::infinity();
#pragma omp simd reduction(max : maximum)
  for (int64_t i = 0; i < wide; ++i) maximum = row[i] > maximum ? row[i] : maximum;
  A sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < wide; ++i) {
    row[i] = exp_of_negative(row[i] - maximum);
    sum += row[i];
  }
  const A scale = 1 / sum;
  for (int64_t i = 0; i < wide; ++i) row[i] *= scale;
}

// Read a row of `n` logits, and fill it up to padded(n) with ones that weigh nothing.
template <typename A>
MMVITDENSE_HD void load_logits(const Rows& logits, int64_t start, int64_t n, A* row) {
  load_row(logits.data, logits.type, start, n, row);
  for (int64_t i = n; i < padded(n); ++i) row[i] = -std::numeric_limits<A>::infinity();
}

// The softmax of what `load_logits` has read, in place. Best done when several rows have been read: a vector of a row
// that has just been written piece by piece has to wait.
template <typename A>
MMVITDENSE_HD void softmax(A* __restrict row, int64_t n) {
  const int64_t wide = padded(n);
  // A constant length, which most rows have, makes straight code of the loops.
  if (wide == kLanes) return softmax_of_padded(row, kLanes);
  softmax_of_padded(row, wide);
}

// The samples of a run of queries, one head, levels first_level to last_level.
template <typename A>
class Samples {
 public:
  Samples(const Call& call, int64_t head, int64_t first_level, int64_t last_level, bool backward)
      : call_(call),
        head_(head),
        first_level_(first_level),
        row_(call.levels * call.points),
        first_(first_level * call.points),
        count_((last_level - first_level) * call.points),
        queries_(queries_at_once(count_)),
        size_(padded(queries_ * count_)),
        numbers_((backward ? 18 : 11) * size_ + queries_ * (padded(row_) + 4 * call.levels)),
        integers_(8 * size_) {
    const int64_t n = size_;
    A* a = numbers_.data();
    A** const of_numbers[] = {&width_, &height_, &weight, &fx, &fy, &w00, &w01, &w10, &w11};
    for (A** array : of_numbers) {
      *array = a;
      a += n;
    }
    points = a, a += 2 * n;
    logits_ = a, a += queries_ * padded(row_);
    reference_ = a, a += queries_ * 4 * call.levels;
    if (backward) {
      dots = a, a += 4 * n;
      grad_weight = a, a += n;
      grad_point = a, a += 2 * n;
    }
    int32_t* k = integers_.data();
    int32_t** const of_integers[] = {&width_int_, &height_int_, &start_, &reference_at_, &pixel, &right, &down, &mask};
    for (int32_t** array : of_integers) {
      *array = k;
      k += n;
    }
    for (int64_t i = 0; i < queries_ * count_; ++i) {
      const Level& level = call.level[first_level + i % count_ / call.points];
      width_int_[i] = level.width;
      height_int_[i] = level.height;
      width_[i] = static_cast<A>(level.width);
      height_[i] = static_cast<A>(level.height);
      start_[i] = static_cast<int32_t>(level.start - call.level[first_level].start);
      const int64_t own_level = call.reference_level ? i % count_ / call.points : 0;
      reference_at_[i] = static_cast<int32_t>((i / count_ * call.levels + own_level) * call.reference_size);
    }
  }

  int64_t queries() const { return queries_; }
  int64_t size() const { return size_; }

  QuerySamples<A> of_query(int64_t query) const {
    const int64_t i = query * count_;
    return {count_, w00 + i, w01 + i, w10 + i, w11 + i, pixel + i, right + i, down + i, mask + i};
  }

  // Ask for the rows that `prepare` will read.
  void prefetch(int64_t b, int64_t first_query, int64_t last_query) const {
    for (int64_t query = first_query; query < last_query; ++query) {
      prefetch_row(call_.points_in.data, call_.points_in.type,
                   position(call_.points_in, b, query) + 2 * (head_ * row_ + first_), 2 * count_);
      prefetch_row(call_.weights_in.data, call_.weights_in.type,
                   position(call_.weights_in, b, query) + head_ * row_ + first_, count_);
    }
  }

  // Fill in the samples of `queries` queries from `first_query` of image b.
  void prepare(int64_t b, int64_t first_query, int64_t queries) {
    for (int64_t q = 0; q < queries; ++q) {
      const int64_t query = first_query + q;
      load_row(call_.points_in.data, call_.points_in.type,
               position(call_.points_in, b, query) + 2 * (head_ * row_ + first_), 2 * count_, points + 2 * q * count_);
      const int64_t start = position(call_.weights_in, b, query) + head_ * row_;
      if (call_.fused) load_reference(b, query, reference_ + q * call_.levels * call_.reference_size);
      if (call_.softmax) {
        load_logits(call_.weights_in, start, row_, logits_ + q * padded(row_));
      } else {
        load_row(call_.weights_in.data, call_.weights_in.type, start + first_, count_, weight + q * count_);
      }
    }
    if (call_.softmax) {
      for (int64_t q = 0; q < queries; ++q) {
        A* const row = logits_ + q * padded(row_);
        softmax(row, row_);
        for (int64_t i = 0; i < count_; ++i) weight[q * count_ + i] = row[first_ + i];
      }
    }
    if (!call_.fused) {
      locate_all([p = points, w = width_, h = height_](int64_t i, A& x, A& y) {
        x = pixel_from_location(p[2 * i], w[i]);
        y = pixel_from_location(p[2 * i + 1], h[i]);
      });
    } else if (call_.reference_size == 2) {
      locate_all([p = points, w = width_, h = height_, r = reference_, at = reference_at_](int64_t i, A& x, A& y) {
        x = pixel_from_point(r[at[i]], p[2 * i], w[i]);
        y = pixel_from_point(r[at[i] + 1], p[2 * i + 1], h[i]);
      });
    } else {
      const A half = A(0.5) / static_cast<A>(call_.points);
      locate_all([half, p = points, w = width_, h = height_, r = reference_, at = reference_at_](int64_t i, A& x,
                                                                                               A& y) {
        x = pixel_from_box(r[at[i]], r[at[i] + 2], p[2 * i], w[i], half);
        y = pixel_from_box(r[at[i] + 1], r[at[i] + 3], p[2 * i + 1], h[i], half);
      });
    }
  }

  // From `dots`: grad_weight, and grad_point in pixels.
  void differentiate() {
    for (int64_t i = 0; i < size_; ++i) {
      const int32_t m = mask[i];
      const A d00 = dots[4 * i], d01 = dots[4 * i + 1], d10 = dots[4 * i + 2], d11 = dots[4 * i + 3];
      const Corners<A> d = {m & 1 ? d00 : A(0), m & 2 ? d01 : A(0), m & 4 ? d10 : A(0), m & 8 ? d11 : A(0)};
      const SampleGradient<A> gradient = sample_gradient(fx[i], fy[i], weight[i], d);
      grad_weight[i] = gradient.weight;
      grad_point[2 * i] = gradient.x;
      grad_point[2 * i + 1] = gradient.y;
    }
  }

  // Turn grad_point from pixels to what the call was given, and write the sums of the reference points' gradients to
  // `reference`: levels x reference_size for each query, `query_step` apart; may be null.
  void finish_points(int64_t queries, A* reference, int64_t query_step) {
    const int64_t n = queries * count_;
    if (!call_.fused) {
      for (int64_t i = 0; i < n; ++i) {
        grad_point[2 * i] = location_gradient(grad_point[2 * i], width_[i]);
        grad_point[2 * i + 1] = location_gradient(grad_point[2 * i + 1], height_[i]);
      }
      return;
    }
    if (reference) {
      for (int64_t q = 0; q < queries; ++q) sum_reference(q * count_, reference + q * query_step);
    }
    if (call_.reference_size == 4) {
      const A half = A(0.5) / static_cast<A>(call_.points);
      for (int64_t i = 0; i < n; ++i) {
        const A* const box = reference_ + reference_at_[i];
        grad_point[2 * i] = box_offset_gradient(grad_point[2 * i], box[2], width_[i], half);
        grad_point[2 * i + 1] = box_offset_gradient(grad_point[2 * i + 1], box[3], height_[i], half);
      }
    }
  }

  static int64_t position(const Rows& rows, int64_t b, int64_t query) { return b * rows.batch + query * rows.query; }

  A *points, *weight, *fx, *fy, *w00, *w01, *w10, *w11;
  A *dots, *grad_weight, *grad_point;
  // Position of corner 00, counted from the first position of the first level; steps to its right and lower
  // neighbours, 0 where only one of the two is on the map; corners on the map as bits 1, 2, 4, 8.
  int32_t *pixel, *right, *down, *mask;

 private:
  // Enough to fill vectors.
  static int64_t queries_at_once(int64_t count) {
    int64_t queries = 1;
    while (queries < 16 && (queries * count < 64 || queries * count % kLanes)) queries *= 2;
    return queries;
  }

  void load_reference(int64_t b, int64_t query, A* row) {
    const int64_t levels = call_.reference_level ? count_ / call_.points : 1;
    load_row(call_.reference.data, call_.reference.type,
             position(call_.reference, b, query) + first_level_ * call_.reference_level,
             levels * call_.reference_size, row);
  }

  template <typename Coordinates>
  void locate_all(const Coordinates& coordinates) {
    // Copies of the pointers: the compiler cannot know that the arrays do not hold them.
    A *const fx_out = fx, *const fy_out = fy, *const o00 = w00, *const o01 = w01, *const o10 = w10, *const o11 = w11;
    const A* const weights = weight;
    int32_t *const pixels = pixel, *const rights = right, *const downs = down, *const masks = mask;
    const int32_t *const widths = width_int_, *const heights = height_int_, *const starts = start_;
    const int64_t n = size_;
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) {
      A x, y;
      coordinates(i, x, y);
      const int32_t height = heights[i], width = widths[i];
      const Sample<A> s = locate(x, y, height, width);
      const CornerMask on = corner_mask(s, height, width);
      const Corners<A> w = corner_weights(s.fx, s.fy, weights[i]);
      fx_out[i] = s.fx;
      fy_out[i] = s.fy;
      o00[i] = on.c00 ? w.w00 : A(0);
      o01[i] = on.c01 ? w.w01 : A(0);
      o10[i] = on.c10 ? w.w10 : A(0);
      o11[i] = on.c11 ? w.w11 : A(0);
      const int32_t x0 = s.x0 < 0 ? 0 : s.x0, y0 = s.y0 < 0 ? 0 : s.y0;
      pixels[i] = starts[i] + y0 * width + x0;
      rights[i] = (s.x0 >= 0 ? 1 : 0) & (s.x0 + 1 < width ? 1 : 0);
      downs[i] = (s.y0 >= 0 ? width : 0) & (s.y0 + 1 < height ? -1 : 0);
      const int32_t bits = on.c00 + 2 * on.c01 + 4 * on.c10 + 8 * on.c11;
      masks[i] = s.inside ? bits : 0;
    }
  }

  void sum_reference(int64_t at, A* reference) {
    const A half = A(0.5) / static_cast<A>(call_.points);
    for (int64_t i = at; i < at + count_; i += call_.points, reference += call_.reference_size) {
      A sum[4] = {0, 0, 0, 0};
      for (int64_t p = i; p < i + call_.points; ++p) {
        const A gx = grad_point[2 * p], gy = grad_point[2 * p + 1];
        sum[0] += location_gradient(gx, width_[p]);
        sum[1] += location_gradient(gy, height_[p]);
        sum[2] += box_extent_gradient(gx, points[2 * p], width_[p], half);
        sum[3] += box_extent_gradient(gy, points[2 * p + 1], height_[p], half);
      }
      for (int64_t k = 0; k < call_.reference_size; ++k) reference[k] = sum[k];
    }
  }

  const Call& call_;
  int64_t head_, first_level_, row_, first_, count_, queries_, size_;
  Buffer<A> numbers_;
  Buffer<int32_t> integers_;
  A *width_, *height_, *logits_, *reference_;
  int32_t *width_int_, *height_int_, *start_, *reference_at_;
};

template <typename A>
void pack(const Call& call, int64_t b, int64_t m, int64_t first, int64_t last, A* packed) {
  const int64_t head = b * call.value_batch + m * call.value_head;
  constexpr int64_t ahead = 16;
  for (int64_t s = first; s < last; ++s, packed += call.channels) {
    if (s + ahead < last)
      prefetch_row(call.value, call.value_type, head + (s + ahead) * call.value_position, call.channels);
    load_row(call.value, call.value_type, head + s * call.value_position, call.channels, packed);
  }
}

template <typename A>
void unpack(const Call& call, int64_t b, int64_t m, int64_t first, int64_t last, const A* packed) {
  for (int64_t s = first; s < last; ++s, packed += call.channels)
    store_row(call.grad_value, call.value_type, ((b * call.positions + s) * call.heads + m) * call.channels,
              call.channels, packed);
}

template <typename A>
void forward(const Call& call, int64_t b, int64_t m, int64_t first_query, int64_t last_query, HeadValue<A> value) {
  Samples<A> samples(call, m, 0, call.levels, false);
  Buffer<A> row(call.channels);
  for (int64_t first = first_query; first < last_query; first += samples.queries()) {
    const int64_t n = last_query - first < samples.queries() ? last_query - first : samples.queries();
    const int64_t next = first + n, after = next + n < last_query ? next + n : last_query;
    samples.prefetch(b, next, after);
    samples.prepare(b, first, n);
    for (int64_t q = 0; q < n; ++q) {
      const int64_t at = Samples<A>::position(call.output, b, first + q) + m * call.channels;
      if (call.output.type == kTypeOf<A>) {
        interpolate(samples.of_query(q), value.data, value.stride, call.channels,
                    static_cast<A*>(call.output.data) + at);
        continue;
      }
      interpolate(samples.of_query(q), value.data, value.stride, call.channels, row.data());
      store_row(call.output.data, call.output.type, at, call.channels, row.data());
    }
  }
}

template <typename A>
void backward(const Call& call, int64_t b, int64_t m, HeadValue<A> value, LevelBackward<A> task) {
  const int64_t row = call.levels * call.points, count = call.points;
  const int64_t in_row = m * row + task.level * count;  // of the first sample, among those of a query
  const int64_t reference_step = call.heads * call.levels * call.reference_size;
  Samples<A> samples(call, m, task.level, task.level + 1, true);
  Buffer<A> grad_row(call.channels);
  for (int64_t first = 0; first < call.queries; first += samples.queries()) {
    const int64_t n = call.queries - first < samples.queries() ? call.queries - first : samples.queries();
    const int64_t next = first + n, after = next + n < call.queries ? next + n : call.queries;
    samples.prefetch(b, next, after);
    for (int64_t query = next; query < after; ++query)
      prefetch_row(call.grad_output.data, call.grad_output.type,
                   Samples<A>::position(call.grad_output, b, query) + m * call.channels, call.channels);
    samples.prepare(b, first, n);
    for (int64_t i = 0; i < 4 * samples.size(); ++i) samples.dots[i] = 0;
    for (int64_t q = 0; q < n; ++q) {
      load_row(call.grad_output.data, call.grad_output.type,
               Samples<A>::position(call.grad_output, b, first + q) + m * call.channels, call.channels,
               grad_row.data());
      scatter(samples.of_query(q), value.data, value.stride, call.channels, grad_row.data(), task.grad_value,
              call.channels, samples.dots + 4 * q * count);
    }
    samples.differentiate();
    A* reference = task.grad_reference;
    if (reference) {
      reference += (b * call.queries + first) * reference_step;
      reference += (m * call.levels + task.level) * call.reference_size;
    }
    samples.finish_points(n, reference, reference_step);
    for (int64_t q = 0; q < n; ++q) {
      const A* const grad_weight = samples.grad_weight + q * count;
      store_row(call.grad_points.data, call.grad_points.type,
                Samples<A>::position(call.grad_points, b, first + q) + 2 * in_row, 2 * count,
                samples.grad_point + 2 * q * count);
      store_row(call.grad_weights.data, call.grad_weights.type,
                Samples<A>::position(call.grad_weights, b, first + q) + in_row, count, grad_weight);
    }
  }
}

template <typename A>
void softmax_rows(const Call& call, int64_t b, int64_t first_query, int64_t last_query, A* weights) {
  const int64_t n = call.levels * call.points, in_query = call.heads * n;
  Buffer<A> rows(call.heads * padded(n));
  for (int64_t q = first_query; q < last_query; ++q) {
    const int64_t start = Samples<A>::position(call.weights_in, b, q);
    for (int64_t m = 0; m < call.heads; ++m)
      load_logits(call.weights_in, start + m * n, n, rows.data() + m * padded(n));
    A* out = weights + (b * call.queries + q) * in_query;
    for (int64_t m = 0; m < call.heads; ++m, out += n) {
      A* const row = rows.data() + m * padded(n);
      softmax(row, n);
      for (int64_t i = 0; i < n; ++i) out[i] = row[i];
    }
  }
}

template <typename A>
void logit_gradients(const Call& call, int64_t b, int64_t first_query, int64_t last_query, const A* weights,
                     const A* grad_weights, const Rows& grad_logits) {
  const int64_t n = call.levels * call.points, in_query = call.heads * n;
  Buffer<A> grad(in_query);
  for (int64_t q = first_query; q < last_query; ++q) {
    const int64_t start = (b * call.queries + q) * in_query;
    for (int64_t first = 0; first < in_query; first += n) {
      const A *const weight = weights + start + first, *const in = grad_weights + start + first;
      A* const out = grad.data() + first;
      A sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t i = 0; i < n; ++i) sum += weight[i] * in[i];
      for (int64_t i = 0; i < n; ++i) out[i] = logit_gradient(weight[i], in[i], sum);
    }
    store_row(grad_logits.data, grad_logits.type, Samples<A>::position(grad_logits, b, q), in_query, grad.data());
  }
}

template <typename A>
Kernels<A> table() {
  return {&pack<A>, &unpack<A>, &forward<A>, &backward<A>,
          &softmax_rows<A>, &logit_gradients<A>};
}

template Kernels<float> table<float>();
template Kernels<double> table<double>();

}  // namespace MMVITDENSE_ISA
}  // namespace cpu
}  // namespace mmvitdense
