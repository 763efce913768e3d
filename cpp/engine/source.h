// Where the samples of a run come from: the caller's arrays, in any dtype, gathered row by row.
#pragma once

#include <cstdint>

namespace mlpeak {
namespace engine {

enum class SourceType { f32, f64, i8, u8, i16, u16, i32, u32, i64 };

/// A C-contiguous array (samples, columns) of `type`; an element e becomes T(e) * scale, or for
/// integer values int64(e). Or, with `starts`, the compressed rows of a sparse one: row r has
/// data[k] in column positions[k], for k from starts[r] to starts[r + 1]; elements of one column
/// add up, and all others are 0.
struct Source {
  const void* data = nullptr;
  SourceType type = SourceType::f32;
  int64_t columns = 1;
  double scale = 1;
  const int64_t* starts = nullptr;
  const int64_t* positions = nullptr;
};

/// to[r, :] = rows index[r] of the source, or rows first + r where index is null.
template <class T>
void gather_rows(const Source& source, const int64_t* index, int64_t first, int64_t count, T* to,
                 int64_t ld);
void gather_integers(const Source& source, const int64_t* index, int64_t first, int64_t count,
                     int64_t* to);

}  // namespace engine
}  // namespace mlpeak
