// Numbers in 16 bits, IEEE half and bfloat16, rounded to nearest even; without branches, so that loops vectorise (a
// GPU has instructions that round alike; only NaN payloads may differ).
#pragma once

#include "host_device.h"

namespace maescan {

struct Half {
  uint16_t bits;
};
struct Bfloat16 {
  uint16_t bits;
};

MAESCAN_HD uint32_t bits_of(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

MAESCAN_HD float float_of(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

MAESCAN_HD float to_float(float value) { return value; }
MAESCAN_HD float to_float(int16_t value) { return static_cast<float>(value); }
MAESCAN_HD float to_float(uint16_t value) { return static_cast<float>(value); }
MAESCAN_HD float to_float(uint8_t value) { return static_cast<float>(value); }
MAESCAN_HD float to_float(Bfloat16 value) { return float_of(static_cast<uint32_t>(value.bits) << 16); }

MAESCAN_HD float to_float(Half value) {
#ifdef __CUDA_ARCH__
  float wide_value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(wide_value) : "h"(value.bits));
  return wide_value;
#else
  const uint32_t sign = (value.bits & 0x8000u) << 16, rest = (value.bits & 0x7fffu) << 13;
  const uint32_t subnormal = bits_of(float_of(rest + 0x38800000u) - float_of(0x38800000u));  // 2^-14
  const uint32_t wide = rest + (rest >= 0x0f800000u ? 0x70000000u : 0x38000000u);  // infinity and NaN keep theirs
  return float_of(sign | (rest < 0x00800000u ? subnormal : wide));
#endif
}

template <class T>
MAESCAN_HD T from_float(float value);

template <>
MAESCAN_HD float from_float<float>(float value) {
  return value;
}

template <>
MAESCAN_HD Bfloat16 from_float<Bfloat16>(float value) {
  const uint32_t bits = bits_of(value), rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const uint32_t quiet_nan = (bits >> 16) | 0x40u;
  return {static_cast<uint16_t>((bits & 0x7fffffffu) > 0x7f800000u ? quiet_nan : rounded)};
}

template <>
MAESCAN_HD Half from_float<Half>(float value) {
#ifdef __CUDA_ARCH__
  Half half;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(half.bits) : "f"(value));
  return half;
#else
  const uint32_t bits = bits_of(value), sign = (bits >> 16) & 0x8000u, size = bits & 0x7fffffffu;
  const uint32_t normal = (size - 0x38000000u + 0xfffu + ((size >> 13) & 1u)) >> 13;
  const uint32_t subnormal = bits_of(float_of(size) + 0.5f) - 0x3f000000u;  // an ulp of 0.5 is half's smallest step
  const uint32_t finite = size < 0x38800000u ? subnormal : (normal > 0x7c00u ? 0x7c00u : normal);
  const uint32_t special = size > 0x7f800000u ? 0x7e00u : 0x7c00u;
  return {static_cast<uint16_t>(sign | (size >= 0x7f800000u ? special : finite))};
#endif
}

}  // namespace maescan
