#include "runtime/arena.h"

#include <sys/mman.h>

#include <cstdlib>
#include <new>
#include <utility>

namespace mlpeak {

namespace {

// A block of at least two huge pages asks for them, as NumPy does for its arrays: walking a large
// packed weight would otherwise miss the TLB every few lines.
constexpr size_t kHugePage = size_t(2) << 20;

void* allocate(size_t bytes) {
  const size_t alignment = bytes >= 2 * kHugePage ? kHugePage : 64;
  const size_t size = bytes < 64 ? 64 : (bytes + alignment - 1) / alignment * alignment;
  void* const data = std::aligned_alloc(alignment, size);
  if (!data) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
  if (alignment == kHugePage) madvise(data, size, MADV_HUGEPAGE);  // advice: may fail
#endif
  return data;
}

}  // namespace

AlignedMemory::AlignedMemory(size_t bytes) : data_(allocate(bytes)) {}

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
