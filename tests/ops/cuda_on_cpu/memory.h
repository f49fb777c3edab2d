// Shared memory, and what is counted of memory: between threads.cpp, memory.cpp and counting.cpp.
#pragma once

#include <cstddef>

namespace cuda_on_cpu {

void set_dynamic_shared(size_t bytes);
// Before each block.
void start_shared_memory();
// Whether an address lies in shared memory.
bool is_shared(const void* address);

#ifdef CUDA_ON_CPU_COUNTS
// `context` lies on the stack of what launched, near to the parameters of the kernel; the other two bound the stacks of
// the threads.
void launch_begins(const void* context, const void* stacks, const void* stacks_end);
void launch_ends();
// The lanes of the warp that runs have met: what they did before, they did together.
void segment_ended();
#else
inline void launch_begins(const void*, const void*, const void*) {}
inline void launch_ends() {}
inline void segment_ended() {}
#endif

}  // namespace cuda_on_cpu
