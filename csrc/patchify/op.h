// patchify: what it takes. B slices, R passes (row = b * R + r), T tokens, K of them wanted, P the side of a patch.
#pragma once

#include "common/dtype.h"
#include "common/slices.h"

namespace maescan {

struct Patchify {
  Slices slices;
  Tokens tokens;
  const int32_t* keep_ids;  // [B * R, K]; null: every token, K = T
  void* patches;            // [B * R, K, P * P]
  Float dtype;
  int64_t rows;  // B * R
  int32_t passes, keep;
};

}  // namespace maescan
