// Scratch memory of a thread: grows to the largest request and is kept, so that a call in a steady
// state allocates nothing.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mlpeak {

/// `bytes` of uninitialised memory aligned to 64 bytes, valid until the same thread's next request.
void* scratch_bytes(size_t bytes);

template <class T>
T* scratch(int64_t elements) {
  return static_cast<T*>(scratch_bytes(size_t(elements) * sizeof(T)));
}

#if defined(MLPEAK_GUARD_MEMORY)
constexpr int64_t kGuardBytes = 4096;
#else
constexpr int64_t kGuardBytes = 0;
#endif

/// How many elements apart the scratch memories of a team's threads begin, in one block: no two
/// share a cache line. With guarded memory, kGuardBytes end each that nobody may touch.
template <class T>
constexpr int64_t team_stride(int64_t elements) {
  return (elements + 63) / 64 * 64 + kGuardBytes / int64_t(sizeof(T));
}

/// Forbids the ends of a block's parts; does nothing without guarded memory.
void guard_parts(void* block, int64_t stride_bytes, int parts);

/// A block of uninitialised memory aligned to 64 bytes, freed at the end of its life.
class AlignedMemory {
 public:
  AlignedMemory() = default;
  /// Throws std::bad_alloc.
  explicit AlignedMemory(size_t bytes);
  AlignedMemory(AlignedMemory&& other) noexcept : data_(other.data_) { other.data_ = nullptr; }
  AlignedMemory& operator=(AlignedMemory&& other) noexcept;
  ~AlignedMemory();
  void* data() const { return data_; }

 private:
  void* data_ = nullptr;
};

}  // namespace mlpeak
