// What the CPU's loops share. They are compiled once for each instruction set into a namespace of its own
// (MAESCAN_ISA); what has external linkage there must not be shared with another one, so no standard containers.
#pragma once

#include <type_traits>
#ifdef __F16C__
#include <immintrin.h>
#endif

#include "common/dtype.h"
#include "common/lanes.h"
#include "common/threads.h"

namespace maescan::cpu::MAESCAN_ISA {
namespace {

// Calls body(T{}) with the type that an output or prediction has.
template <class Body>
void with_type(Float dtype, const Body& body) {
  if (dtype == Float::f32) return body(float{});
  if (dtype == Float::f16) return body(Half{});
  body(Bfloat16{});
}

// Rows in another type; stride 1 is what vectorises.
template <class T>
void narrow_row(const float* __restrict from, int64_t stride, T* __restrict to, int64_t count) {
  if (stride != 1) {
    for (int64_t i = 0; i < count; ++i) to[i] = from_float<T>(from[i * stride]);
    return;
  }
  int64_t done = 0;
#ifdef __F16C__  // instructions for what half.h does
  if constexpr (std::is_same_v<T, Half>) {
    done = count / 8 * 8;
    for (int64_t i = 0; i < done; i += 8)
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i), _mm256_cvtps_ph(_mm256_loadu_ps(from + i), 0));
  }
#endif
  for (int64_t i = done; i < count; ++i) to[i] = from_float<T>(from[i]);
}

template <class T>
MAESCAN_HD void widen_row(const T* __restrict from, float* __restrict to, int64_t count) {
  int64_t done = 0;
#ifdef __F16C__
  if constexpr (std::is_same_v<T, Half>) {
    done = count / 8 * 8;
    for (int64_t i = 0; i < done; i += 8)
      _mm256_storeu_ps(to + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i))));
  }
#endif
  for (int64_t i = done; i < count; ++i) to[i] = to_float(from[i]);
}

template <class T>
double sum_in_lanes(const T* values, int64_t stride, int64_t count) {
  double lanes[kLanes];
  for (int lane = 0; lane < kLanes; ++lane) lanes[lane] = lane_sum(values, stride, count, lane);
  return sum_of_lanes(lanes);
}

}  // namespace
}  // namespace maescan::cpu::MAESCAN_ISA
