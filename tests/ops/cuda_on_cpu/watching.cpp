// What kernels do to memory: counted, and searched for races. The compiler calls a function before each load and each
// store, as it does for its thread sanitizer, whose functions these are instead.
//
// What the lanes of a warp do at the same place of the program between two meetings counts as one instruction of the
// warp. It moves sectors, the 32 bytes of memory that a GPU reads and writes at least, each once an instruction.
//
// A race is what two threads do to the same memory, one of them not by an atomic operation and one of them a store,
// without a barrier of their block or a meeting of their warp in between. It ends the launch with a message.

#include <link.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "cuda_on_cpu.h"
#include "memory.h"

namespace cuda_on_cpu {
namespace {

enum Kind { kLoad, kStore, kAtomic, kSharedLoad, kSharedStore, kSharedAtomic, kKinds };
const char* const kNames[kKinds] = {"load", "store", "atomic", "shared_load", "shared_store", "shared_atomic"};
constexpr uintptr_t kSector = 32, kBankBytes = 4, kBanks = 32;

struct Access {
  const void* place;
  uintptr_t address;
  uint32_t bytes, numbers;
  int lane;
  Kind kind;
};

struct Sums {
  uint64_t instructions = 0, accesses = 0, numbers = 0, bytes = 0, sectors = 0;
  std::unordered_set<uintptr_t> touched;
};

struct Launch {
  const void* kernel;
  uint64_t blocks, threads, meetings = 0;
  std::array<Sums, kKinds> sums;
};

// Who wrote last to two bytes of memory, and when.
struct Write {
  const Thread* thread;
  const Warp* warp;
  uint64_t launch, block, barriers, meetings;
  bool atomic;
};

constexpr uintptr_t kGrain = 2, kPage = 4096, kKept = 1024;
using Page = std::array<Write, kPage / kGrain>;
std::unordered_map<uintptr_t, std::unique_ptr<Page>> pages;
// Of some pages where they are, null for those that nothing was written to.
std::array<std::pair<uintptr_t, Page*>, kKept> kept_pages;
uint64_t launch_number;

// Null where nothing was written and none is wanted.
Page* page_of(uintptr_t number, bool wanted) {
  auto& [kept, page] = kept_pages[number % kKept];
  if (kept != number || (wanted && !page)) {
    kept = number;
    const auto found = pages.find(number);
    page = found != pages.end() ? found->second.get()
           : wanted             ? (pages[number] = std::make_unique<Page>()).get()
                                : nullptr;
  }
  return page;
}

bool counts_wanted, races_wanted = true;

std::vector<Launch> launches;
std::vector<Access> accesses;
bool launched, in_atomic;
uintptr_t stacks_begin, stacks_end, parameters;

// Of this library, with the variables of the emulation.
struct Image {
  uintptr_t base = 0, begin = 0, end = 0;
};

const Image& image() {
  static const Image found = [] {
    Image image;
    dl_iterate_phdr(
        [](dl_phdr_info* info, size_t, void* result) {
          Image here{info->dlpi_addr, UINTPTR_MAX, 0};
          for (int i = 0; i < info->dlpi_phnum; ++i) {
            const auto& part = info->dlpi_phdr[i];
            if (part.p_type != PT_LOAD) continue;
            here.begin = std::min<uintptr_t>(here.begin, here.base + part.p_vaddr);
            here.end = std::max<uintptr_t>(here.end, here.base + part.p_vaddr + part.p_memsz);
          }
          const auto own = reinterpret_cast<uintptr_t>(&launches);
          if (own < here.begin || own >= here.end) return 0;
          *static_cast<Image*>(result) = here;
          return 1;
        },
        &image);
    return image;
  }();
  return found;
}

bool is_private(uintptr_t address) {
  return (address >= stacks_begin && address < stacks_end) || (address >= image().begin && address < image().end) ||
         (address + 65536 > parameters && address < parameters + 65536) ||
         is_own(reinterpret_cast<const void*>(address));
}

bool ordered(const Write& before, const Write& now, bool shared) {
  if (before.thread == now.thread && before.block == now.block) return true;
  if (before.atomic && now.atomic) return true;
  if (before.block != now.block) return shared;  // the block before has ended
  return before.barriers < now.barriers || (before.warp == now.warp && before.meetings < now.meetings);
}

void look_for_races(uintptr_t address, uint32_t bytes, Kind kind, bool shared) {
  const bool writes_now = kind != kLoad;
  const Write now{current,    current->warp,           launch_number, block_number(),
                  barriers(), current->warp->meetings, kind == kAtomic};
  for (uintptr_t grain = address / kGrain; grain <= (address + bytes - 1) / kGrain; ++grain) {
    Page* const page = page_of(grain * kGrain / kPage, writes_now);
    if (!page) continue;
    Write& last = (*page)[grain % page->size()];
    if (last.launch == launch_number && !ordered(last, now, shared)) {
      const char* const names[] = {"reads", "writes", "adds"};
      report(std::string("a race: one thread ") + names[kind] + (shared ? " shared" : " global") +
             " memory that another has " + (last.atomic ? "added to" : "written"));
    }
    if (writes_now) last = now;
  }
}

void note(const void* place, const void* address, uint32_t bytes, uint32_t numbers, Kind kind) {
  const auto number = reinterpret_cast<uintptr_t>(address);
  if (!launched || in_atomic || is_private(number)) return;
  const bool shared = is_shared(address);
  if (races_wanted) look_for_races(number, bytes, kind, shared);
  if (!counts_wanted) return;
  if (shared) kind = static_cast<Kind>(kind + kSharedLoad);
  accesses.push_back({place, number, bytes, numbers, current->lane, kind});
}

// Of global memory sectors; of shared memory how often the banks are asked.
uint64_t parts(const std::vector<const Access*>& together, Sums& sums) {
  std::vector<uintptr_t> units;
  const uintptr_t size = together[0]->kind >= kSharedLoad ? kBankBytes : kSector;
  for (const Access* access : together) {
    for (uintptr_t i = access->address / size; i <= (access->address + access->bytes - 1) / size; ++i) units.push_back(i);
  }
  std::sort(units.begin(), units.end());
  units.erase(std::unique(units.begin(), units.end()), units.end());
  if (size == kSector) {
    sums.touched.insert(units.begin(), units.end());
    return units.size();
  }
  std::array<uint64_t, kBanks> asked{};
  for (uintptr_t unit : units) ++asked[unit % kBanks];
  return *std::max_element(asked.begin(), asked.end());
}

std::string in_json(const Sums& sums) {
  const auto field = [](const char* name, uint64_t number) {
    return std::string("\"") + name + "\": " + std::to_string(number);
  };
  return "{" + field("instructions", sums.instructions) + ", " + field("accesses", sums.accesses) + ", " +
         field("numbers", sums.numbers) + ", " + field("bytes", sums.bytes) + ", " + field("sectors", sums.sectors) +
         ", " + field("touched", sums.touched.size()) + "}";
}

}  // namespace

void launch_begins(const void* kernel, uint64_t blocks, uint64_t threads, const void* context, const void* stacks,
                   size_t bytes) {
  if (counts_wanted) launches.push_back({kernel, blocks, threads, 0, {}});
  ++launch_number;
  if (pages.size() > kKept) {
    pages.clear();
    kept_pages.fill({});
  }
  parameters = reinterpret_cast<uintptr_t>(context);
  stacks_begin = reinterpret_cast<uintptr_t>(stacks);
  stacks_end = stacks_begin + bytes;
  launched = true;
}

void launch_ends() {
  segment_ended();
  launched = false;
}

void meeting() {
  if (counts_wanted) ++launches.back().meetings;
  segment_ended();
}

void segment_ended() {
  if (accesses.empty()) return;
  std::unordered_map<const void*, std::array<uint32_t, 32>> times;
  std::map<std::pair<const void*, uint32_t>, std::vector<const Access*>> instructions;
  for (const Access& access : accesses) {
    instructions[{access.place, times[access.place][access.lane]++}].push_back(&access);
  }
  for (const auto& [key, together] : instructions) {
    Sums& sums = launches.back().sums[together[0]->kind];
    ++sums.instructions;
    sums.accesses += together.size();
    for (const Access* access : together) {
      sums.bytes += access->bytes;
      sums.numbers += access->numbers;
    }
    sums.sectors += parts(together, sums);
  }
  accesses.clear();
}

void begin_atomic(const void* address, size_t bytes, int numbers) {
  note(__builtin_return_address(0), address, static_cast<uint32_t>(bytes), static_cast<uint32_t>(numbers), kAtomic);
  in_atomic = true;
}

void end_atomic() { in_atomic = false; }

}  // namespace cuda_on_cpu

