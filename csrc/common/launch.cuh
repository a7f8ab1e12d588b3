// What every cuda.cu launches with. A block takes several items (patches, rows), a group of its threads each; blocks
// loop, so that any number of items fits any grid. Nothing here waits for the device, allocates or uses atomics, so
// calls can be captured in a graph. Also compiled as C++ against tests/shim, which runs blocks and threads in loops.
#pragma once

#include <cuda_runtime.h>

#include <stdexcept>
#include <string>

#include "common/dtype.h"
#include "common/lanes.h"
#include "common/slices.h"

namespace maescan::cuda {

#ifndef MAESCAN_MAX_BLOCKS
#define MAESCAN_MAX_BLOCKS 0x7fffffff
#endif

constexpr int kThreads = 256;
constexpr size_t kSharedBytes = 48 * 1024;  // what every GPU grants without asking

extern __shared__ double shared_memory[];

inline void check(cudaError_t error) {
  if (error == cudaErrorInsufficientDriver)
    throw std::runtime_error("CUDA: no NVIDIA driver is installed, or one too old for this build");
  if (error == cudaSuccess) return;
  static_cast<void>(cudaGetLastError());  // or the next to ask, torch perhaps, is told of it as of its own
  throw std::runtime_error(std::string("CUDA: ") + cudaGetErrorString(error));
}

template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), int64_t blocks, int threads, size_t shared, void* stream,
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
#ifdef __CUDACC__
  if constexpr (sizeof(pack) % 16 ==
                0) {  // in so many words: nvcc copies a struct element by element where it may be one of two
    for (size_t i = 0; i < sizeof(pack) / 16; ++i) {
      uint4 w;
      memcpy(&w, pack.values + i * (16 / sizeof(T)), 16);
      asm volatile("st.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(reinterpret_cast<uint4*>(to) + i), "r"(w.x),
                   "r"(w.y), "r"(w.z), "r"(w.w)
                   : "memory");
    }
    return;
  }
#endif
  *reinterpret_cast<Pack<V, T>*>(to) = pack;
}

inline bool aligned(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % 16 == 0; }

inline bool aligned(const Slices& slices) {
  return aligned(slices.data) && slices.along_x == 1 && slices.along_y % 4 == 0 && slices.along_b % 4 == 0;
}

// Calls body(T{}, pack) with the type of an array and the number of its elements in 16 bytes (1 where unaligned).
template <class Body>
void with_type(Float dtype, bool packed, const Body& body) {
  if (dtype == Float::f32) return packed ? body(float{}, Pack<4, char>{}) : body(float{}, Pack<1, char>{});
  if (dtype == Float::f16) return packed ? body(Half{}, Pack<8, char>{}) : body(Half{}, Pack<1, char>{});
  packed ? body(Bfloat16{}, Pack<8, char>{}) : body(Bfloat16{}, Pack<1, char>{});
}

inline bool packs(Float dtype, int32_t side) { return side % (dtype == Float::f32 ? 4 : 8) == 0; }

// One block of 32 threads: the sum in lanes, known to thread 0.
template <class T>
__device__ double sum_in_lanes(const T* values, int64_t stride, int64_t count, double* lanes) {
  lanes[threadIdx.x] = lane_sum(values, stride, count, static_cast<int>(threadIdx.x));
  __syncthreads();
  const double sum = threadIdx.x == 0 ? sum_of_lanes(lanes) : 0;
  __syncthreads();
  return sum;
}

}  // namespace maescan::cuda
