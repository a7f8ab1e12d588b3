// A chunk is a row of cells of one slice. A plain loop: what a hand-tuned one gained was a thousandth of a slice.
#include "common/loops.h"
#include "difference/op.h"

namespace maescan::cpu::MAESCAN_ISA {
namespace {

MAESCAN_HD float absolute(float value) { return value < 0 ? -value : value; }

const float* widened(const float* from, float*, int64_t) { return from; }

template <class T>
const float* widened(const T* from, float* wide, int64_t count) {
  widen_row(from, wide, count);
  return wide;
}

// The mean over the passes of what is seen less what is predicted [P * P]; a visible pass contributes zero.
template <class T>
void mean_error(const AverageDifference& a, int64_t b, int32_t local, const float* __restrict seen, float* wide,
                float* __restrict mean) {
  const int32_t pixels = a.tokens.pixels();
  const float share = 1.0f / static_cast<float>(a.passes);
  memset(mean, 0, pixels * sizeof(float));
  for (int32_t r = 0; r < a.passes && local >= 0; ++r) {
    const int64_t row = b * a.passes + r;
    const int32_t place = a.restore_ids[row * a.tokens.count + local];
    if (place < a.keep || place >= a.tokens.count) continue;
    const T* found = static_cast<const T*>(a.predictions) + a.prediction(row, local, place) * pixels;
    const float* predicted = widened(found, wide, pixels);
    for (int32_t p = 0; p < pixels; ++p) mean[p] += seen[p] - predicted[p];
  }
  for (int32_t p = 0; p < pixels; ++p) mean[p] *= share;
}

// value(p) of every pixel of a cell, into an image whose pixel at the cell's corner is `to`; null: not wanted
template <class Value>
MAESCAN_HD void write_cell(float* to, int64_t corner, int64_t width, int32_t side, const Value& value) {
  if (!to) return;
  for (int32_t y = 0; y < side; ++y) {
    float* __restrict row = to + corner + y * width;
    for (int32_t x = 0; x < side; ++x) row[x] = value(y * side + x);
  }
}

// Sums of |d| and d * d over a patch: down its columns, then along the row of sums. columns [2, P]
void sum_errors(const float* __restrict mean, int32_t side, float* __restrict columns, float* partial) {
  memset(columns, 0, 2 * side * sizeof(float));
  for (int32_t y = 0; y < side; ++y, mean += side) {
    for (int32_t x = 0; x < side; ++x) columns[x] += absolute(mean[x]);
    for (int32_t x = 0; x < side; ++x) columns[side + x] += mean[x] * mean[x];
  }
  partial[0] = partial[1] = 0;
  for (int32_t x = 0; x < side; ++x) partial[0] += columns[x], partial[1] += columns[side + x];
}

template <class T>
void average_cell(const AverageDifference& a, int64_t b, int32_t cell, int32_t local, float* buffer) {
  const int32_t side = a.tokens.side, pixels = a.tokens.pixels();
  float *seen = buffer, *mean = seen + pixels, *wide = mean + pixels;
  const float* corner = a.tokens.pixel(a.slices, b, cell, 0);
  for (int32_t y = 0; y < side; ++y)
    narrow_row(corner + y * a.slices.along_y, a.slices.along_x, seen + y * side, side);
  mean_error<T>(a, b, local, seen, wide, mean);
  const int64_t at = (b * a.height + a.tokens.y_of(cell, 0)) * a.width + a.tokens.x_of(cell, 0);
  write_cell(a.difference, at, a.width, side, [=](int32_t p) { return absolute(mean[p]); });
  write_cell(a.reconstruction, at, a.width, side, [=](int32_t p) { return seen[p] - mean[p]; });
  write_cell(a.squared, at, a.width, side, [=](int32_t p) { return mean[p] * mean[p]; });
  if (a.by_token && local >= 0)
    write_cell(a.by_token, (b * a.tokens.count + local) * pixels, side, side,
               [=](int32_t p) { return absolute(mean[p]); });
  if (a.partials) sum_errors(mean, side, wide, a.partials + (b * a.tokens.cells + cell) * 2);
}

template <class T>
void average_band(const AverageDifference& a, int64_t b, int32_t first) {
  const int32_t columns = a.tokens.columns;
  float* buffer = static_cast<float*>(scratch(0, (3 * static_cast<size_t>(a.tokens.pixels()) + 2) * sizeof(float)));
  int32_t* locals = static_cast<int32_t*>(scratch(1, columns * sizeof(int32_t)));
  for (int32_t x = 0; x < columns; ++x) locals[x] = a.tokens.ids ? -1 : first + x;
  for (int32_t local = 0; a.tokens.ids && local < a.tokens.count; ++local) {
    const int32_t x = a.tokens.cell(b, local) - first;
    if (x >= 0 && x < columns) locals[x] = local;
  }
  for (int32_t x = 0; x < columns; ++x) average_cell<T>(a, b, first + x, locals[x], buffer);
}

}  // namespace

void average_difference(const AverageDifference& a, int threads) {
  const int64_t columns = a.tokens.columns, bands = a.tokens.cells / columns;
  with_type(a.dtype, [&](auto type) {
    parallel_for(a.count * bands, threads, [&](int64_t chunk) {
      average_band<decltype(type)>(a, chunk / bands, static_cast<int32_t>(chunk % bands * columns));
    });
  });
  const double pixels = static_cast<double>(a.height) * static_cast<double>(a.width);
  for (int64_t b = 0; a.partials && b < a.count; ++b) {
    const float* partials = a.partials + b * a.tokens.cells * 2;
    a.mae[b] = static_cast<float>(sum_in_lanes(partials, 2, a.tokens.cells) / pixels);
    a.mse[b] = static_cast<float>(sum_in_lanes(partials + 1, 2, a.tokens.cells) / pixels);
  }
}

}  // namespace maescan::cpu::MAESCAN_ISA
