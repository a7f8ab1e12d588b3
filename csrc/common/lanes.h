// Sums in one fixed order: 32 interleaved lanes, then the lanes in order.
#pragma once

#include "host_device.h"

namespace maescan {

constexpr int kLanes = 32;

template <class T>
MAESCAN_HD double lane_sum(const T* values, int64_t stride, int64_t count, int lane) {
  double sum = 0;
  for (int64_t i = lane; i < count; i += kLanes) sum += static_cast<double>(values[i * stride]);
  return sum;
}

MAESCAN_HD double sum_of_lanes(const double* lanes) {
  double sum = 0;
  for (int lane = 0; lane < kLanes; ++lane) sum += lanes[lane];
  return sum;
}

}  // namespace maescan
