// Launches over elements.h. A block takes several items (patches, rows), a group of its threads each; blocks loop, so
// that any number of items fits any grid. Nothing here waits for the device, allocates or uses atomics, so calls can
// be captured in a graph. Also compiled as C++ against tests/shim, which runs blocks and threads in loops.
#include <cuda_runtime.h>

#include <stdexcept>
#include <string>

#include "kernels.h"

namespace maescan::cuda {

#ifndef MAESCAN_MAX_BLOCKS
#define MAESCAN_MAX_BLOCKS 0x7fffffff
#endif

constexpr int kThreads = 256;
constexpr size_t kSharedBytes = 48 * 1024;  // what every GPU grants without asking
constexpr int kTile = 8;                    // output rows of extract_slices that share a block

extern __shared__ double shared_memory[];

static void check(cudaError_t error) {
  if (error == cudaErrorInsufficientDriver)
    throw std::runtime_error("CUDA: no NVIDIA driver is installed, or one too old for this build");
  if (error != cudaSuccess) throw std::runtime_error(std::string("CUDA: ") + cudaGetErrorString(error));
}

template <class... Parameters, class... Arguments>
static void launch(void (*kernel)(Parameters...), int64_t blocks, int threads, size_t shared, void* stream,
                   const Arguments&... arguments) {
  if (blocks == 0) return;
  if (shared > kSharedBytes) throw std::runtime_error("CUDA: a slice is too large for a block's shared memory");
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(blocks < MAESCAN_MAX_BLOCKS ? blocks : MAESCAN_MAX_BLOCKS));
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.dynamicSmemBytes = shared;
  config.stream = static_cast<cudaStream_t>(stream);
  check(cudaLaunchKernelEx(&config, kernel, arguments...));
}

// How a block's threads are dealt to its items: `lanes` threads each.
struct Groups {
  int32_t lanes, each;  // each: items a block
  int64_t items;
  Groups(int64_t count, int64_t work)
      : lanes(static_cast<int32_t>(work < kThreads ? (work > 0 ? work : 1) : kThreads)),
        each(kThreads / lanes),
        items(count) {}
  int threads() const { return lanes * each; }
  int64_t blocks() const { return (items + each - 1) / each; }
  __device__ int32_t lane() const { return static_cast<int32_t>(threadIdx.x) % lanes; }
  __device__ int32_t group() const { return static_cast<int32_t>(threadIdx.x) / lanes; }
};

// V values that lie together; 16 bytes at a time where V allows it (the launch has checked the alignment).
template <int V, class T>
struct alignas(V * sizeof(T) < 16 ? V * sizeof(T) : 16) Pack {
  T values[V];
};

template <int V, class T>
__device__ Pack<V, T> load(const T* from) {
  return *reinterpret_cast<const Pack<V, T>*>(from);
}

template <int V, class T>
__device__ void store(T* to, const Pack<V, T>& pack) {
  *reinterpret_cast<Pack<V, T>*>(to) = pack;
}

static bool aligned(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % 16 == 0; }

static bool aligned(const Slices& slices) {
  return aligned(slices.data) && slices.along_x == 1 && slices.along_y % 4 == 0 && slices.along_b % 4 == 0;
}

// Calls body(T{}, pack) with the type of an array and the number of its elements in 16 bytes (1 where unaligned).
template <class Body>
static void with_type(Float dtype, bool packed, const Body& body) {
  if (dtype == Float::f32) return packed ? body(float{}, Pack<4, char>{}) : body(float{}, Pack<1, char>{});
  if (dtype == Float::f16) return packed ? body(Half{}, Pack<8, char>{}) : body(Half{}, Pack<1, char>{});
  packed ? body(Bfloat16{}, Pack<8, char>{}) : body(Bfloat16{}, Pack<1, char>{});
}

static bool packs(Float dtype, int32_t side) { return side % (dtype == Float::f32 ? 4 : 8) == 0; }

// ---- make_masks: a block a row

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
    }
    __syncthreads();
  }
}

