// Chooses the kernels of the instruction set at hand.

#include <cstdlib>
#include <cstring>

#include "call.h"
#include "token_maps.h"
#include "winograd.h"

namespace mmvitdense {
namespace cpu {

namespace baseline {
template <typename A>
Kernels<A> table();
WinogradKernels winograd_table();
TokenMapKernels token_map_table();
}
namespace avx2 {
template <typename A>
Kernels<A> table();
WinogradKernels winograd_table();
TokenMapKernels token_map_table();
}
namespace avx512 {
template <typename A>
Kernels<A> table();
WinogradKernels winograd_table();
TokenMapKernels token_map_table();
}

namespace {

enum class Instructions { kBaseline, kAvx2, kAvx512 };

Instructions instructions() {
#if defined(__x86_64__) && defined(__GNUC__)
  const char* limit = std::getenv("MMVITDENSE_CPU_CAPABILITY");
  const auto allowed = [&](const char* name) { return !limit || !*limit || !std::strcmp(limit, name); };
  const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool has_avx512 = has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (has_avx512 && allowed("avx512")) return Instructions::kAvx512;
  if (has_avx2 && (allowed("avx2") || allowed("avx512"))) return Instructions::kAvx2;
#endif
  return Instructions::kBaseline;
}

}  // namespace

#if defined(__x86_64__) && defined(__GNUC__)
#define MMVITDENSE_CHOOSE(make)                                       \
  (instructions() == Instructions::kAvx512 ? avx512::make()           \
   : instructions() == Instructions::kAvx2 ? avx2::make() : baseline::make())
#else
#define MMVITDENSE_CHOOSE(make) baseline::make()
#endif

template <typename A>
const Kernels<A>& kernels() {
  static const Kernels<A> chosen = MMVITDENSE_CHOOSE(table<A>);
  return chosen;
}

const WinogradKernels& winograd_kernels() {
  static const WinogradKernels chosen = MMVITDENSE_CHOOSE(winograd_table);
  return chosen;
}

const TokenMapKernels& token_map_kernels() {
  static const TokenMapKernels chosen = MMVITDENSE_CHOOSE(token_map_table);
  return chosen;
}

template const Kernels<float>& kernels<float>();
template const Kernels<double>& kernels<double>();

}  // namespace cpu
}  // namespace mmvitdense
