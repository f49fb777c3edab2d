// The kernels of map_attention for AVX-512. map_attention_*.cpp include this file once each, with MMVITDENSE_ISA as the
// name of a namespace, the instructions switched on, and MMVITDENSE_BFLOAT16 defined for the kernels of bfloat16.
//
// Everything is counted in units of 32 bits: a float, or two bfloat16 that one instruction multiplies and adds. Keys are
// packed channel by channel in panels of 64 keys, values key by key in panels of 64 channels, so that both products are
// the same: rows of 6 queries times a panel.

namespace mmvitdense {
namespace cpu {
namespace MMVITDENSE_ISA {

constexpr int64_t kRows = 6, kPanel = 64, kLanes = 16, kKeysAtOnce = 256;
constexpr int64_t kScratch = 384 * 1024;  // bytes of logits, of which most of the second level of the cache is left
constexpr float kLog2e = 1.44269504f;

#ifdef MMVITDENSE_BFLOAT16
using Number = uint16_t;
constexpr int64_t kPair = 2;

inline __m512 multiply_add(__m512 sum, __m512 a, __m512 b) {
  return _mm512_dpbf16_ps(sum, (__m512bh)_mm512_castps_si512(a), (__m512bh)_mm512_castps_si512(b));
}
inline __m512 load_16(const Number* p) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)p)), 16));
}
inline void store_some(Number* p, __mmask16 lanes, __m512 x) {
  _mm256_mask_storeu_epi16(p, lanes, (__m256i)_mm512_cvtneps_pbh(x));
}
inline float number(Number x) {
  const uint32_t bits = static_cast<uint32_t>(x) << 16;
  float value;
  __builtin_memcpy(&value, &bits, 4);
  return value;
}
#else
using Number = float;
constexpr int64_t kPair = 1;

inline __m512 multiply_add(__m512 sum, __m512 a, __m512 b) { return _mm512_fmadd_ps(a, b, sum); }
inline void store_some(Number* p, __mmask16 lanes, __m512 x) { _mm512_mask_storeu_ps(p, lanes, x); }
inline float number(Number x) { return x; }
#endif

inline int64_t up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }
inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
inline __mmask16 first_lanes(int64_t n) { return n >= kLanes ? 0xffff : (__mmask16)((1u << n) - 1); }

