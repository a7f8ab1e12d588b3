// extract_slices: what it takes, how a raw voxel is mapped, and the sums of its two resampling passes.
#pragma once

#include "common/dtype.h"

namespace maescan {

struct Intensity {  // raw voxel -> what the models see
  float scale, offset, low, high, background;
  bool has_background;
  float ripple, floor;  // a resampled value under ripple is air; floor is what air is called in the end
  MAESCAN_HD float clamp(float value) const { return value < low ? low : (value > high ? high : value); }
  MAESCAN_HD float resampled(float value) const {  // tissue may be held over air, which is 0
    const float least = low < 0 ? low : 0.0f;
    value = value < least ? least : (value > high ? high : value);
    return (ripple != 0 && !(value >= ripple) ? 0.0f : value) + floor;
  }
  MAESCAN_HD float of(float raw) const {
    const float value = clamp(raw * scale + offset);
    return has_background && raw == background ? 0.0f : value;
  }
};

struct Taps {            // one banded operator along an axis: out[i] = sum_j weights[i, j] * in[index[i] + j]
  const int32_t* index;  // [outputs]
  const float* weights;  // [outputs, width]
  int32_t outputs, width;
};

// sums[lane] = sum_j weights[j] * input(j, lane), for N lanes that share the weights
template <int N, class Input>
MAESCAN_HD void weigh(const float* weights, int32_t width, const Input& input, float* sums) {
  float acc[N] = {};
  for (int32_t j = 0; j < width; ++j)
    for (int lane = 0; lane < N; ++lane) acc[lane] += weights[j] * input(j, lane);
  for (int lane = 0; lane < N; ++lane) sums[lane] = acc[lane];
}

struct ExtractSlices {
  const void* volume;  // [S, H0, W0], strides in elements, of either sign
  Voxel voxel;
  int64_t along_s, along_y, along_x;
  int64_t count, height, width;  // S, H0, W0
  Taps rows, columns;
  Intensity intensity;
  void* slices;  // [S, H, W]
  Float dtype;
};

}  // namespace maescan
