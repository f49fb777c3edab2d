// Chooses the kernels of the instruction set at hand.

#include <cstdlib>
#include <cstring>

#include "call.h"

namespace mmvitdense {
namespace cpu {

namespace baseline {
template <typename A>
Kernels<A> table();
}
namespace avx2 {
template <typename A>
Kernels<A> table();
}
namespace avx512 {
template <typename A>
Kernels<A> table();
}

namespace {

template <typename A>
Kernels<A> choose() {
#if defined(__x86_64__) && defined(__GNUC__)
  const char* limit = std::getenv("MMVITDENSE_CPU_CAPABILITY");
  const auto allowed = [&](const char* name) { return !limit || !*limit || !std::strcmp(limit, name); };
  const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool has_avx512 = has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (has_avx512 && allowed("avx512")) return avx512::table<A>();
  if (has_avx2 && (allowed("avx2") || allowed("avx512"))) return avx2::table<A>();
#endif
  return baseline::table<A>();
}

}  // namespace

template <typename A>
const Kernels<A>& kernels() {
  static const Kernels<A> chosen = choose<A>();
  return chosen;
}

template const Kernels<float>& kernels<float>();
template const Kernels<double>& kernels<double>();

}  // namespace cpu
}  // namespace mmvitdense
