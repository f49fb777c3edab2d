// The work per channel: interpolation, and its transpose. Included by kernels.h inside the namespace of an instruction
// set. Channels are taken in blocks of one to four 64-byte vectors, the rest of them one by one.

// 64 bytes are one register of AVX-512, and the compiler makes 2 or 4 registers of them elsewhere.
template <typename A>
struct Simd {
  typedef A V __attribute__((vector_size(64)));
  static constexpr int lanes = 64 / sizeof(A);
};

template <typename A>
MMVITDENSE_HD typename Simd<A>::V load_vector(const A* p) {
  typename Simd<A>::V v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}

template <typename A, typename V>
MMVITDENSE_HD void store_vector(A* p, const V& v) {
  __builtin_memcpy(p, &v, sizeof v);
}

// The samples of one query, as `Samples` in kernels.h prepares them.
template <typename A>
struct QuerySamples {
  int64_t count;
  const A *w00, *w01, *w10, *w11;
  const int32_t *pixel, *right, *down, *mask;
};

#if defined(__AVX512F__)
constexpr int kRegistersPerVector = 1;
#elif defined(__AVX__) || defined(__ARM_FEATURE_SVE)
constexpr int kRegistersPerVector = 2;
#else
constexpr int kRegistersPerVector = 4;
#endif

// Several accumulators a vector hide the latency of multiply-add; together they stay within eight registers.
constexpr int accumulators(int vectors) {
  const int fit = 8 / (vectors * kRegistersPerVector);
  return fit >= 4 ? 4 : fit >= 2 ? 2 : 1;
}

template <int N, typename A>
MMVITDENSE_HD void interpolate_block(const QuerySamples<A>& s, const A* value, int64_t stride, A* out) {
  using V = typename Simd<A>::V;
  constexpr int K = accumulators(N), lanes = Simd<A>::lanes;
  V sum[K][N] = {};
  for (int64_t i = 0; i < s.count; ++i) {
    if (!s.mask[i]) continue;
    const A* p00 = value + s.pixel[i] * stride;
    const A* p01 = p00 + s.right[i] * stride;
    const A* p10 = p00 + s.down[i] * stride;
    const A* p11 = p01 + s.down[i] * stride;
    const A w00 = s.w00[i], w01 = s.w01[i], w10 = s.w10[i], w11 = s.w11[i];
#pragma GCC unroll 4
    for (int v = 0; v < N; ++v) sum[0][v] += w00 * load_vector(p00 + v * lanes);
#pragma GCC unroll 4
    for (int v = 0; v < N; ++v) sum[1 % K][v] += w01 * load_vector(p01 + v * lanes);
#pragma GCC unroll 4
    for (int v = 0; v < N; ++v) sum[2 % K][v] += w10 * load_vector(p10 + v * lanes);
#pragma GCC unroll 4
    for (int v = 0; v < N; ++v) sum[3 % K][v] += w11 * load_vector(p11 + v * lanes);
  }
#pragma GCC unroll 4
  for (int v = 0; v < N; ++v) {
    V total = sum[0][v];
    if constexpr (K == 4) total = (sum[0][v] + sum[1][v]) + (sum[2][v] + sum[3][v]);
    if constexpr (K == 2) total = sum[0][v] + sum[1][v];
    store_vector(out + v * lanes, total);
  }
}

template <typename A>
void interpolate_rest(const QuerySamples<A>& s, const A* value, int64_t stride, int64_t channels, A* out) {
  for (int64_t c = 0; c < channels; ++c) out[c] = 0;
  for (int64_t i = 0; i < s.count; ++i) {
    if (!s.mask[i]) continue;
    const A* p00 = value + s.pixel[i] * stride;
    const A* p01 = p00 + s.right[i] * stride;
    const A* p10 = p00 + s.down[i] * stride;
    const A* p11 = p01 + s.down[i] * stride;
    const A w00 = s.w00[i], w01 = s.w01[i], w10 = s.w10[i], w11 = s.w11[i];
    for (int64_t c = 0; c < channels; ++c) out[c] += w00 * p00[c] + w01 * p01[c] + w10 * p10[c] + w11 * p11[c];
  }
}

