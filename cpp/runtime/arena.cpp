#include "runtime/arena.h"

#include <cstdlib>
#include <new>

namespace mlpeak {
namespace {

struct Arena {
  void* memory = nullptr;
  size_t size = 0;
  ~Arena() { std::free(memory); }
};

thread_local Arena t_arena;

}  // namespace

void* scratch_bytes(size_t bytes) {
  Arena& arena = t_arena;
  if (bytes > arena.size) {
    std::free(arena.memory);
    arena.size = (bytes + 4095) / 4096 * 4096;
    arena.memory = std::aligned_alloc(64, arena.size);
    if (!arena.memory) {
      arena.size = 0;
      throw std::bad_alloc();
    }
  }
  return arena.memory;
}

}  // namespace mlpeak
