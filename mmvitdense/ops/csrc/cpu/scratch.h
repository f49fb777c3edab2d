// Working memory of a task, in huge pages where the system has them: kernels read it in no particular order.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace mmvitdense {
namespace cpu {

template <typename T>
class Scratch {
 public:
  explicit Scratch(int64_t size) {
    if (size <= 0) return;
    const size_t bytes = static_cast<size_t>(size) * sizeof(T), page = size_t(1) << 21;
    const size_t alignment = bytes < page ? 64 : page, rounded = (bytes + alignment - 1) / alignment * alignment;
    if (posix_memalign(&data_, alignment, rounded)) throw std::bad_alloc();
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    if (alignment == page) madvise(data_, rounded, MADV_HUGEPAGE);  // a wish; nothing depends on it
#endif
  }
  ~Scratch() { free(data_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  T* data() const { return static_cast<T*>(data_); }

 private:
  void* data_ = nullptr;
};

}  // namespace cpu
}  // namespace mmvitdense
