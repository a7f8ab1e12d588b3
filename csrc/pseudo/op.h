// pseudo_abnormal: what it takes, and which box alters which pixel.
#pragma once

#include "common/slices.h"

namespace maescan {

struct Box {
  int32_t top, left, height, width;  // height 0: unused
  MAESCAN_HD bool covers(int64_t y, int64_t x) const {
    return y >= top && y < static_cast<int64_t>(top) + height && x >= left && x < static_cast<int64_t>(left) + width;
  }
};

struct Boxes {
  const Box* boxes;       // [B, each]
  const float* by_box;    // [B, each], or null
  const float* by_pixel;  // [B, H, W], or null
  int32_t each;
  MAESCAN_HD bool cover(int64_t b, int64_t y, int64_t x) const {
    bool covered = false;
    for (int32_t k = 0; k < each; ++k) covered |= boxes[b * each + k].covers(y, x);
    return covered;
  }
  // `at` is the pixel's place in [B, H, W].
  MAESCAN_HD float altered(int64_t b, int64_t y, int64_t x, int64_t at, float value) const {
    if (by_pixel) return cover(b, y, x) ? value * by_pixel[at] : value;
    for (int32_t k = 0; k < each; ++k)
      if (boxes[b * each + k].covers(y, x)) value *= by_box[b * each + k];
    return value;
  }
};

struct PseudoAbnormal {
  Slices reconstructions;
  Boxes boxes;
  float* altered;  // [B, H, W]
  int64_t count, height, width;
};

}  // namespace maescan
