// A chunk is a row of windows.
#include "common/loops.h"
#include "ssim/op.h"

namespace maescan::cpu::MAESCAN_ISA {
namespace {

// One row of windows, whose top row of pixels is `top`.
double ssim_row(const Ssim& a, int64_t b, int64_t top, double* columns, double* similarities) {
  const int64_t windows = a.width - kWindow + 1, x_step = a.slices.along_y, y_step = a.reconstructions.along_y;
  const float *x = a.slices.at(b, top, 0), *y = a.reconstructions.at(b, top, 0);
  const int64_t along_x = a.slices.along_x, along_y = a.reconstructions.along_x;
  if (along_x == 1 && along_y == 1)
    for (int64_t i = 0; i < a.width; ++i)
      keep_moments(column_moments(x + i, x_step, y + i, y_step), columns, a.width, i);
  else
    for (int64_t i = 0; i < a.width; ++i)
      keep_moments(column_moments(x + i * along_x, x_step, y + i * along_y, y_step), columns, a.width, i);
  for (int64_t i = 0; i < windows; ++i) similarities[i] = similarity_at(columns, a.width, i, a.data_range);
  return sum_in_lanes(similarities, 1, windows);
}

}  // namespace

void ssim(const Ssim& a, int threads) {
  const int64_t tall = a.height - kWindow + 1, windows = a.width - kWindow + 1;
  parallel_for(a.count * tall, threads, [&](int64_t chunk) {
    double* down = static_cast<double*>(scratch(0, 5 * a.width * sizeof(double)));
    double* similarities = static_cast<double*>(scratch(1, windows * sizeof(double)));
    a.partials[chunk] = ssim_row(a, chunk / tall, chunk % tall, down, similarities);
  });
  const double count = static_cast<double>(tall) * static_cast<double>(windows);
  for (int64_t b = 0; b < a.count; ++b)
    a.ssim[b] = static_cast<float>(sum_in_lanes(a.partials + b * tall, 1, tall) / count);
}

}  // namespace maescan::cpu::MAESCAN_ISA