template <typename A>
void interpolate(const QuerySamples<A>& s, const A* value, int64_t stride, int64_t channels, A* out) {
  constexpr int lanes = Simd<A>::lanes;
  int64_t c = 0;
  for (; c + 4 * lanes <= channels; c += 4 * lanes) interpolate_block<4>(s, value + c, stride, out + c);
  if (c + 2 * lanes <= channels) {
    interpolate_block<2>(s, value + c, stride, out + c);
    c += 2 * lanes;
  }
  if (c + lanes <= channels) {
    interpolate_block<1>(s, value + c, stride, out + c);
    c += lanes;
  }
  if (c < channels) interpolate_rest(s, value + c, stride, channels - c, out + c);
}

// out[0..3] += the sums of the lanes of four vectors.
template <typename A, typename V>
MMVITDENSE_HD void add_lane_sums(const V& v0, const V& v1, const V& v2, const V& v3, A* out) {
#if defined(__AVX512F__)
  if constexpr (sizeof(A) == 4) {
    const __m512 a0 = (__m512)v0, a1 = (__m512)v1, a2 = (__m512)v2, a3 = (__m512)v3;
    // Halves, then quarters, then pairs, then single lanes: lane group g ends up with the sum of vector g.
    const __m512 a01 = _mm512_add_ps(_mm512_shuffle_f32x4(a0, a1, 0x44), _mm512_shuffle_f32x4(a0, a1, 0xee));
    const __m512 a23 = _mm512_add_ps(_mm512_shuffle_f32x4(a2, a3, 0x44), _mm512_shuffle_f32x4(a2, a3, 0xee));
    __m512 all = _mm512_add_ps(_mm512_shuffle_f32x4(a01, a23, 0x88), _mm512_shuffle_f32x4(a01, a23, 0xdd));
    all = _mm512_add_ps(all, _mm512_permute_ps(all, 0x4e));
    all = _mm512_add_ps(all, _mm512_permute_ps(all, 0xb1));
    const __m128 sums = _mm512_castps512_ps128(_mm512_maskz_compress_ps(0x1111, all));
    _mm_storeu_ps(out, _mm_add_ps(_mm_loadu_ps(out), sums));
    return;
  }
#elif defined(__AVX__)
  if constexpr (sizeof(A) == 4) {
    struct Halves {
      __m256 low, high;
    };
    const V vectors[4] = {v0, v1, v2, v3};
    __m256 a[4];
    for (int i = 0; i < 4; ++i) {
      Halves h;
      __builtin_memcpy(&h, &vectors[i], sizeof h);
      a[i] = _mm256_add_ps(h.low, h.high);
    }
    const __m256 all = _mm256_hadd_ps(_mm256_hadd_ps(a[0], a[1]), _mm256_hadd_ps(a[2], a[3]));
    const __m128 sums = _mm_add_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps(all, 1));
    _mm_storeu_ps(out, _mm_add_ps(_mm_loadu_ps(out), sums));
    return;
  }
#endif
  for (int i = 0; i < Simd<A>::lanes; ++i) {
    out[0] += v0[i];
    out[1] += v1[i];
    out[2] += v2[i];
    out[3] += v3[i];
  }
}

