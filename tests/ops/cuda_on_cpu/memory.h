// Shared memory, and what is counted of memory: what threads.cpp, memory.cpp and watching.cpp share.
#pragma once

#include <cstddef>
#include <cstdint>

namespace cuda_on_cpu {

void set_dynamic_shared(size_t bytes);
// Before each block.
void start_shared_memory();
// Whether an address lies in shared memory.
bool is_shared(const void* address);

#ifdef CUDA_ON_CPU_WATCH
// `context` lies on the stack of what launched, near to the parameters of the kernel; `stacks` are those of threads.
void launch_begins(const void* kernel, uint64_t blocks, uint64_t threads, const void* context, const void* stacks,
                   size_t bytes);
void launch_ends();
// The lanes of the warp that runs have come as far as they can: what they did, they did together.
void segment_ended();
// The same, at a shuffle, a vote or a barrier of a warp.
void meeting();
// Whether memory belongs to the emulation.
bool is_own(const void* address);
// How many blocks there were, and barriers in this one.
uint64_t block_number();
uint64_t barriers();
#else
inline void launch_begins(const void*, uint64_t, uint64_t, const void*, const void*, size_t) {}
inline void launch_ends() {}
inline void segment_ended() {}
inline void meeting() {}
#endif

}  // namespace cuda_on_cpu
