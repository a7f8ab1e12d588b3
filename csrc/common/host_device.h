// Arithmetic that host and device share, one output element a function (gather form): cpu.cpp loops over it, cuda.cu
// launches it. Both are built without contraction to fused multiply-add, so that + - x / give the same bits
// everywhere.
#pragma once

#include <cstdint>
#include <cstring>

#ifdef __CUDACC__
#define MAESCAN_HD __host__ __device__ __forceinline__
#else
#define MAESCAN_HD inline __attribute__((always_inline))
#endif
