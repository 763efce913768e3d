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