// 2 to the power of x, for x up to 0.
inline __m512 exp2_of(__m512 x) {
  x = _mm512_max_ps(_mm512_set1_ps(-126.0f), x);  // the second of them where one is not a number
  const __m512 n = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512 r = _mm512_sub_ps(x, n);
  __m512 p = _mm512_set1_ps(1.54035304e-4f);
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.33335581e-3f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(9.61812911e-3f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(5.55041087e-2f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(2.40226507e-1f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(6.93147181e-1f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
  return _mm512_scalef_ps(p, n);
}

// c, 6 x 16 * N, is the product of a, 6 x depth, and b, depth x 16 * N; or is that added to it.
template <int N>
void product(const float* a, int64_t lda, const float* b, int64_t ldb, float* c, int64_t ldc, int64_t depth,
             bool added) {
  __m512 sum[kRows][N];
  for (int r = 0; r < kRows; ++r)
    for (int n = 0; n < N; ++n)
      sum[r][n] = added ? _mm512_loadu_ps(c + r * ldc + n * kLanes) : _mm512_setzero_ps();
  for (int64_t k = 0; k < depth; ++k) {
    __m512 row[N];
    for (int n = 0; n < N; ++n) row[n] = _mm512_load_ps(b + k * ldb + n * kLanes);
    for (int r = 0; r < kRows; ++r) {
      const __m512 x = _mm512_set1_ps(a[r * lda + k]);
      for (int n = 0; n < N; ++n) sum[r][n] = multiply_add(sum[r][n], x, row[n]);
    }
  }
  for (int r = 0; r < kRows; ++r)
    for (int n = 0; n < N; ++n) _mm512_storeu_ps(c + r * ldc + n * kLanes, sum[r][n]);
}

inline void product_of(int64_t vectors, const float* a, int64_t lda, const float* b, int64_t ldb, float* c, int64_t ldc,
                       int64_t depth, bool added) {
  switch (vectors) {
    case 1: return product<1>(a, lda, b, ldb, c, ldc, depth, added);
    case 2: return product<2>(a, lda, b, ldb, c, ldc, depth, added);
    case 3: return product<3>(a, lda, b, ldb, c, ldc, depth, added);
    default: return product<4>(a, lda, b, ldb, c, ldc, depth, added);
  }
}

// Sizes in units of 32 bits.
struct Layout {
  int64_t keys, depth, wide_dims, wide_keys, pairs_of_keys;

  explicit Layout(const AttentionCall& call)
      : keys(call.keys()),
        depth(up(call.dims, kPair) / kPair),
        wide_dims(up(call.dims, kLanes)),
        wide_keys(up(keys, kLanes)),
        pairs_of_keys(up(keys, kPair) / kPair) {}

  int64_t key_units() const { return up(keys, kPanel) * depth; }
  int64_t value_units() const { return pairs_of_keys * up(wide_dims, kPanel); }
  // Of the queries of one sequence; a multiple of kRows.
  int64_t queries_at_once() const {
    const int64_t fitting = kScratch / 4 / up(keys, kPanel) / kRows * kRows;
    return fitting < kRows ? kRows : fitting > 96 ? 96 : fitting;
  }
};

// Where the tokens of a sequence are.
struct Place {
  const AttentionCall& call;
  int64_t image, top, left, rows, columns;  // rows and columns that lie on the map

  Place(const AttentionCall& c, int64_t sequence) : call(c) {
    const int64_t across = c.columns_of_windows(), each = c.rows_of_windows() * across;
    image = sequence / each;
    const int64_t window = sequence % each;
    top = window / across * c.window;
    left = window % across * c.window;
    rows = smaller(c.window, c.height - top);
    columns = smaller(c.window, c.width - left);
  }

  int64_t queries() const { return call.window ? rows * columns : call.tokens(); }
  // Of a query, its place among the keys.
  int64_t key_of(int64_t query) const {
    return call.window ? query / columns * call.window + query % columns : query;
  }
  // Of a key, its token without and with the prefix; negative beyond the edge.
  int64_t patch(int64_t key) const {
    const int64_t row = key / call.window, column = key % call.window;
    return row < rows && column < columns ? (top + row) * call.width + left + column : -1;
  }
  const Number* data(int64_t key, int64_t part, int64_t head) const {
    const int64_t channel = (part * call.heads + head) * call.dims, row = 3 * call.heads * call.dims;
    int64_t token = key;
    if (call.window) {
      token = patch(key);
      if (token < 0) return call.fill ? (const Number*)call.fill + channel : nullptr;
      token += call.prefix;
    }
    return (const Number*)call.qkv + (image * call.tokens() + token) * row + channel;
  }
  Number* output(int64_t query, int64_t head) const {
    const int64_t tokens = call.window ? call.height * call.width : call.tokens();
    const int64_t token = call.window ? patch(key_of(query)) : query;
    return (Number*)call.out + ((image * tokens + token) * call.heads + head) * call.dims;
  }
};

int64_t packed_bytes(const AttentionCall& call) {
  const Layout layout(call);
  return 4 * (layout.key_units() + layout.value_units());
}

int64_t blocks(const AttentionCall& call) {
  const int64_t at_once = Layout(call).queries_at_once();
  return (call.keys() + at_once - 1) / at_once;
}

void pack(const AttentionCall& call, int64_t begin, int64_t end) {
  const Layout layout(call);
  const int64_t dims = call.dims;
  for (int64_t item = begin; item < end; ++item) {
    const Place place(call, item / call.heads);
    const int64_t head = item % call.heads;
    char* const packed = call.packed + item * call.packed_bytes;
    __builtin_memset(packed, 0, call.packed_bytes);
    Number* const keys = (Number*)packed;
    Number* const values = keys + kPair * layout.key_units();
    for (int64_t key = 0; key < layout.keys; ++key) {
      const Number* const from_key = place.data(key, 1, head);
      const Number* const from_value = place.data(key, 2, head);
      if (!from_key) continue;
      Number* const panel = keys + kPair * (key / kPanel * kPanel * layout.depth + key % kPanel);
      for (int64_t c = 0; c < dims; ++c) panel[c / kPair * kPair * kPanel + c % kPair] = from_key[c];
      for (int64_t first = 0; first < dims; first += kPanel) {
        Number* const row =
            values + kPair * (first * layout.pairs_of_keys + key / kPair * kPanel) + key % kPair;
        const int64_t count = smaller(kPanel, dims - first);
        for (int64_t c = 0; c < count; ++c) row[c * kPair] = from_value[first + c];
      }
    }
  }
}

// Terms of one axis for a query: of its row of a table, side x dims x padded(side), the sum over channels.
inline void axis_terms(const float* query, int64_t dims, const float* table, int64_t side, int64_t at, float* terms) {
  const int64_t wide = up(side, kLanes);
  const float* const row = table + at * dims * wide;
  for (int64_t first = 0; first < wide; first += kLanes) {
    __m512 sum = _mm512_setzero_ps();
    for (int64_t c = 0; c < dims; ++c)
      sum = _mm512_fmadd_ps(_mm512_set1_ps(query[c]), _mm512_loadu_ps(row + c * wide + first), sum);
    _mm512_storeu_ps(terms + first, _mm512_mul_ps(sum, _mm512_set1_ps(kLog2e)));
  }
}

// Logits times `factor`, plus the terms of rows and columns of the patches.
inline void add_terms(float* logits, int64_t prefix, float factor, const float* of_rows, int64_t rows,
                      const float* of_columns, int64_t columns) {
  for (int64_t i = 0; i < prefix; ++i) logits[i] *= factor;
  const __m512 times = _mm512_set1_ps(factor);
  for (int64_t row = 0; row < rows; ++row) {
    const __m512 of_row = _mm512_set1_ps(of_rows[row]);
    float* const start = logits + prefix + row * columns;
    for (int64_t column = 0; column < columns; column += kLanes) {
      const __mmask16 lanes = first_lanes(columns - column);
      const __m512 terms = _mm512_add_ps(of_row, _mm512_loadu_ps(of_columns + column));
      const __m512 sum = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(lanes, start + column), times, terms);
      _mm512_mask_storeu_ps(start + column, lanes, sum);
    }
  }
}

// Logits times `factor`, plus `of_prefix` for keys before the patches, and for these a row of biases for each of theirs,
// or `of_patches` where there are none.
inline void add_offsets(float* logits, int64_t prefix, float factor, float of_prefix, float of_patches,
                        const float* biases, int64_t stride, int64_t rows, int64_t columns) {
  for (int64_t i = 0; i < prefix; ++i) logits[i] = logits[i] * factor + of_prefix * kLog2e;
  const __m512 times = _mm512_set1_ps(factor), log2e = _mm512_set1_ps(kLog2e);
  const __m512 same = _mm512_set1_ps(of_patches * kLog2e);
  for (int64_t row = 0; row < rows; ++row) {
    float* const start = logits + prefix + row * columns;
    for (int64_t column = 0; column < columns; column += kLanes) {
      const __mmask16 lanes = first_lanes(columns - column);
      const __m512 bias =
          biases ? _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes, biases + row * stride + column), log2e) : same;
      const __m512 sum = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(lanes, start + column), times, bias);
      _mm512_mask_storeu_ps(start + column, lanes, sum);
    }
  }
}