void make_masks(const MakeMasks& a, void* stream) {
  const size_t shared = (a.tokens + 3) / 4 * 4 * sizeof(int32_t);
  launch(mask_rows, a.slices * a.passes, kThreads, shared, stream, a);
}

// ---- patchify: an item is a patch

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

// ---- average_difference: an item is a cell of the grid

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
  constexpr int kAhead = 4;  // passes whose loads are in flight together
  Pack<V, float> mean{};
  for (int32_t first = 0; first < a.passes && local >= 0; first += kAhead) {
    Pack<V, T> predicted[kAhead];
    bool hidden[kAhead];
#pragma unroll
    for (int r = 0; r < kAhead; ++r) {
      const int64_t token = (b * a.passes + first + r) * a.tokens.count + local;
      hidden[r] = first + r < a.passes && a.restore_ids[token] >= a.keep;
      if (hidden[r]) predicted[r] = load<V>(static_cast<const T*>(a.predictions) + token * a.tokens.pixels() + p);
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
static __global__ void __launch_bounds__(kThreads) average_cells(const AverageDifference a, const Groups groups) {
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

// One block of 32 threads: the sum in lanes, known to thread 0.
template <class T>
__device__ double sum_in_lanes(const T* values, int64_t stride, int64_t count, double* lanes) {
  lanes[threadIdx.x] = lane_sum(values, stride, count, static_cast<int>(threadIdx.x));
  __syncthreads();
  const double sum = threadIdx.x == 0 ? sum_of_lanes(lanes) : 0;
  __syncthreads();
  return sum;
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

// ---- pseudo_abnormal: an item is a row of pixels

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

// ---- ssim: a block is a row of windows

static __global__ void __launch_bounds__(kThreads) ssim_rows(const Ssim a) {
  const int64_t tall = a.height - kWindow + 1, windows = a.width - kWindow + 1;
  double *columns = shared_memory, *similarities = columns + 5 * a.width, *lanes = similarities + windows;
  for (int64_t row = blockIdx.x; row < a.count * tall; row += gridDim.x) {
    const int64_t b = row / tall, top = row - b * tall;
    for (int64_t x = threadIdx.x; x < a.width; x += kThreads)
      keep_moments(column_moments(a.slices.at(b, top, x), a.slices.along_y, a.reconstructions.at(b, top, x),
                                  a.reconstructions.along_y),
                   columns, a.width, x);
    __syncthreads();
    for (int64_t x = threadIdx.x; x < windows; x += kThreads)
      similarities[x] = similarity_at(columns, a.width, x, a.data_range);
    __syncthreads();
    if (threadIdx.x < kLanes) lanes[threadIdx.x] = lane_sum(similarities, 1, windows, static_cast<int>(threadIdx.x));
    __syncthreads();
    if (threadIdx.x == 0) a.partials[row] = sum_of_lanes(lanes);
    __syncthreads();
  }
}

static __global__ void slice_ssim(const Ssim a) {
  const int64_t tall = a.height - kWindow + 1, windows = a.width - kWindow + 1;
  for (int64_t b = blockIdx.x; b < a.count; b += gridDim.x) {
    const double sum = sum_in_lanes(a.partials + b * tall, 1, tall, shared_memory);
    if (threadIdx.x == 0)
      a.ssim[b] = static_cast<float>(sum / (static_cast<double>(tall) * static_cast<double>(windows)));
  }
}

void ssim(const Ssim& a, void* stream) {
  const int64_t tall = a.height - kWindow + 1, doubles = 6 * a.width + kLanes;
  launch(ssim_rows, a.count * tall, kThreads, doubles * sizeof(double), stream, a);
  launch(slice_ssim, a.count, kLanes, kLanes * sizeof(double), stream, a);
}

// ---- extract_slices: a block is a tile of output rows, whose rows are resampled into shared memory first

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

int use_device(int device) {
  int before = 0;
  check(cudaGetDevice(&before));
  if (device != before) check(cudaSetDevice(device));
  return before;
}

}  // namespace maescan::cuda
