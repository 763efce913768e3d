#include "runtime/arena.h"

#include <cstdlib>
#include <new>
#include <utility>

namespace mlpeak {

AlignedMemory::AlignedMemory(size_t bytes)
    : data_(std::aligned_alloc(64, bytes < 64 ? 64 : (bytes + 63) / 64 * 64)) {
  if (!data_) throw std::bad_alloc();
}

AlignedMemory& AlignedMemory::operator=(AlignedMemory&& other) noexcept {
  std::swap(data_, other.data_);
  return *this;
}

AlignedMemory::~AlignedMemory() {
  std::free(data_);
}

void* scratch_bytes(size_t bytes) {
  thread_local AlignedMemory t_memory;
  thread_local size_t t_size = 0;
  if (bytes > t_size || !t_memory.data()) {
    t_size = 0;
    t_memory = AlignedMemory();  // the old block goes before the new one comes
    t_memory = AlignedMemory(bytes);
    t_size = bytes;
  }
  return t_memory.data();
}

}  // namespace mlpeak
