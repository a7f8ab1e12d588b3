// A block a row.
#include "common/launch.cuh"
#include "masks/op.h"

namespace maescan::cuda {

static __global__ void __launch_bounds__(kThreads) mask_rows(const MakeMasks a) {
  int32_t* noise = reinterpret_cast<int32_t*>(shared_memory);
  for (int64_t row = blockIdx.x; row < a.slices * a.passes; row += gridDim.x) {
    const int64_t slice = row / a.passes;
    const int32_t pass = static_cast<int32_t>(row - slice * a.passes), me = static_cast<int32_t>(threadIdx.x);
    for (int32_t block = me; block < (a.tokens + 3) / 4; block += kThreads)
      noise_of_block(a.seed, a.slice_ids[slice], a.complementary ? 0 : pass, block, noise + 4 * block);
    __syncthreads();
    for (int32_t token = me; token < a.tokens; token += kThreads) {
      const int32_t rank = rank_of(noise, a.tokens, token);
      const int32_t place = a.complementary ? turned(rank, pass * a.keep, a.tokens) : rank;
      a.restore_ids[row * a.tokens + token] = place;
      if (place < a.keep) a.keep_ids[row * a.keep + place] = token;
      a.hide(row, token, place);
    }
    __syncthreads();
  }
}

void make_masks(const MakeMasks& a, void* stream) {
  const size_t shared = (a.tokens + 3) / 4 * 4 * sizeof(int32_t);
  launch(mask_rows, a.slices * a.passes, kThreads, shared, stream, a);
}

}  // namespace maescan::cuda
