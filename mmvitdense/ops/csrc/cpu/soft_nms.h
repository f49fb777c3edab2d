// Soft non-maximum suppression (Bodla et al. 2017), see mmvitdense/ops/suppression.py, which checks the arguments. There
// is no kernel for a GPU.

#pragma once

#include <ATen/Dispatch.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <tuple>
#include <vector>

namespace mmvitdense {
namespace cpu {
namespace {

enum Method : int64_t { kNaive = 0, kLinear = 1, kGaussian = 2 };

// Column by column, so that the loop over all that are left reads what it needs and no more.
template <typename T>
struct Candidates {
  std::vector<T> x1, y1, x2, y2, area, score;
  std::vector<int64_t> index;

  Candidates(const T* boxes, const T* scores, int64_t count, T offset) {
    for (auto* column : {&x1, &y1, &x2, &y2, &area}) column->resize(count);
    score.assign(scores, scores + count);
    index.resize(count);
    for (int64_t i = 0; i < count; ++i) {
      const T* box = boxes + 4 * i;
      x1[i] = box[0], y1[i] = box[1], x2[i] = box[2], y2[i] = box[3];
      area[i] = (box[2] - box[0] + offset) * (box[3] - box[1] + offset);
      index[i] = i;
    }
  }

  void move(int64_t from, int64_t to) {
    for (auto* column : {&x1, &y1, &x2, &y2, &area, &score}) (*column)[to] = (*column)[from];
    index[to] = index[from];
  }

  void exchange(int64_t a, int64_t b) {
    for (auto* column : {&x1, &y1, &x2, &y2, &area, &score}) std::swap((*column)[a], (*column)[b]);
    std::swap(index[a], index[b]);
  }
};

// What the score of the candidate at `j` is multiplied by because the one at `i` was picked.
template <typename T>
inline T weight(const Candidates<T>& all, int64_t i, int64_t j, T threshold, T sigma, Method method, T offset) {
  const T width = std::min(all.x2[i], all.x2[j]) - std::max(all.x1[i], all.x1[j]) + offset;
  const T height = std::min(all.y2[i], all.y2[j]) - std::max(all.y1[i], all.y1[j]) + offset;
  const T both = std::max(T(0), width) * std::max(T(0), height);
  if (both == T(0) && (method == kGaussian || threshold > T(0))) return T(1);  // most of them
  const T either = all.area[i] + all.area[j] - both;
  const T overlap = either == T(0) ? T(0) : both / either;
  if (method == kGaussian) return overlap == T(0) ? T(1) : std::exp(-(overlap * overlap) / sigma);
  if (overlap < threshold) return T(1);
  return method == kNaive ? T(0) : T(1) - overlap;
}

template <typename T>
int64_t pick(Candidates<T>& all, T threshold, T sigma, T min_score, Method method, T offset) {
  int64_t left = static_cast<int64_t>(all.score.size());
  int64_t best = std::max_element(all.score.begin(), all.score.end()) - all.score.begin();
  for (int64_t i = 0; i < left; ++i) {
    if (best != i) all.exchange(i, best);
    best = i + 1;
    for (int64_t j = i + 1; j < left;) {
      all.score[j] *= weight(all, i, j, threshold, sigma, method, offset);
      if (all.score[j] < min_score) {
        all.move(--left, j);  // which comes next
        continue;
      }
      if (all.score[j] > all.score[best]) best = j;
      ++j;
    }
  }
  return left;
}

std::tuple<at::Tensor, at::Tensor> soft_nms(const at::Tensor& boxes, const at::Tensor& scores, double iou_threshold,
                                            double sigma, double min_score, int64_t method, int64_t offset) {
  const at::Tensor box_rows = boxes.contiguous(), score_row = scores.contiguous();
  at::Tensor kept, lowered;
  AT_DISPATCH_FLOATING_TYPES(boxes.scalar_type(), "soft_nms", [&] {
    Candidates<scalar_t> all(box_rows.const_data_ptr<scalar_t>(), score_row.const_data_ptr<scalar_t>(),
                             boxes.size(0), static_cast<scalar_t>(offset));
    const int64_t count =
        pick(all, static_cast<scalar_t>(iou_threshold), static_cast<scalar_t>(sigma),
             static_cast<scalar_t>(min_score), static_cast<Method>(method), static_cast<scalar_t>(offset));
    kept = at::empty({count}, boxes.options().dtype(at::kLong));
    lowered = at::empty({count}, scores.options());
    std::copy_n(all.index.begin(), count, kept.mutable_data_ptr<int64_t>());
    std::copy_n(all.score.begin(), count, lowered.mutable_data_ptr<scalar_t>());
  });
  return {kept, lowered};
}

}  // namespace

TORCH_LIBRARY_IMPL(mmvitdense, CPU, library) { library.impl("soft_nms", &soft_nms); }

}  // namespace cpu
}  // namespace mmvitdense
