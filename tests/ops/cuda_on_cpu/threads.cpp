// The coroutines behind include/cuda_on_cpu.h, and the launches of kernels.

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <mutex>
#include <numeric>
#include <random>
#include <vector>

#include "cuda_runtime.h"
#include "memory.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
constexpr size_t kStackBytes = 512 * 1024;
#else
constexpr size_t kStackBytes = 128 * 1024;
#endif
constexpr size_t kMostThreads = 1024;  // of a block
// Tops of stacks that lie a power of two apart would share a few lines of the cache.
constexpr size_t kStagger = 576;

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace cuda_on_cpu {

Thread* current;
int fault;

// ---- changing from one stack to another ------------------------------------------------------------------------------

#if defined(__x86_64__)
extern "C" void cuda_on_cpu_change(void** from, void* to);
// The registers that a function must leave as they are; the rest is the caller's to keep.
asm(R"(
.text
.type cuda_on_cpu_change, @function
cuda_on_cpu_change:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size cuda_on_cpu_change, .-cuda_on_cpu_change
)");

static void* fresh_stack(char* stack, void (*entry)()) {
  void** top = reinterpret_cast<void**>(stack + kStackBytes) - 2;
  top[0] = reinterpret_cast<void*>(entry);
  top[1] = nullptr;
  return top - 6;
}
#else
#include <ucontext.h>
static void cuda_on_cpu_change(void** from, void* to) {
  ucontext_t here;
  *from = &here;
  swapcontext(&here, static_cast<ucontext_t*>(to));
}

static void* fresh_stack(char* stack, void (*entry)()) {
  ucontext_t* context = reinterpret_cast<ucontext_t*>(stack + 4096);
  getcontext(context);
  context->uc_stack.ss_sp = stack + 4096 + sizeof(ucontext_t) / 16 * 16 + 16;
  context->uc_stack.ss_size = kStackBytes - 4096 - sizeof(ucontext_t) - 32;
  context->uc_link = nullptr;
  makecontext(context, entry, 0);
  return context;
}
#endif

namespace {

struct Block {
  std::vector<Thread> threads;
  std::vector<Warp> warps;
  size_t waiting, counted, ended, barriers;
  Body body;
  void* context;
};

Block block;
Thread outside;  // stands for what launched
char* stacks;
std::string failure, last_message;
int last_error;
Order order = Order::kShuffled;
std::mt19937_64 random_numbers(0);
std::mutex one_launch;
std::map<const void*, size_t> shared_limits;
// Of what launched, as the sanitizer wants to be told.
const void* outside_stack;
size_t outside_bytes;

void change(Thread* from, Thread* to, [[maybe_unused]] bool for_good) {
  current = to;
  threadIdx = to->index;
#if defined(__SANITIZE_ADDRESS__)
  void* kept = nullptr;
  const bool out = to == &outside;
  __sanitizer_start_switch_fiber(for_good ? nullptr : &kept, out ? outside_stack : to->stack,
                                 out ? outside_bytes : kStackBytes);
  cuda_on_cpu_change(&from->stack_pointer, to->stack_pointer);
  __sanitizer_finish_switch_fiber(kept, nullptr, nullptr);
#else
  cuda_on_cpu_change(&from->stack_pointer, to->stack_pointer);
#endif
}

// Lets another lane of the warp run, or what launched where none can.
void give_way(bool for_good) {
  Thread* self = current;
  const Warp& warp = *self->warp;
  change(self, warp.ready ? warp.lanes[warp.order[__builtin_ctz(warp.ready)]] : &outside, for_good);
}

void entry() {
#if defined(__SANITIZE_ADDRESS__)
  const void* bottom;
  size_t bytes;
  __sanitizer_finish_switch_fiber(nullptr, &bottom, &bytes);
  if (!outside_stack) outside_stack = bottom, outside_bytes = bytes;
#endif
  Thread& self = *current;
  block.body(block.context);
  self.warp->ended |= 1u << self.lane;
  self.warp->ready &= ~(1u << self.warp->rank[self.lane]);
  ++block.ended;
  give_way(true);
  std::abort();
}

void wait(Thread& thread, const Site& site) {
  thread.site = site;
  thread.warp->waiting |= 1u << thread.lane;
  thread.warp->ready &= ~(1u << thread.warp->rank[thread.lane]);
}

void go_on(Thread& thread) {
  thread.site.call = nullptr;
  thread.warp->waiting &= ~(1u << thread.lane);
  thread.warp->ready |= 1u << thread.warp->rank[thread.lane];
}

bool same_text(const char* a, const char* b) { return a == b || std::strcmp(a, b) == 0; }

bool same_site(const Site& a, const Site& b) {
  return a.line == b.line && same_text(a.call, b.call) && same_text(a.file, b.file);
}

bool same_meeting(const Thread& a, const Thread& b) {
  return a.mask == b.mask && a.width == b.width && a.resolve == b.resolve && same_site(a.site, b.site);
}

// ---- words ------------------------------------------------------------------------------------------------------------

std::string in_hex(unsigned mask) {
  char text[16];
  std::snprintf(text, sizeof(text), "%08x", mask);
  return text;
}

std::string in_words(const Site& site) {
  const char* slash = std::strrchr(site.file, '/');
  return std::string(site.call) + " (" + (slash ? slash + 1 : site.file) + ":" + std::to_string(site.line) + ")";
}

std::string in_words(const Thread& thread) {
  if (thread.warp->ended >> thread.lane & 1) return "has ended";
  const std::string text = "waits at " + in_words(thread.site);
  return thread.resolve ? text + " with mask " + in_hex(thread.mask) + ", width " + std::to_string(thread.width) : text;
}

// Who waits where, in the first warp in which a thread waits.
std::string in_words_who_waits() {
  std::string text, last;
  for (size_t w = 0; w < block.warps.size() && text.empty(); ++w) {
    if (!block.warps[w].waiting) continue;
    for (const Thread* thread : block.warps[w].lanes) {
      if (!thread) continue;
      const std::string words = in_words(*thread);
      if (words != last) text += "; lane " + std::to_string(thread->lane) + (last.empty() ? " " : " and on ") + words;
      last = words;
    }
    text = ", of warp " + std::to_string(w) + text;
  }
  return "threads wait for each other: " + std::to_string(block.threads.size() - block.ended) + " wait, " +
         std::to_string(block.ended) + " have ended" + text;
}

// ---- blocks -----------------------------------------------------------------------------------------------------------

template <typename T>
void put_in_order(T* first, T* last) {
  std::iota(first, last, T(0));
  if (order == Order::kBackward) std::reverse(first, last);
  if (order == Order::kShuffled) std::shuffle(first, last, random_numbers);
}

void start_threads(dim3 size) {
  const unsigned threads = size.x * size.y * size.z;
  block.threads.assign(threads, Thread{});
  block.warps.assign((threads + 31) / 32, Warp{});
  block.waiting = block.counted = block.ended = block.barriers = 0;
  for (unsigned i = 0; i < threads; ++i) {
    Thread& thread = block.threads[i];
    thread.stack = stacks + i * kStackBytes;
    thread.index = {i % size.x, i / size.x % size.y, i / size.x / size.y};
    thread.warp = &block.warps[i / 32];
    thread.lane = static_cast<int>(i % 32);
    thread.warp->lanes[thread.lane] = &thread;
    thread.stack_pointer = fresh_stack(thread.stack - i % 64 * kStagger, &entry);
  }
  for (size_t w = 0; w < block.warps.size(); ++w) {
    Warp& warp = block.warps[w];
    const int lanes = std::min<int>(32, static_cast<int>(threads - 32 * w));
    put_in_order(warp.order, warp.order + lanes);
    for (int i = 0; i < lanes; ++i) warp.rank[warp.order[i]] = i;
    warp.ready = lanes == 32 ? 0xffffffffu : (1u << lanes) - 1;
    // Lanes that there are not are as good as ended.
    warp.ended = ~warp.ready;
  }
}

void run_block(dim3 size) {
  start_shared_memory();
  start_threads(size);
  std::vector<int> warps(block.warps.size());
  put_in_order(warps.data(), warps.data() + warps.size());
  while (block.ended < block.threads.size() && failure.empty()) {
    bool any = false;
    for (int w : warps) {
      const Warp& warp = block.warps[w];
      for (; warp.ready && failure.empty(); any = true) {
        change(&outside, warp.lanes[warp.order[__builtin_ctz(warp.ready)]], false);
      }
      segment_ended();
    }
    if (!any && failure.empty()) failure = in_words_who_waits();
  }
}

int fail(int error, const std::string& message) {
  last_message = message;
  return last_error = error;
}

std::string wrong_sizes(dim3 grid, dim3 size) {
  const auto words = [](const char* name, dim3 d) {
    return std::string(name) + " of " + std::to_string(d.x) + " x " + std::to_string(d.y) + " x " + std::to_string(d.z);
  };
  const uint64_t threads = uint64_t(size.x) * size.y * size.z;
  if (threads == 0 || threads > kMostThreads) return words("a block", size);
  const bool fits = grid.x <= 0x7fffffffu && grid.y <= 65535 && grid.z <= 65535;
  return fits && uint64_t(grid.x) * grid.y * grid.z > 0 ? "" : words("a grid", grid);
}

void run_blocks(dim3 grid, dim3 size) {
  const uint64_t blocks = uint64_t(grid.x) * grid.y * grid.z;
  std::vector<uint64_t> numbers(blocks);
  put_in_order(numbers.data(), numbers.data() + blocks);
  for (uint64_t i : numbers) {
    blockIdx = {unsigned(i % grid.x), unsigned(i / grid.x % grid.y), unsigned(i / grid.x / grid.y)};
    run_block(size);
    if (!failure.empty()) return;
  }
}

}  // namespace

#ifdef CUDA_ON_CPU_WATCH
bool is_own(const void* address) {
  const auto within = [&](const auto& items) {
    return address >= items.data() && address < items.data() + items.size();
  };
  return within(block.threads) || within(block.warps);
}

uint64_t barriers() { return block.barriers; }
#endif

void set_order(Order new_order, uint64_t seed) {
  order = new_order;
  random_numbers.seed(seed);
}

void report(const std::string& message) {
  if (current == &outside) std::abort();
  const Thread& t = *current;
  failure = message + "; thread " + std::to_string(&t - block.threads.data()) + " of block (" +
            std::to_string(blockIdx.x) + ", " + std::to_string(blockIdx.y) + ", " + std::to_string(blockIdx.z) + ")";
  change(current, &outside, false);
  std::abort();
}

int run(const void* kernel, dim3 grid, dim3 size, size_t shared_bytes, Body body, void* context) {
  const std::lock_guard<std::mutex> lock(one_launch);
  if (const std::string wrong = wrong_sizes(grid, size); !wrong.empty()) {
    return fail(cudaErrorInvalidConfiguration, "a launch has " + wrong);
  }
  const auto limit = shared_limits.find(kernel);
  const size_t most = limit == shared_limits.end() ? 48 * 1024 : limit->second;
  if (shared_bytes > most) {
    return fail(cudaErrorInvalidValue, "a launch asks for " + std::to_string(shared_bytes) +
                                           " bytes of shared memory of at most " + std::to_string(most));
  }
  if (!stacks) {
    void* memory = mmap(nullptr, kMostThreads * kStackBytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    stacks = static_cast<char*>(memory);
    for (size_t i = 0; i < kMostThreads; ++i) mprotect(stacks + i * kStackBytes, 4096, PROT_NONE);
  }
  failure.clear();
  outside_stack = nullptr;
  outside.index = {};
  block.body = body;
  block.context = context;
  blockDim = size;
  gridDim = grid;
  set_dynamic_shared(shared_bytes);
  const uint64_t threads = uint64_t(size.x) * size.y * size.z;
  launch_begins(kernel, uint64_t(grid.x) * grid.y * grid.z, threads, context, stacks, kMostThreads * kStackBytes);
  current = &outside;
  run_blocks(grid, size);
  launch_ends();
  return failure.empty() ? 0 : fail(cudaErrorLaunchFailure, failure);
}

int set_shared_limit(const void* kernel, int bytes) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
  constexpr int kMost = 227 * 1024;
#elif __CUDA_ARCH__ == 800
  constexpr int kMost = 163 * 1024;
#elif __CUDA_ARCH__ > 800
  constexpr int kMost = 99 * 1024;
#else
  constexpr int kMost = 64 * 1024;
#endif
  if (bytes > kMost) {
    return fail(cudaErrorInvalidValue, "a kernel asks for " + std::to_string(bytes) +
                                           " bytes of shared memory of at most " + std::to_string(kMost));
  }
  shared_limits[kernel] = bytes;
  return 0;
}

void remember(int error) {
  if (error) last_error = error;
}

// ---- meetings ---------------------------------------------------------------------------------------------------------

uint64_t meet(Site site, Resolve resolve, unsigned mask, int width, uint64_t given, int source) {
  Thread& self = *current;
  Warp& warp = *self.warp;
  if (width < 1 || width > 32 || (width & (width - 1))) report(in_words(site) + " has width " + std::to_string(width));
  if (!(mask >> self.lane & 1)) report(in_words(site) + " has mask " + in_hex(mask) + " without the lane that calls it");
  if (mask & warp.ended) {
    report(in_words(site) + " has mask " + in_hex(mask) + ", of whose lanes " + in_hex(mask & warp.ended) +
           " have ended or are none");
  }
  self.resolve = resolve;
  self.mask = mask;
  self.width = width;
  self.given = given;
  self.source = source;
  wait(self, site);
  bool all = (mask & ~warp.waiting) == 0;
  for (unsigned rest = mask; all && rest; rest &= rest - 1) {
    all = same_meeting(self, *warp.lanes[__builtin_ctz(rest)]);
  }
  if (all) {
    meeting();
    ++warp.meetings;
    resolve(warp, mask);
    for (unsigned rest = mask; rest; rest &= rest - 1) go_on(*warp.lanes[__builtin_ctz(rest)]);
  } else {
    give_way(false);
  }
  return self.result;
}

int count_of_block(Site site, bool given) {
  Thread& self = *current;
  self.resolve = nullptr;
  self.mask = 0;
  wait(self, site);
  block.counted += given;
  if (++block.waiting < block.threads.size()) {
    give_way(false);
    return static_cast<int>(self.result);
  }
  for (const Thread& thread : block.threads) {
    if (!same_site(thread.site, site)) report("some threads are at " + in_words(site) + " and some at " + in_words(thread.site));
  }
  for (Thread& thread : block.threads) {
    thread.result = block.counted;
    go_on(thread);
  }
  block.waiting = block.counted = 0;
  ++block.barriers;
  return static_cast<int>(self.result);
}

void meet_block(Site site) { count_of_block(site, false); }

int first_of(int lane, int width) { return lane & ~(width - 1); }

void resolve_nothing(Warp&, unsigned) {}

void resolve_shuffle(Warp& warp, unsigned mask) {
  for (unsigned rest = mask; rest; rest &= rest - 1) {
    Thread& thread = *warp.lanes[__builtin_ctz(rest)];
    if (!(mask >> thread.source & 1)) {
      report(in_words(thread.site) + ": lane " + std::to_string(thread.lane) + " takes from lane " +
             std::to_string(thread.source) + ", which is not in mask " + in_hex(mask));
    }
    thread.result = warp.lanes[thread.source]->given;
  }
}

void resolve_ballot(Warp& warp, unsigned mask) {
  unsigned votes = 0;
  for (unsigned rest = mask; rest; rest &= rest - 1) {
    const int lane = __builtin_ctz(rest);
    votes |= unsigned(warp.lanes[lane]->given) << lane;
  }
  for (unsigned rest = mask; rest; rest &= rest - 1) warp.lanes[__builtin_ctz(rest)]->result = votes;
}

void resolve_match(Warp& warp, unsigned mask) {
  for (unsigned rest = mask; rest; rest &= rest - 1) {
    Thread& thread = *warp.lanes[__builtin_ctz(rest)];
    thread.result = 0;
    for (unsigned other = mask; other; other &= other - 1) {
      const int lane = __builtin_ctz(other);
      if (warp.lanes[lane]->given == thread.given) thread.result |= 1u << lane;
    }
  }
}

}  // namespace cuda_on_cpu

