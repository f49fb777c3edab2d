// Sixteen channels at once, for the kernels of one instruction set; included as kernels.h is.

#include <cstdint>
#include <cstdlib>

namespace mmvitdense {
namespace cpu {
namespace MMVITDENSE_ISA {

// One register of AVX-512, two of AVX2, four of others.
typedef float Lanes __attribute__((vector_size(4 * 16)));

inline Lanes load(const float* from) {
  Lanes lanes;
  __builtin_memcpy(&lanes, from, sizeof(Lanes));
  return lanes;
}

// Memory for some of them, not set.
class Strip {
 public:
  explicit Strip(int64_t lanes)
      : lanes_((Lanes*)aligned_alloc(sizeof(Lanes), sizeof(Lanes) * (lanes > 0 ? lanes : 1))) {}
  ~Strip() { free(lanes_); }
  Strip(const Strip&) = delete;
  Strip& operator=(const Strip&) = delete;
  Lanes* data() { return lanes_; }

 private:
  Lanes* lanes_;
};

}  // namespace MMVITDENSE_ISA
}  // namespace cpu
}  // namespace mmvitdense
