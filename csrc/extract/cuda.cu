// A block is a tile of output rows, whose rows are resampled into shared memory first.
#include "common/launch.cuh"
#include "extract/op.h"

namespace maescan::cuda {

constexpr int kTile = 8;  // output rows that share a block

template <class Raw, class T>
static __global__ void __launch_bounds__(kThreads) extract_tiles(const ExtractSlices a) {
  float* tile = reinterpret_cast<float*>(shared_memory);  // [kTile, W0]
  const int64_t tiles = (a.rows.outputs + kTile - 1) / kTile;
  for (int64_t block = blockIdx.x; block < a.count * tiles; block += gridDim.x) {
    const int64_t s = block / tiles;
    const int32_t top = static_cast<int32_t>(block - s * tiles) * kTile;
    const int32_t tall = a.rows.outputs - top < kTile ? a.rows.outputs - top : kTile;
    for (int32_t i = 0; i < tall; ++i) {
      const float* weights = a.rows.weights + static_cast<int64_t>(top + i) * a.rows.width;
      const Raw* plane = static_cast<const Raw*>(a.volume) + s * a.along_s + a.rows.index[top + i] * a.along_y;
      for (int64_t x = threadIdx.x; x < a.width; x += kThreads) {
        const auto voxel = [&](int32_t j, int) {
          return a.intensity.of(to_float(plane[j * a.along_y + x * a.along_x]));
        };
        weigh<1>(weights, a.rows.width, voxel, tile + i * a.width + x);
      }
    }
    __syncthreads();
    for (int32_t i = 0; i < tall; ++i)
      for (int32_t x = static_cast<int32_t>(threadIdx.x); x < a.columns.outputs; x += kThreads) {
        const float* row = tile + i * a.width + a.columns.index[x];
        float value;
        weigh<1>(
            a.columns.weights + static_cast<int64_t>(x) * a.columns.width, a.columns.width,
            [&](int32_t j, int) { return row[j]; }, &value);
        const int64_t at = (s * a.rows.outputs + top + i) * a.columns.outputs + x;
        static_cast<T*>(a.slices)[at] = from_float<T>(a.intensity.resampled(value));
      }
    __syncthreads();
  }
}

template <class Raw>
static void extract_voxels(const ExtractSlices& a, void* stream) {
  const int64_t tiles = (a.rows.outputs + kTile - 1) / kTile;
  with_type(a.dtype, false, [&](auto type, auto) {
    launch(extract_tiles<Raw, decltype(type)>, a.count * tiles, kThreads, kTile * a.width * sizeof(float), stream, a);
  });
}

void extract_slices(const ExtractSlices& a, void* stream) {
  if (a.voxel == Voxel::f32) return extract_voxels<float>(a, stream);
  if (a.voxel == Voxel::i16) return extract_voxels<int16_t>(a, stream);
  if (a.voxel == Voxel::u16) return extract_voxels<uint16_t>(a, stream);
  extract_voxels<uint8_t>(a, stream);
}

}  // namespace maescan::cuda