// Weights of a row of logits before they are divided by their sum, which is returned. `weights` may be the logits.
inline float weigh(const float* logits, int64_t count, float factor, Number* weights) {
  const int64_t whole = count / kLanes * kLanes;
  const __mmask16 rest = first_lanes(count - whole);
  const __m512 lowest = _mm512_set1_ps(-__builtin_inff());
  __m512 most = lowest, more = lowest;
  int64_t i = 0;
  for (; i + 2 * kLanes <= whole; i += 2 * kLanes) {
    most = _mm512_max_ps(most, _mm512_loadu_ps(logits + i));
    more = _mm512_max_ps(more, _mm512_loadu_ps(logits + i + kLanes));
  }
  if (i < whole) more = _mm512_max_ps(more, _mm512_loadu_ps(logits + i));
  if (rest) most = _mm512_max_ps(most, _mm512_mask_loadu_ps(lowest, rest, logits + whole));
  const __m512 times = _mm512_set1_ps(factor);
  // Subtracted before it is multiplied, for large logits would lose digits.
  const __m512 largest = _mm512_set1_ps(_mm512_reduce_max_ps(_mm512_max_ps(most, more)));
  const auto weight_of = [&](__m512 logit) { return exp2_of(_mm512_mul_ps(_mm512_sub_ps(logit, largest), times)); };
  __m512 sum = _mm512_setzero_ps();
  for (i = 0; i < whole; i += kLanes) {
    const __m512 weight = weight_of(_mm512_loadu_ps(logits + i));
    sum = _mm512_add_ps(sum, weight);
    store_some(weights + i, 0xffff, weight);
  }
  if (rest) {
    const __m512 last = _mm512_maskz_loadu_ps(rest, logits + whole);
    const __m512 weight = _mm512_maskz_mov_ps(rest, weight_of(last));
    sum = _mm512_add_ps(sum, weight);
    store_some(weights + whole, 0xffff, weight);
  }
  return _mm512_reduce_add_ps(sum);
}

