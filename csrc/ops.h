// The list of operations: each has a folder with op.h (what it takes, and its arithmetic), cpu.cpp and cuda.cu. All
// arrays are row-major and contiguous unless strides are said.
#pragma once

#include "difference/op.h"
#include "extract/op.h"
#include "masks/op.h"
#include "patchify/op.h"
#include "pseudo/op.h"
#include "ssim/op.h"

#define MAESCAN_OPS(OP)                     \
  OP(make_masks, MakeMasks)                 \
  OP(patchify, Patchify)                    \
  OP(average_difference, AverageDifference) \
  OP(pseudo_abnormal, PseudoAbnormal)       \
  OP(ssim, Ssim)                            \
  OP(extract_slices, ExtractSlices)

namespace maescan::cpu {  // returns when done
#define MAESCAN_DECLARE(name, Arguments) void name(const Arguments& a, int threads);
MAESCAN_OPS(MAESCAN_DECLARE)
#undef MAESCAN_DECLARE
}  // namespace maescan::cpu

namespace maescan::cuda {  // enqueues on the stream and returns; throws std::runtime_error where it cannot
#define MAESCAN_DECLARE(name, Arguments) void name(const Arguments& a, void* stream);
MAESCAN_OPS(MAESCAN_DECLARE)
#undef MAESCAN_DECLARE
int use_device(int device);                // of the calling thread; returns the one before; throws without a driver
void restore_device(int device) noexcept;  // where nobody is left to tell
}  // namespace maescan::cuda
