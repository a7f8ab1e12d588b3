// An item is a row of pixels.
#include "common/launch.cuh"
#include "pseudo/op.h"

namespace maescan::cuda {

template <int V>
static __global__ void __launch_bounds__(kThreads) alter_rows(const PseudoAbnormal a, const Groups groups) {
  for (int64_t block = blockIdx.x; block * groups.each < groups.items; block += gridDim.x) {
    const int64_t row = block * groups.each + groups.group(), b = row / a.height, y = row - b * a.height;
    if (row >= groups.items) continue;
    for (int64_t x = static_cast<int64_t>(groups.lane()) * V; x < a.width; x += groups.lanes * V) {
      const int64_t at = row * a.width + x;
      Pack<V, float> pixels = load<V>(a.reconstructions.at(b, y, x));
      for (int i = 0; i < V; ++i) pixels.values[i] = a.boxes.altered(b, y, x + i, at + i, pixels.values[i]);
      store(a.altered + at, pixels);
    }
  }
}

void pseudo_abnormal(const PseudoAbnormal& a, void* stream) {
  const bool packed = a.width % 4 == 0 && aligned(a.reconstructions) && aligned(a.altered);
  const Groups groups(a.count * a.height, packed ? a.width / 4 : a.width);
  launch(packed ? alter_rows<4> : alter_rows<1>, groups.blocks(), groups.threads(), 0, stream, a, groups);
}

}  // namespace maescan::cuda
