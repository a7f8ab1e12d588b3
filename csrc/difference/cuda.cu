// An item is a cell of the grid.
#include "common/launch.cuh"
#include "difference/op.h"

namespace maescan::cuda {

// The token at a cell of a slice, or -1; every thread of the block must call this.
static __device__ int32_t local_of(const Tokens& tokens, const Groups& groups, bool exists, int64_t b, int32_t cell,
                                   int32_t* found) {
  if (!tokens.ids) return exists ? cell : -1;
  if (groups.lane() == 0) found[groups.group()] = -1;
  __syncthreads();
  for (int32_t local = groups.lane(); exists && local < tokens.count; local += groups.lanes)
    if (tokens.ids[b * tokens.count + local] == cell) found[groups.group()] = local;
  __syncthreads();
  return found[groups.group()];
}

template <class T, int V>
__device__ Pack<V, float> mean_error(const AverageDifference& a, int64_t b, int32_t local, int32_t p,
                                     const Pack<V, float>& seen) {
  constexpr int kAhead = 2;  // passes whose loads are in flight together; with 4 some GPUs spill
  Pack<V, float> mean{};
  for (int32_t first = 0; first < a.passes && local >= 0; first += kAhead) {
    Pack<V, T> predicted[kAhead];
    bool hidden[kAhead];
#pragma unroll
    for (int r = 0; r < kAhead; ++r) {
      const int64_t row = b * a.passes + first + r;
      const int32_t place = first + r < a.passes ? a.restore_ids[row * a.tokens.count + local] : -1;
      hidden[r] = first + r < a.passes && place >= a.keep && place < a.tokens.count;
      const T* found = static_cast<const T*>(a.predictions) + a.prediction(row, local, place) * a.tokens.pixels();
      if (hidden[r]) predicted[r] = load<V>(found + p);
    }
#pragma unroll
    for (int r = 0; r < kAhead; ++r)
      for (int i = 0; hidden[r] && i < V; ++i) mean.values[i] += seen.values[i] - to_float(predicted[r].values[i]);
  }
  const float share = 1.0f / static_cast<float>(a.passes);
  for (int i = 0; i < V; ++i) mean.values[i] *= share;
  return mean;
}

template <int V>
__device__ void write_pixels(const AverageDifference& a, int64_t b, int32_t cell, int32_t local, int32_t p,
                             const Pack<V, float>& seen, const Pack<V, float>& mean) {
  const int64_t at = (b * a.height + a.tokens.y_of(cell, p)) * a.width + a.tokens.x_of(cell, p);
  Pack<V, float> size, square, rest;
  for (int i = 0; i < V; ++i) {
    const float d = mean.values[i];
    size.values[i] = d < 0 ? -d : d, square.values[i] = d * d, rest.values[i] = seen.values[i] - d;
  }
  store(a.difference + at, size);
  if (a.reconstruction) store(a.reconstruction + at, rest);
  if (a.squared) store(a.squared + at, square);
  if (a.by_token && local >= 0) store(a.by_token + (b * a.tokens.count + local) * a.tokens.pixels() + p, size);
}

// Sums of |d| and d * d over a patch: down its columns, then along the row of sums. Every thread must call this.
static __device__ void patch_errors(const Groups& groups, bool exists, int32_t side, const float* errors,
                                    float* columns, float* partial) {
  __syncthreads();
  for (int32_t x = groups.lane(); exists && x < side; x += groups.lanes) {
    columns[x] = columns[side + x] = 0;
    for (int32_t y = 0; y < side; ++y) {
      const float d = errors[y * side + x];
      columns[x] += d < 0 ? -d : d, columns[side + x] += d * d;
    }
  }
  __syncthreads();
  if (!exists || groups.lane() != 0) return;
  float absolute = 0, squared = 0;
  for (int32_t x = 0; x < side; ++x) absolute += columns[x], squared += columns[side + x];
  partial[0] = absolute, partial[1] = squared;
}

template <class T, int V>
static __global__ void __launch_bounds__(kThreads, 3) average_cells(const AverageDifference a, const Groups groups) {
  const int32_t pixels = a.tokens.pixels(), side = a.tokens.side;
  float* errors = reinterpret_cast<float*>(shared_memory);                                           // [each, P * P]
  float* columns = errors + (a.partials ? groups.each * pixels : 0);                                 // [each, 2, P]
  int32_t* found = reinterpret_cast<int32_t*>(columns + (a.partials ? groups.each * 2 * side : 0));  // [each]
  errors += groups.group() * pixels, columns += groups.group() * 2 * side;
  for (int64_t block = blockIdx.x; block * groups.each < groups.items; block += gridDim.x) {
    const int64_t item = block * groups.each + groups.group(), b = item / a.tokens.cells;
    const int32_t cell = static_cast<int32_t>(item - b * a.tokens.cells);
    const bool exists = item < groups.items;
    const int32_t local = local_of(a.tokens, groups, exists, b, cell, found);
    for (int32_t p = groups.lane() * V; exists && p < pixels; p += groups.lanes * V) {
      const Pack<V, float> seen = load<V>(a.tokens.pixel(a.slices, b, cell, p));
      const Pack<V, float> mean = mean_error<T, V>(a, b, local, p, seen);
      write_pixels<V>(a, b, cell, local, p, seen, mean);
      for (int i = 0; a.partials && i < V; ++i) errors[p + i] = mean.values[i];
    }
    if (a.partials) patch_errors(groups, exists, side, errors, columns, a.partials + item * 2);
    __syncthreads();
  }
}

static __global__ void slice_errors(const AverageDifference a) {
  const double pixels = static_cast<double>(a.height) * static_cast<double>(a.width);
  for (int64_t b = blockIdx.x; b < a.count; b += gridDim.x) {
    const float* partials = a.partials + b * a.tokens.cells * 2;
    const double absolute = sum_in_lanes(partials, 2, a.tokens.cells, shared_memory);
    const double squared = sum_in_lanes(partials + 1, 2, a.tokens.cells, shared_memory);
    if (threadIdx.x != 0) continue;
    a.mae[b] = static_cast<float>(absolute / pixels), a.mse[b] = static_cast<float>(squared / pixels);
  }
}

void average_difference(const AverageDifference& a, void* stream) {
  const bool packed = packs(a.dtype, a.tokens.side) && aligned(a.slices) && aligned(a.predictions) &&
                      aligned(a.difference) && aligned(a.reconstruction) && aligned(a.squared) && aligned(a.by_token);
  with_type(a.dtype, packed, [&](auto type, auto pack) {
    constexpr int V = sizeof(pack);
    const Groups groups(a.count * a.tokens.cells, a.tokens.pixels() / V);
    const size_t floats = a.partials ? a.tokens.pixels() + 2 * a.tokens.side : 0;
    const size_t shared = groups.each * (floats * sizeof(float) + sizeof(int32_t));
    launch(average_cells<decltype(type), V>, groups.blocks(), groups.threads(), shared, stream, a, groups);
  });
  if (a.partials) launch(slice_errors, a.count, kLanes, kLanes * sizeof(double), stream, a);
}

}  // namespace maescan::cuda