using cuda_on_cpu::kLoad;
using cuda_on_cpu::kStore;
#define CUDA_ON_CPU_HOOK(bytes)                                               \
  extern "C" void __tsan_read##bytes(const void* address) {                   \
    cuda_on_cpu::note(__builtin_return_address(0), address, bytes, 1, kLoad);  \
  }                                                                           \
  extern "C" void __tsan_write##bytes(const void* address) {                  \
    cuda_on_cpu::note(__builtin_return_address(0), address, bytes, 1, kStore); \
  }
CUDA_ON_CPU_HOOK(1)
CUDA_ON_CPU_HOOK(2)
CUDA_ON_CPU_HOOK(4)
CUDA_ON_CPU_HOOK(8)
CUDA_ON_CPU_HOOK(16)
extern "C" void __tsan_read_range(const void* address, size_t bytes) {
  cuda_on_cpu::note(__builtin_return_address(0), address, static_cast<uint32_t>(bytes), 1, kLoad);
}
extern "C" void __tsan_write_range(const void* address, size_t bytes) {
  cuda_on_cpu::note(__builtin_return_address(0), address, static_cast<uint32_t>(bytes), 1, kStore);
}
extern "C" void __tsan_init() {}

// Called from Python.
extern "C" __attribute__((visibility("default"))) void cuda_on_cpu_watch(bool counts, bool races) {
  cuda_on_cpu::counts_wanted = counts;
  cuda_on_cpu::races_wanted = races;
}

// The launches since the last call, as JSON. Kernels are named by their place in the library.
extern "C" __attribute__((visibility("default"))) const char* cuda_on_cpu_counts() {
  static std::string text;
  text = "[";
  for (const auto& launch : cuda_on_cpu::launches) {
    const auto place = reinterpret_cast<uintptr_t>(launch.kernel) - cuda_on_cpu::image().base;
    text += (text.size() > 1 ? ", " : "") + std::string("{\"place\": ") + std::to_string(place) +
            ", \"blocks\": " + std::to_string(launch.blocks) + ", \"threads\": " + std::to_string(launch.threads) +
            ", \"meetings\": " + std::to_string(launch.meetings);
    for (int kind = 0; kind < cuda_on_cpu::kKinds; ++kind) {
      text += std::string(", \"") + cuda_on_cpu::kNames[kind] + "\": " + cuda_on_cpu::in_json(launch.sums[kind]);
    }
    text += "}";
  }
  cuda_on_cpu::launches.clear();
  return (text += "]").c_str();
}
