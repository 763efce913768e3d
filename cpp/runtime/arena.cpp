#include "runtime/arena.h"

#include <sys/mman.h>

#include <cstdlib>
#include <new>
#include <utility>

#if defined(MLPEAK_GUARD_MEMORY)
#include <sanitizer/asan_interface.h>
#endif

namespace mlpeak {

namespace {

// A block of at least two huge pages asks for them, as NumPy does for its arrays: walking a large
// packed weight would otherwise miss the TLB every few lines.
constexpr size_t kHugePage = size_t(2) << 20;

// Where memory is guarded, every block ends where it was asked to, and no request is served from an
// older one.
constexpr bool kExact = kGuardBytes > 0;

void* allocate(size_t bytes) {
  const size_t alignment = bytes >= 2 * kHugePage ? kHugePage : 64;
  const size_t whole = bytes < 64 ? 64 : (bytes + alignment - 1) / alignment * alignment;
  const size_t size = kExact ? bytes : whole;
  void* data = nullptr;
  if (posix_memalign(&data, alignment, size) != 0) throw std::bad_alloc();
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

void guard_parts(void* block, int64_t stride_bytes, int parts) {
#if defined(MLPEAK_GUARD_MEMORY)
  for (int part = 1; part <= parts; ++part)
    ASAN_POISON_MEMORY_REGION(static_cast<char*>(block) + part * stride_bytes - kGuardBytes,
                              kGuardBytes);
#else
  (void)block, (void)stride_bytes, (void)parts;
#endif
}

void* scratch_bytes(size_t bytes) {
  thread_local AlignedMemory t_memory;
  thread_local size_t t_size = 0;
  if (bytes > t_size || !t_memory.data() || kExact) {
    t_size = 0;
    t_memory = AlignedMemory();  // the old block goes before the new one comes
    t_memory = AlignedMemory(bytes);
    t_size = bytes;
  }
  return t_memory.data();
}

}  // namespace mlpeak
