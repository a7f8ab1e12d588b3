// ssim: skimage.metrics.structural_similarity with a uniform 7 x 7 window and sample covariance.
#pragma once

#include "common/lanes.h"
#include "common/slices.h"

namespace maescan {

constexpr int kWindow = 7;

struct Moments {  // sums of x, y, x * x, y * y, x * y
  double x, y, xx, yy, xy;
};

// Sums down seven rows of one column; steps lead from row to row.
MAESCAN_HD Moments column_moments(const float* x, int64_t x_step, const float* y, int64_t y_step) {
  Moments sums{};
  for (int row = 0; row < kWindow; ++row) {
    const double u = x[row * x_step], v = y[row * y_step];
    sums.x += u, sums.y += v, sums.xx += u * u, sums.yy += v * v, sums.xy += u * v;
  }
  return sums;
}

// The sum along seven columns.
MAESCAN_HD double along_window(const double* columns) {
  double sum = 0;
  for (int column = 0; column < kWindow; ++column) sum += columns[column];
  return sum;
}

MAESCAN_HD double similarity(const Moments& sums, double data_range) {
  constexpr double n = kWindow * kWindow, unbiased = n / (n - 1);
  const double c1 = (0.01 * data_range) * (0.01 * data_range), c2 = (0.03 * data_range) * (0.03 * data_range);
  const double ux = sums.x / n, uy = sums.y / n;
  const double vx = unbiased * (sums.xx / n - ux * ux), vy = unbiased * (sums.yy / n - uy * uy);
  const double vxy = unbiased * (sums.xy / n - ux * uy);
  return ((2 * ux * uy + c1) * (2 * vxy + c2)) / ((ux * ux + uy * uy + c1) * (vx + vy + c2));
}

// Column moments are kept as five rows of `pitch` columns; this is the window whose first column is `x`.
MAESCAN_HD void keep_moments(const Moments& sums, double* columns, int64_t pitch, int64_t x) {
  columns[x] = sums.x, columns[pitch + x] = sums.y;
  columns[2 * pitch + x] = sums.xx, columns[3 * pitch + x] = sums.yy, columns[4 * pitch + x] = sums.xy;
}

MAESCAN_HD double similarity_at(const double* columns, int64_t pitch, int64_t x, double data_range) {
  return similarity(
      {along_window(columns + x), along_window(columns + pitch + x), along_window(columns + 2 * pitch + x),
       along_window(columns + 3 * pitch + x), along_window(columns + 4 * pitch + x)},
      data_range);
}

struct Ssim {
  Slices slices, reconstructions;
  double* partials;  // [B, H - 6]
  float* ssim;       // [B]
  int64_t count, height, width;
  double data_range;
};

}  // namespace maescan
