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

}  // namespace mlpeak
