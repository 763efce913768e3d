// Packing: the factors of a product in the order in which tiles read them.
#pragma once

#include "kernels/tiles.h"
#include "simd/transpose.h"

namespace mlpeak {
namespace MLPEAK_TIER {
namespace {

constexpr int64_t kPackSlack = 16;  // elements that packing a strip may write beyond its end

/// Rows that packing takes through all panels or strips before it goes on: memory is then read
/// along its rows. Panel by panel, each row would give one line, from a page of its own.
constexpr int64_t kPackedTogether = 4;

/// pack_panels for a B whose rows have adjacent elements.
template <class E>
void pack_rows(int64_t k, int64_t n, const E* b, int64_t row, E* out) {
  constexpr int64_t kWidth = kColumns<E>, kLanes = Vec<E>::kLanes;
  const int64_t whole = n / kWidth * kWidth;  // columns of whole panels
  for (int64_t p = 0; p < k; p += kPackedTogether) {
    const int64_t rows = smaller(kPackedTogether, k - p);
    const E* from = b + p * row;
    E* to = out + p * kWidth;
    for (int64_t j = 0; j < whole; j += kWidth, from += kWidth, to += k * kWidth)
      for (int64_t r = 0; r < rows; ++r)
        for (int v = 0; v < kVectors; ++v)
          store(to + r * kWidth + v * kLanes, load(from + r * row + v * kLanes));
    for (int64_t i = 0; i < n - whole; i += kLanes) {
      const Mask<Sum<E>> mask = first_n<Sum<E>>(n - whole - i);
      for (int64_t r = 0; r < rows; ++r) store(to + r * kWidth + i, load(from + r * row + i, mask));
    }
  }
}

/// Packs B[0:k, 0:n] into panels of kColumns columns, each k x kColumns with rows adjacent. The
/// last panel is filled up with zeros to whole registers; what is beyond is never read.
template <class E>
void pack_panels(int64_t k, int64_t n, const E* b, int64_t row, int64_t col, E* out) {
  constexpr int64_t kWidth = kColumns<E>, kLanes = Vec<E>::kLanes;
  if (col == 1) return pack_rows(k, n, b, row, out);
  for (int64_t j = 0; j < n; j += kWidth, b += kWidth * col, out += k * kWidth) {
    const int64_t width = smaller(kWidth, n - j);
    for (int64_t i = 0; i < width; i += kLanes) {  // a register's width of columns
      const E* from = b + i * col;
      E* to = out + i;
      const int64_t lanes = smaller(kLanes, width - i);
      int64_t p = 0;
      if (row == 1 && lanes == kLanes) {  // transposed: columns of B are adjacent along k
        for (; p + kLanes <= k; p += kLanes)
          transpose_block(from + p, col, to + p * kWidth, kWidth);
      }
      for (; p < k; ++p)
        for (int64_t lane = 0; lane < kLanes; ++lane)
          to[p * kWidth + lane] = lane < lanes ? from[p * row + lane * col] : E();
    }
  }
}

/// to[j * to_ld + i] = from[i * from_ld + j] for i < rows, j < columns. Reads whole registers of
/// whole squares: from has room for rows and columns rounded up to registers.
template <class T>
void transpose(int64_t rows, int64_t columns, const T* from, int64_t from_ld, T* to,
               int64_t to_ld) {
  constexpr int64_t kLanes = Vec<T>::kLanes;
  alignas(64) T turned[kLanes * kLanes];
  for (int64_t i = 0; i < rows; i += kLanes) {
    const Mask<T> mask = first_n<T>(rows - i);
    for (int64_t j = 0; j < columns; j += kLanes) {
      transpose_block(from + i * from_ld + j, from_ld, turned, kLanes);
      for (int64_t q = 0; q < kLanes && j + q < columns; ++q)
        store(to + (j + q) * to_ld + i, load(turned + q * kLanes), mask);
    }
  }
}

/// Packs A[0:m, 0:k] into Strips(m), each k x rows; room for kPackSlack elements more.
template <class E>
void pack_strips(int64_t m, int64_t k, const E* a, int64_t row, int64_t col, E* out) {
  const Strips strips(m);
  // copy_short writes beyond a strip's row, into rows that follow later; not beyond the strip.
  const int64_t height = strips.height > 0 ? strips.height : 1;
  const int64_t fitting = k + 1 - (kCopied + height - 1) / height;
  const int64_t copied = row == 1 && col >= kCopied && fitting > 0 ? fitting : 0;
  for (int64_t first = 0; first < copied; first += kPackedTogether) {
    const int64_t end = smaller(first + kPackedTogether, copied);
    for (int64_t s = 0, i = 0; s < strips.count; i += strips.rows(s), ++s)
      for (int64_t p = first; p < end; ++p)
        copy_short(a + p * col + i, out + i * k + p * strips.rows(s));
  }
  for (int64_t s = 0; s < strips.count; ++s) {
    const int rows = strips.rows(s);
    int64_t p = col == 1 && row != 1 ? transpose_rows(rows, k, a, row, out) : copied;
    for (; p < k; ++p)
      for (int r = 0; r < rows; ++r) out[p * rows + r] = a[r * row + p * col];
    a += rows * row;
    out += rows * k;
  }
}

/// The matrix x (rows, k) as a product multiplies it: as it is, or in `out` as pairs along k.
template <class T>
MatrixView<T> operand(MatrixView<T> x, int64_t, int64_t, T*) {
  return x;
}
inline MatrixView<Pair> operand(MatrixView<float> x, int64_t rows, int64_t k, Pair* out) {
  const int64_t steps = steps_of<Pair>(k);
  if (x.row == 1) {
    for (int64_t p = 0; p < steps; ++p) {
      const float* even = x.data + 2 * p * x.col;
      pairs_across(rows, even, 2 * p + 1 < k ? even + x.col : nullptr, out + p * rows);
    }
    return {out, 1, rows};
  }
  for (int64_t i = 0; i < rows; ++i) {
    const float* from = x.data + i * x.row;
    if (x.col == 1)
      pairs_along(k, from, out + i * steps);
    else
      for (int64_t p = 0; p < steps; ++p, from += 2 * x.col)
        out[i * steps + p] = pair_of(from[0], 2 * p + 1 < k ? from[x.col] : 0);
  }
  return {out, steps, 1};
}

}  // namespace
}  // namespace MLPEAK_TIER
}  // namespace mlpeak