// Memory of one thread.
class Scratch {
 public:
  explicit Scratch(const AttentionCall& call, const Layout& layout) {
    const int64_t rows = layout.queries_at_once(), wide = up(layout.keys, kPanel);
    const int64_t side = up(call.height, kLanes) + up(call.width, kLanes) + 2 * up(call.window, kLanes);
    const int64_t sizes[] = {rows * layout.depth, rows * wide,     kPair == 2 ? rows * wide / 2 : 0,
                             rows * up(layout.wide_dims, kPanel), side, call.dims};
    float** const parts[] = {&queries, &logits, &weights, &sums, &terms, &query};
    int64_t total = 0;
    for (int64_t size : sizes) total += up(size, kLanes);
    memory_ = (float*)aligned_alloc(64, 4 * total);
    float* next = memory_;
    for (int i = 0; i < 6; ++i) {
      *parts[i] = next;
      next += up(sizes[i], kLanes);
    }
    if (kPair == 1) weights = logits;
  }
  ~Scratch() { free(memory_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  float *queries, *logits, *weights, *sums, *terms, *query;

 private:
  float* memory_;
};

class Block {
 public:
  Block(const AttentionCall& call, const Layout& layout, Scratch& scratch, int64_t item, int64_t first)
      : call_(call),
        layout_(layout),
        scratch_(scratch),
        place_(call, item / call.heads),
        head_(item % call.heads),
        first_(first),
        count_(smaller(layout.queries_at_once(), place_.queries() - first)),
        keys_((const float*)(call.packed + item * call.packed_bytes)),
        values_(keys_ + layout.key_units()) {}

  void run() {
    if (count_ <= 0) return;
    read_queries();
    const int64_t rows = up(count_, kRows), wide = up(layout_.keys, kPanel), depth = layout_.depth;
    for (int64_t key = 0; key < layout_.keys; key += kPanel) {
      const int64_t vectors = smaller(kPanel, layout_.wide_keys - key) / kLanes;
      for (int64_t row = 0; row < rows; row += kRows)
        product_of(vectors, scratch_.queries + row * depth, depth, keys_ + key * depth, kPanel,
                   scratch_.logits + row * wide + key, wide, depth, false);
    }
    float totals[96];
    for (int64_t row = 0; row < count_; ++row) totals[row] = weights_of(row, wide);
    const int64_t wide_weights = wide / kPair, wide_sums = up(layout_.wide_dims, kPanel);
    for (int64_t channel = 0; channel < layout_.wide_dims; channel += kPanel) {
      const float* const panel = values_ + channel * layout_.pairs_of_keys;
      const int64_t vectors = smaller(kPanel, layout_.wide_dims - channel) / kLanes;
      for (int64_t key = 0; key < layout_.pairs_of_keys; key += kKeysAtOnce) {
        const int64_t some = smaller(kKeysAtOnce, layout_.pairs_of_keys - key);
        for (int64_t row = 0; row < rows; row += kRows)
          product_of(vectors, scratch_.weights + row * wide_weights + key, wide_weights, panel + key * kPanel, kPanel,
                     scratch_.sums + row * wide_sums + channel, wide_sums, some, key > 0);
      }
    }
    for (int64_t row = 0; row < count_; ++row) write(row, 1.0f / totals[row], wide_sums);
  }

 private:
  void read_queries() {
    const int64_t units = layout_.depth, bytes = call_.dims * sizeof(Number);
    __builtin_memset(scratch_.queries, 0, 4 * units * up(count_, kRows));
    for (int64_t row = 0; row < count_; ++row) {
      const Number* const from = place_.data(place_.key_of(first_ + row), 0, head_);
      __builtin_memcpy(scratch_.queries + row * units, from, bytes);
    }
  }

  float weights_of(int64_t row, int64_t wide) {
    float* const logits = scratch_.logits + row * wide;
    Number* const weights = (Number*)scratch_.weights + row * wide;
    const float factor = call_.scale * kLog2e;
    const int64_t patch = place_.key_of(first_ + row) - (call_.window ? 0 : call_.prefix);
    if (!call_.row_table && !call_.offsets) return weigh(logits, layout_.keys, factor, weights);
    const int64_t height = call_.window ? call_.window : call_.height;
    const int64_t width = call_.window ? call_.window : call_.width;
    if (call_.offsets) {
      const int64_t stride = 2 * width - 1;
      const float* const first = call_.offsets + head_ * (2 * height - 1) * stride;
      const float* const biases =
          patch < 0 ? nullptr : first + (height - 1 - patch / width) * stride + width - 1 - patch % width;
      const float* const of_prefix = call_.of_prefix + 3 * head_;
      add_offsets(logits, layout_.keys - height * width, factor, of_prefix[patch < 0 ? 2 : 1], of_prefix[0], biases,
                  stride, height, width);
      return weigh(logits, layout_.keys, 1.0f, weights);
    }
    float* const of_columns = scratch_.terms + up(height, kLanes);
    if (patch < 0) {
      __builtin_memset(scratch_.terms, 0, 4 * (up(height, kLanes) + up(width, kLanes)));
    } else {
      const Number* const from = (const Number*)(scratch_.queries + row * layout_.depth);
      for (int64_t c = 0; c < call_.dims; ++c) scratch_.query[c] = number(from[c]);
      axis_terms(scratch_.query, call_.dims, call_.row_table, height, patch / width, scratch_.terms);
      axis_terms(scratch_.query, call_.dims, call_.column_table, width, patch % width, of_columns);
    }
    add_terms(logits, layout_.keys - height * width, factor, scratch_.terms, height, of_columns, width);
    return weigh(logits, layout_.keys, 1.0f, weights);
  }

  void write(int64_t row, float factor, int64_t wide) {
    Number* const to = place_.output(first_ + row, head_);
    const float* const from = scratch_.sums + row * wide;
    for (int64_t c = 0; c < call_.dims; c += kLanes)
      store_some(to + c, first_lanes(call_.dims - c),
                 _mm512_mul_ps(_mm512_load_ps(from + c), _mm512_set1_ps(factor)));
  }

  const AttentionCall& call_;
  const Layout& layout_;
  Scratch& scratch_;
  const Place place_;
  const int64_t head_, first_, count_;
  const float *const keys_, *const values_;
};

void attend(const AttentionCall& call, int64_t begin, int64_t end) {
  const Layout layout(call);
  Scratch scratch(call, layout);
  const int64_t each = blocks(call);
  for (int64_t i = begin; i < end; ++i) Block(call, layout, scratch, i / each, i % each * layout.queries_at_once()).run();
}

AttentionKernels attention_kernels() { return {packed_bytes, blocks, pack, attend}; }

}  // namespace MMVITDENSE_ISA
}  // namespace cpu
}  // namespace mmvitdense
