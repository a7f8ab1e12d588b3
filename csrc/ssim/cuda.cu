// A block is a row of windows.
#include "common/launch.cuh"
#include "ssim/op.h"

namespace maescan::cuda {

static __global__ void __launch_bounds__(kThreads) ssim_rows(const Ssim a) {
  const int64_t tall = a.height - kWindow + 1, windows = a.width - kWindow + 1;
  double *columns = shared_memory, *similarities = columns + 5 * a.width, *lanes = similarities + windows;
  for (int64_t row = blockIdx.x; row < a.count * tall; row += gridDim.x) {
    const int64_t b = row / tall, top = row - b * tall;
    for (int64_t x = threadIdx.x; x < a.width; x += kThreads)
      keep_moments(column_moments(a.slices.at(b, top, x), a.slices.along_y, a.reconstructions.at(b, top, x),
                                  a.reconstructions.along_y),
                   columns, a.width, x);
    __syncthreads();
    for (int64_t x = threadIdx.x; x < windows; x += kThreads)
      similarities[x] = similarity_at(columns, a.width, x, a.data_range);
    __syncthreads();
    if (threadIdx.x < kLanes) lanes[threadIdx.x] = lane_sum(similarities, 1, windows, static_cast<int>(threadIdx.x));
    __syncthreads();
    if (threadIdx.x == 0) a.partials[row] = sum_of_lanes(lanes);
    __syncthreads();
  }
}

static __global__ void slice_ssim(const Ssim a) {
  const int64_t tall = a.height - kWindow + 1, windows = a.width - kWindow + 1;
  for (int64_t b = blockIdx.x; b < a.count; b += gridDim.x) {
    const double sum = sum_in_lanes(a.partials + b * tall, 1, tall, shared_memory);
    if (threadIdx.x == 0)
      a.ssim[b] = static_cast<float>(sum / (static_cast<double>(tall) * static_cast<double>(windows)));
  }
}

void ssim(const Ssim& a, void* stream) {
  const int64_t tall = a.height - kWindow + 1, doubles = 6 * a.width + kLanes;
  launch(ssim_rows, a.count * tall, kThreads, doubles * sizeof(double), stream, a);
  launch(slice_ssim, a.count, kLanes, kLanes * sizeof(double), stream, a);
}

}  // namespace maescan::cuda