const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaSuccess ? "no error" : cuda_on_cpu::last_message.c_str();
}
cudaError_t cudaPeekAtLastError() { return cuda_on_cpu::last_error; }
cudaError_t cudaGetLastError() {
  const cudaError_t error = cuda_on_cpu::last_error;
  cuda_on_cpu::last_error = cudaSuccess;
  return error;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
#ifdef __CUDA_ARCH__
  constexpr int kArchitecture = __CUDA_ARCH__;
#else
  constexpr int kArchitecture = 900;
#endif
  switch (attribute) {
    case cudaDevAttrComputeCapabilityMajor:
      return *value = kArchitecture / 100, cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor:
      return *value = kArchitecture / 10 % 10, cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      return *value = kArchitecture >= 900 ? 227 * 1024 : kArchitecture == 800 ? 163 * 1024 : 64 * 1024, cudaSuccess;
    case cudaDevAttrL2CacheSize:
      return *value = 50 * 1024 * 1024, cudaSuccess;
    default:
      return *value = 132, cudaSuccess;
  }
}

// Called from Python.
extern "C" __attribute__((visibility("default"))) void cuda_on_cpu_set_fault(int fault) { cuda_on_cpu::fault = fault; }
// 0 forward, 1 backward, 2 shuffled.
extern "C" __attribute__((visibility("default"))) void cuda_on_cpu_set_order(int order, uint64_t seed) {
  cuda_on_cpu::set_order(static_cast<cuda_on_cpu::Order>(order), seed);
}
