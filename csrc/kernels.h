// The kernels: what each takes (B slices, R passes, row = b * R + r, T tokens, K visible, P patch side, L cells of
// the grid) and where it is implemented. All arrays are row-major and contiguous unless strides are said.
#pragma once

#include "elements.h"

namespace maescan {

enum class Float { f32, f16, bf16 };
enum class Voxel { f32, i16, u16, u8 };

struct MakeMasks {
  const uint64_t* slice_ids;  // [B]
  int32_t* keep_ids;          // [B * R, K]
  int32_t* restore_ids;       // [B * R, T]
  int64_t slices;             // B
  int32_t passes, tokens, keep;
  uint64_t seed;
  bool complementary;
};

struct Patchify {
  Slices slices;
  Tokens tokens;
  const int32_t* keep_ids;  // [B * R, K]; null: every token, K = T
  void* patches;            // [B * R, K, P * P]
  Float dtype;
  int64_t rows;  // B * R
  int32_t passes, keep;
};

struct AverageDifference {
  Slices slices;
  Tokens tokens;
  const void* predictions;  // [B * R, T, P * P]
  Float dtype;
  const int32_t* restore_ids;  // [B * R, T]
  int64_t count, height, width;
  int32_t passes, keep;
  float* difference;      // [B, H, W]
  float* reconstruction;  // [B, H, W], may be null
  float* squared;         // [B, H, W], may be null
  float* by_token;        // [B, T, P * P], may be null
  float* partials;        // [B, L, 2] sums of |d| and d * d of a patch; null: no errors wanted
  float* mse;             // [B]
  float* mae;             // [B]
};

struct PseudoAbnormal {
  Slices reconstructions;
  Boxes boxes;
  float* altered;  // [B, H, W]
  int64_t count, height, width;
};

struct Ssim {
  Slices slices, reconstructions;
  double* partials;  // [B, H - 6]
  float* ssim;       // [B]
  int64_t count, height, width;
  double data_range;
};

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

#define MAESCAN_KERNELS(KERNEL)                 \
  KERNEL(make_masks, MakeMasks)                 \
  KERNEL(patchify, Patchify)                    \
  KERNEL(average_difference, AverageDifference) \
  KERNEL(pseudo_abnormal, PseudoAbnormal)       \
  KERNEL(ssim, Ssim)                            \
  KERNEL(extract_slices, ExtractSlices)

namespace cpu {  // returns when done
#define MAESCAN_DECLARE(name, Arguments) void name(const Arguments& a, int threads);
MAESCAN_KERNELS(MAESCAN_DECLARE)
#undef MAESCAN_DECLARE
}  // namespace cpu

namespace cuda {  // enqueues on the stream and returns; throws std::runtime_error where it cannot
#define MAESCAN_DECLARE(name, Arguments) void name(const Arguments& a, void* stream);
MAESCAN_KERNELS(MAESCAN_DECLARE)
#undef MAESCAN_DECLARE
int use_device(int device);  // of the calling thread; returns the one before; throws without a driver
}  // namespace cuda

}  // namespace maescan
