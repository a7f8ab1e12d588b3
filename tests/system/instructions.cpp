// Runs every kernel once under callgrind, on one thread, and dumps the instructions of each under its name.
// See test_kernels_instructions.py.
#include <valgrind/callgrind.h>

#include <vector>

#include "ops.h"

using namespace maescan;

namespace {

constexpr int kSlices = 2, kSide = 64, kPatch = 16, kPasses = 4, kTokens = 16, kKeep = 4, kPixels = kPatch * kPatch;
constexpr int64_t kImage = kSide * kSide;
constexpr Slices kStrides{nullptr, kImage, kSide, 1};

template <class Arguments>
void count(const char* name, void (*kernel)(const Arguments&, int), const Arguments& a) {
  kernel(a, 1);  // what is made once only
  CALLGRIND_ZERO_STATS;
  CALLGRIND_TOGGLE_COLLECT;
  kernel(a, 1);
  CALLGRIND_TOGGLE_COLLECT;
  CALLGRIND_DUMP_STATS_AT(name);
}

Slices over(const std::vector<float>& images) {
  Slices slices = kStrides;
  slices.data = images.data();
  return slices;
}

}  // namespace

int main() {
  const std::vector<float> images(kSlices * kImage, 0.5f);
  std::vector<float> made(kSlices * kImage), errors(kSlices), partials(kSlices * kTokens * 2);
  std::vector<float> more(kSlices * kPasses * kTokens * kPixels);
  const Tokens tokens{nullptr, kTokens, kPatch, kSide / kPatch, kTokens};

  const std::vector<uint64_t> ids{3, 4};
  std::vector<int32_t> keep(kSlices * kPasses * 49), restore(kSlices * kPasses * 196);
  count("make_masks", cpu::make_masks,
        MakeMasks{ids.data(), keep.data(), restore.data(), nullptr, kSlices, kPasses, 196, 49, 7, false});
  count("make_masks_complementary", cpu::make_masks,
        MakeMasks{ids.data(), keep.data(), restore.data(), nullptr, kSlices, kPasses, 196, 49, 7, true});
  cpu::make_masks({ids.data(), keep.data(), restore.data(), nullptr, kSlices, kPasses, kTokens, kKeep, 7, false}, 1);

  const Float dtypes[] = {Float::f32, Float::f16, Float::bf16};
  const char* const patchify[] = {"patchify_float32", "patchify_float16", "patchify_bfloat16"};
  const char* const average[] = {"average_difference_float32", "average_difference_float16",
                                 "average_difference_bfloat16"};
  for (int i = 0; i < 3; ++i)
    count(patchify[i], cpu::patchify,
          Patchify{over(images), tokens, keep.data(), more.data(), dtypes[i], kSlices * kPasses, kPasses, kKeep});
  AverageDifference a{};
  a.slices = over(images), a.tokens = tokens, a.predictions = more.data(), a.restore_ids = restore.data();
  a.count = kSlices, a.height = a.width = kSide, a.passes = kPasses, a.keep = kKeep, a.predicted = kTokens;
  a.difference = made.data();
  for (int i = 0; i < 3; ++i) a.dtype = dtypes[i], count(average[i], cpu::average_difference, a);
  a.dtype = Float::f32, a.partials = partials.data(), a.mse = a.mae = errors.data();
  count("average_difference_errors", cpu::average_difference, a);

  const std::vector<Box> boxes(kSlices * 3, Box{8, 8, 20, 30});
  const std::vector<float> factors(kSlices * 3, 1.5f);
  count("pseudo_abnormal", cpu::pseudo_abnormal,
        PseudoAbnormal{over(images), Boxes{boxes.data(), factors.data(), nullptr, 3}, made.data(), kSlices, kSide,
                       kSide});
  std::vector<double> rows(kSlices * kSide);
  count("ssim", cpu::ssim, Ssim{over(images), over(images), rows.data(), errors.data(), kSlices, kSide, kSide, 2.0});

  const std::vector<int16_t> volume(kSlices * kImage, 700);
  const std::vector<int32_t> first(48, 5);
  const std::vector<float> weights(48 * 9, 0.1f);
  const Taps taps{first.data(), weights.data(), 48, 9};
  const Intensity intensity{1e-3f, 0.0f, 0.0f, 2.0f, 0.0f, true, 0.0f, 0.0f};
  count("extract_slices", cpu::extract_slices,
        ExtractSlices{volume.data(), Voxel::i16, kImage, kSide, 1, kSlices, kSide, kSide, taps, taps, intensity,
                      made.data(), Float::f32});
}
