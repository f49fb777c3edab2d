// Reading and writing rows of any storage type. Included by kernels.h inside the namespace of an instruction set.

MMVITDENSE_HD uint32_t bits_of(float x) {
  uint32_t bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  return bits;
}

MMVITDENSE_HD float float_of(uint32_t bits) {
  float x;
  __builtin_memcpy(&x, &bits, sizeof x);
  return x;
}

MMVITDENSE_HD float from_bfloat16(uint16_t h) { return float_of(uint32_t(h) << 16); }

MMVITDENSE_HD uint16_t to_bfloat16(float x) {
  const uint32_t bits = bits_of(x);
  const uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  return static_cast<uint16_t>(x != x ? 0x7fc0 : rounded);
}

MMVITDENSE_HD float from_half(uint16_t h) {
  const uint32_t magnitude = uint32_t(h & 0x7fff) << 13, sign = uint32_t(h & 0x8000) << 16;
  const uint32_t finite = bits_of(float_of(magnitude) * 0x1p112f);  // moves the exponent, and subnormals with it
  return float_of(sign | ((h & 0x7fff) >= 0x7c00 ? (magnitude | 0x7f800000u) : finite));
}

MMVITDENSE_HD uint16_t to_half(float x) {
  const uint32_t bits = bits_of(x), magnitude = bits & 0x7fffffffu, sign = (bits >> 16) & 0x8000u;
  const uint32_t normal = ((magnitude + 0xfff + ((magnitude >> 13) & 1)) >> 13) - (112u << 10);
  const uint32_t subnormal = bits_of(float_of(magnitude) + 0.5f) - bits_of(0.5f);  // one ulp of 0.5 is 2^-24
  const uint32_t finite = magnitude < 0x38800000u ? subnormal : normal;            // 2^-14
  const uint32_t large = magnitude > 0x7f800000u ? 0x7e00u : 0x7c00u;
  return static_cast<uint16_t>(sign | (magnitude >= 0x477ff000u ? large : finite));  // 65520
}

template <typename A>
void load_row(const void* data, Type type, int64_t start, int64_t n, A* __restrict out) {
  switch (type) {
    case Type::kFloat: {
      const float* in = static_cast<const float*>(data) + start;
      for (int64_t i = 0; i < n; ++i) out[i] = static_cast<A>(in[i]);
      break;
    }
    case Type::kDouble: {
      const double* in = static_cast<const double*>(data) + start;
      for (int64_t i = 0; i < n; ++i) out[i] = static_cast<A>(in[i]);
      break;
    }
    case Type::kBFloat16: {
      const uint16_t* in = static_cast<const uint16_t*>(data) + start;
      for (int64_t i = 0; i < n; ++i) out[i] = static_cast<A>(from_bfloat16(in[i]));
      break;
    }
    case Type::kHalf: {
      const uint16_t* in = static_cast<const uint16_t*>(data) + start;
      for (int64_t i = 0; i < n; ++i) out[i] = static_cast<A>(from_half(in[i]));
      break;
    }
  }
}

template <typename A>
void store_row(void* data, Type type, int64_t start, int64_t n, const A* __restrict in) {
  switch (type) {
    case Type::kFloat: {
      float* out = static_cast<float*>(data) + start;
      for (int64_t i = 0; i < n; ++i) out[i] = static_cast<float>(in[i]);
      break;
    }
    case Type::kDouble: {
      double* out = static_cast<double*>(data) + start;
      for (int64_t i = 0; i < n; ++i) out[i] = static_cast<double>(in[i]);
      break;
    }
    case Type::kBFloat16: {
      uint16_t* out = static_cast<uint16_t*>(data) + start;
      for (int64_t i = 0; i < n; ++i) out[i] = to_bfloat16(static_cast<float>(in[i]));
      break;
    }
    case Type::kHalf: {
      uint16_t* out = static_cast<uint16_t*>(data) + start;
      for (int64_t i = 0; i < n; ++i) out[i] = to_half(static_cast<float>(in[i]));
      break;
    }
  }
}

MMVITDENSE_HD int64_t size_of(Type type) { return type == Type::kDouble ? 8 : type == Type::kFloat ? 4 : 2; }

// Ask for a row that is read soon. Rows of one head lie far apart, which hardware does not foresee.
MMVITDENSE_HD void prefetch_row(const void* data, Type type, int64_t start, int64_t n) {
  const char* p = static_cast<const char*>(data) + start * size_of(type);
  const char* const end = p + n * size_of(type);
  for (p -= reinterpret_cast<uintptr_t>(p) % 64; p < end; p += 64) __builtin_prefetch(p);
}
