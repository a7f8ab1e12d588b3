// average_difference: what it takes. B slices, R passes (row = b * R + r), T tokens, P the side of a patch, L cells.
#pragma once

#include "common/dtype.h"
#include "common/lanes.h"
#include "common/slices.h"

namespace maescan {

struct AverageDifference {
  Slices slices;
  Tokens tokens;
  const void* predictions;  // [B * R, T, P * P], or [B * R, T - keep, P * P] of the hidden tokens in their order
  Float dtype;
  const int32_t* restore_ids;  // [B * R, T]
  int64_t count, height, width;
  int32_t passes, keep, predicted;  // tokens of a row of predictions
  float* difference;                // [B, H, W]
  float* reconstruction;            // [B, H, W], may be null
  float* squared;                   // [B, H, W], may be null
  float* by_token;                  // [B, T, P * P], may be null
  float* partials;                  // [B, L, 2] sums of |d| and d * d of a patch; null: no errors wanted
  float* mse;                       // [B]
  float* mae;                       // [B]

  // Which prediction is a hidden token's, whose place in the row's order is `restored`.
  MAESCAN_HD int64_t prediction(int64_t row, int32_t local, int32_t restored) const {
    return row * predicted + (predicted == tokens.count ? local : restored - keep);
  }
};

}  // namespace maescan
