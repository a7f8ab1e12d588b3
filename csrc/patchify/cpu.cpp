// A chunk is a row of patches.
#include "common/loops.h"
#include "patchify/op.h"

namespace maescan::cpu::MAESCAN_ISA {
namespace {

template <class T>
void patchify_row(const Patchify& a, int64_t row) {
  const int32_t side = a.tokens.side;
  const int64_t b = row / a.passes;
  T* to = static_cast<T*>(a.patches) + row * a.keep * a.tokens.pixels();
  for (int32_t k = 0; k < a.keep; ++k) {
    const int32_t cell = a.tokens.cell(b, a.keep_ids ? a.keep_ids[row * a.keep + k] : k);
    const float* from = a.tokens.pixel(a.slices, b, cell, 0);
    for (int32_t y = 0; y < side; ++y, to += side, from += a.slices.along_y)
      narrow_row(from, a.slices.along_x, to, side);
  }
}

}  // namespace

void patchify(const Patchify& a, int threads) {
  with_type(a.dtype, [&](auto type) {
    parallel_for(a.rows, threads, [&](int64_t row) { patchify_row<decltype(type)>(a, row); });
  });
}

}  // namespace maescan::cpu::MAESCAN_ISA
