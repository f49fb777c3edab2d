// Shared memory. Each variable has memory of its own, so that the address sanitizer sees where it ends.

#include "memory.h"

#include <cstdlib>
#include <memory>
#include <vector>

#include "cuda_on_cpu.h"

namespace cuda_on_cpu {
namespace {

struct Variable {
  char* memory;
  size_t bytes;
  uint64_t block;  // the one that it was last filled for
};

std::vector<std::unique_ptr<Variable>> variables;
Variable dynamic{nullptr, 0, 0};
uint64_t blocks;

char* allocate(size_t bytes, size_t alignment) {
  void* memory = nullptr;
  if (posix_memalign(&memory, alignment, bytes ? bytes : 1) != 0) std::abort();
  return static_cast<char*>(memory);
}

void* of_this_block(Variable& variable) {
  if (variable.block != blocks) std::memset(variable.memory, 0xff, variable.bytes);
  variable.block = blocks;
  return variable.memory;
}

bool within(const Variable& variable, const void* address) {
  const char* byte = static_cast<const char*>(address);
  return variable.memory && byte >= variable.memory && byte < variable.memory + variable.bytes;
}

}  // namespace

void start_shared_memory() { ++blocks; }

#ifdef CUDA_ON_CPU_WATCH
uint64_t block_number() { return blocks; }
#endif

void set_dynamic_shared(size_t bytes) {
  std::free(dynamic.memory);
  dynamic = {allocate(bytes, 1024), bytes, 0};
}

void* dynamic_shared() { return of_this_block(dynamic); }

void* shared_variable(void** slot, size_t bytes, size_t alignment) {
  if (!*slot) {
    variables.push_back(std::make_unique<Variable>(Variable{allocate(bytes, alignment), bytes, 0}));
    *slot = variables.back().get();
  }
  return of_this_block(*static_cast<Variable*>(*slot));
}

bool is_shared(const void* address) {
  if (within(dynamic, address)) return true;
  for (const auto& variable : variables) {
    if (within(*variable, address)) return true;
  }
  return false;
}

}  // namespace cuda_on_cpu
