// An item is a patch.
#include "common/launch.cuh"
#include "patchify/op.h"

namespace maescan::cuda {

template <class T, int V>
static __global__ void __launch_bounds__(kThreads) patchify_patches(const Patchify a, const Groups groups) {
  const int32_t pixels = a.tokens.pixels();
  for (int64_t block = blockIdx.x; block * groups.each < groups.items; block += gridDim.x) {
    const int64_t item = block * groups.each + groups.group();
    if (item >= groups.items) continue;
    const int64_t row = item / a.keep;
    const int32_t local = a.keep_ids ? a.keep_ids[item] : static_cast<int32_t>(item - row * a.keep);
    const int64_t b = row / a.passes;
    const int32_t cell = a.tokens.cell(b, local);
    for (int32_t p = groups.lane() * V; p < pixels; p += groups.lanes * V) {
      Pack<V, T> packed{};
      if (cell >= 0) {
        const Pack<V, float> seen = load<V>(a.tokens.pixel(a.slices, b, cell, p));
        for (int i = 0; i < V; ++i) packed.values[i] = from_float<T>(seen.values[i]);
      }
      store(static_cast<T*>(a.patches) + item * pixels + p, packed);
    }
  }
}

void patchify(const Patchify& a, void* stream) {
  const bool packed = packs(a.dtype, a.tokens.side) && aligned(a.slices) && aligned(a.patches);
  with_type(a.dtype, packed, [&](auto type, auto pack) {
    constexpr int V = sizeof(pack);
    const Groups groups(a.rows * a.keep, a.tokens.pixels() / V);
    launch(patchify_patches<decltype(type), V>, groups.blocks(), groups.threads(), 0, stream, a, groups);
  });
}

}  // namespace maescan::cuda
