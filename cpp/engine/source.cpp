#include "engine/source.h"

#include <cstring>

namespace mlpeak {
namespace engine {
namespace {

/// f(pointer to the source's elements in their own type)
template <class F>
void with_type(const Source& s, F&& f) {
  switch (s.type) {
    case SourceType::f32:
      return f(static_cast<const float*>(s.data));
    case SourceType::f64:
      return f(static_cast<const double*>(s.data));
    case SourceType::i8:
      return f(static_cast<const int8_t*>(s.data));
    case SourceType::u8:
      return f(static_cast<const uint8_t*>(s.data));
    case SourceType::i16:
      return f(static_cast<const int16_t*>(s.data));
    case SourceType::u16:
      return f(static_cast<const uint16_t*>(s.data));
    case SourceType::i32:
      return f(static_cast<const int32_t*>(s.data));
    case SourceType::u32:
      return f(static_cast<const uint32_t*>(s.data));
    case SourceType::i64:
      return f(static_cast<const int64_t*>(s.data));
  }
}

constexpr int64_t kAhead = 4;  // rows whose first lines are asked for ahead: they come at random

template <class T, class E>
void convert(const E* data, const Source& s, const int64_t* index, int64_t first, int64_t count,
             T* to, int64_t ld) {
  const T scale = T(s.scale);
  for (int64_t r = 0; r < count; ++r) {
    const E* from = data + (index ? index[r] : first + r) * s.columns;
    if (index && r + kAhead < count) __builtin_prefetch(data + index[r + kAhead] * s.columns);
    T* row = to + r * ld;
    if constexpr (sizeof(E) == sizeof(T) && E(0.5) == E(0.5) && E(1) / E(2) != E(0)) {
      if (scale == T(1)) {
        std::memcpy(row, from, size_t(s.columns) * sizeof(T));
        continue;
      }
    }
    for (int64_t c = 0; c < s.columns; ++c) row[c] = T(from[c]) * scale;
  }
}

template <class T, class E>
void scatter(const E* data, const Source& s, const int64_t* index, int64_t first, int64_t count,
             T* to, int64_t ld) {
  const T scale = T(s.scale);
  for (int64_t r = 0; r < count; ++r) {
    const int64_t i = index ? index[r] : first + r;
    T* row = to + r * ld;
    std::memset(row, 0, size_t(s.columns) * sizeof(T));
    for (int64_t k = s.starts[i]; k < s.starts[i + 1]; ++k)
      row[s.positions[k]] += T(data[k]) * scale;
  }
}

}  // namespace

template <class T>
void gather_rows(const Source& source, const int64_t* index, int64_t first, int64_t count, T* to,
                 int64_t ld) {
  with_type(source, [&](auto* data) {
    if (source.starts)
      scatter(data, source, index, first, count, to, ld);
    else
      convert(data, source, index, first, count, to, ld);
  });
}
template void gather_rows(const Source&, const int64_t*, int64_t, int64_t, float*, int64_t);
template void gather_rows(const Source&, const int64_t*, int64_t, int64_t, double*, int64_t);

void gather_integers(const Source& source, const int64_t* index, int64_t first, int64_t count,
                     int64_t* to) {
  with_type(source, [&](auto* data) {
    const int64_t n = source.columns;
    for (int64_t r = 0; r < count; ++r)
      for (int64_t c = 0; c < n; ++c)
        to[r * n + c] = int64_t(data[(index ? index[r] : first + r) * n + c]);
  });
}

}  // namespace engine
}  // namespace mlpeak