// dots[4 * i + corner] += <grad, value at the corner>; the gradient of the value += weight * grad. Corners outside the
// map are one with their neighbour inside: weight 0, and a dot that the caller drops.
template <int N, typename A>
MMVITDENSE_HD void scatter_block(const QuerySamples<A>& s, const A* value, int64_t stride, const A* grad,
                                 A* grad_value, int64_t grad_stride, A* dots) {
  using V = typename Simd<A>::V;
  constexpr int lanes = Simd<A>::lanes;
  V g[N];
#pragma GCC unroll 4
  for (int v = 0; v < N; ++v) g[v] = load_vector(grad + v * lanes);
  for (int64_t i = 0; i < s.count; ++i) {
    if (!s.mask[i]) continue;
    const A* p00 = value + s.pixel[i] * stride;
    const A* p01 = p00 + s.right[i] * stride;
    const A* p10 = p00 + s.down[i] * stride;
    const A* p11 = p01 + s.down[i] * stride;
    V d00 = g[0] * load_vector(p00), d01 = g[0] * load_vector(p01);
    V d10 = g[0] * load_vector(p10), d11 = g[0] * load_vector(p11);
#pragma GCC unroll 4
    for (int v = 1; v < N; ++v) {
      d00 += g[v] * load_vector(p00 + v * lanes);
      d01 += g[v] * load_vector(p01 + v * lanes);
      d10 += g[v] * load_vector(p10 + v * lanes);
      d11 += g[v] * load_vector(p11 + v * lanes);
    }
    add_lane_sums(d00, d01, d10, d11, dots + 4 * i);

    A* q00 = grad_value + s.pixel[i] * grad_stride;
    A* q01 = q00 + s.right[i] * grad_stride;
    A* q10 = q00 + s.down[i] * grad_stride;
    A* q11 = q01 + s.down[i] * grad_stride;
    const A w00 = s.w00[i], w01 = s.w01[i], w10 = s.w10[i], w11 = s.w11[i];
    // One corner after the other: two of them may be the same pixel.
#pragma GCC unroll 4
    for (int v = 0; v < N; ++v) store_vector(q00 + v * lanes, load_vector(q00 + v * lanes) + w00 * g[v]);
#pragma GCC unroll 4
    for (int v = 0; v < N; ++v) store_vector(q01 + v * lanes, load_vector(q01 + v * lanes) + w01 * g[v]);
#pragma GCC unroll 4
    for (int v = 0; v < N; ++v) store_vector(q10 + v * lanes, load_vector(q10 + v * lanes) + w10 * g[v]);
#pragma GCC unroll 4
    for (int v = 0; v < N; ++v) store_vector(q11 + v * lanes, load_vector(q11 + v * lanes) + w11 * g[v]);
  }
}

template <typename A>
void scatter_rest(const QuerySamples<A>& s, const A* value, int64_t stride, int64_t channels, const A* grad,
                  A* grad_value, int64_t grad_stride, A* dots) {
  for (int64_t i = 0; i < s.count; ++i) {
    if (!s.mask[i]) continue;
    const int64_t corner[4] = {s.pixel[i], int64_t(s.pixel[i]) + s.right[i], int64_t(s.pixel[i]) + s.down[i],
                               int64_t(s.pixel[i]) + s.right[i] + s.down[i]};
    const A weight[4] = {s.w00[i], s.w01[i], s.w10[i], s.w11[i]};
    for (int j = 0; j < 4; ++j) {
      const A* p = value + corner[j] * stride;
      A* q = grad_value + corner[j] * grad_stride;
      A dot = 0;
      for (int64_t c = 0; c < channels; ++c) {
        dot += grad[c] * p[c];
        q[c] += weight[j] * grad[c];
      }
      dots[4 * i + j] += dot;
    }
  }
}

template <typename A>
void scatter(const QuerySamples<A>& s, const A* value, int64_t stride, int64_t channels, const A* grad, A* grad_value,
             int64_t grad_stride, A* dots) {
  constexpr int lanes = Simd<A>::lanes;
  int64_t c = 0;
  for (; c + 4 * lanes <= channels; c += 4 * lanes)
    scatter_block<4>(s, value + c, stride, grad + c, grad_value + c, grad_stride, dots);
  if (c + 2 * lanes <= channels) {
    scatter_block<2>(s, value + c, stride, grad + c, grad_value + c, grad_stride, dots);
    c += 2 * lanes;
  }
  if (c + lanes <= channels) {
    scatter_block<1>(s, value + c, stride, grad + c, grad_value + c, grad_stride, dots);
    c += lanes;
  }
  if (c < channels) scatter_rest(s, value + c, stride, channels - c, grad + c, grad_value + c, grad_stride, dots);
}
