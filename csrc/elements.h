// Index maps and arithmetic of every kernel, one output element a function (gather form), for host and device.
// kernels_cpu.cpp loops over these and kernels_cuda.cu launches them; both are built without contraction to fused
// multiply-add, so that + - x / give the same bits everywhere.
#pragma once

#include <cstdint>
#include <cstring>

#ifdef __CUDACC__
#define MAESCAN_HD __host__ __device__ __forceinline__
#else
#define MAESCAN_HD inline __attribute__((always_inline))
#endif

namespace maescan {

// ---- numbers: IEEE half and bfloat16, rounded to nearest even; without branches, so that loops vectorise (a GPU has
// instructions that round alike; only NaN payloads may differ)

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

// ---- sums in one fixed order: 32 interleaved lanes, then the lanes in order

constexpr int kLanes = 32;

template <class T>
MAESCAN_HD double lane_sum(const T* values, int64_t stride, int64_t count, int lane) {
  double sum = 0;
  for (int64_t i = lane; i < count; i += kLanes) sum += static_cast<double>(values[i * stride]);
  return sum;
}

MAESCAN_HD double sum_of_lanes(const double* lanes) {
  double sum = 0;
  for (int lane = 0; lane < kLanes; ++lane) sum += lanes[lane];
  return sum;
}

// ---- slices and their tokens

struct Slices {  // [B, H, W] float32; strides in elements, of either sign
  const float* data;
  int64_t along_b, along_y, along_x;
  MAESCAN_HD const float* at(int64_t b, int64_t y, int64_t x) const {
    return data + b * along_b + y * along_y + x * along_x;
  }
};

struct Tokens {        // the patches of a slice that the models see
  const int32_t* ids;  // [B, T] cells of the grid, distinct; null: the full grid in order
  int32_t count;       // T
  int32_t side;        // P, pixels
  int32_t columns;     // cells in a row of the grid
  int32_t cells;       // L
  MAESCAN_HD int32_t pixels() const { return side * side; }
  MAESCAN_HD int32_t cell(int64_t b, int32_t local) const {  // -1: no such token
    if (local < 0 || local >= count) return -1;
    const int32_t cell = ids ? ids[b * count + local] : local;
    return cell < 0 || cell >= cells ? -1 : cell;
  }
  MAESCAN_HD int64_t y_of(int32_t cell, int32_t p) const {
    return static_cast<int64_t>(cell / columns) * side + p / side;
  }
  MAESCAN_HD int64_t x_of(int32_t cell, int32_t p) const {
    return static_cast<int64_t>(cell % columns) * side + p % side;
  }
  MAESCAN_HD const float* pixel(const Slices& slices, int64_t b, int32_t cell, int32_t p) const {
    return slices.at(b, y_of(cell, p), x_of(cell, p));
  }
};

// ---- make_masks: noise is Philox4x32-10 (Salmon et al., 2011), key: seed, counter: (token / 4, pass, slice)

MAESCAN_HD void philox(uint64_t seed, uint32_t c[4]) {
  uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
    const uint64_t a = static_cast<uint64_t>(0xD2511F53u) * c[0], b = static_cast<uint64_t>(0xCD9E8D57u) * c[2];
    const uint32_t c0 = static_cast<uint32_t>(b >> 32) ^ c[1] ^ k0, c2 = static_cast<uint32_t>(a >> 32) ^ c[3] ^ k1;
    c[0] = c0, c[1] = static_cast<uint32_t>(b), c[2] = c2, c[3] = static_cast<uint32_t>(a);
  }
}

// Noise of tokens 4 * block .. 4 * block + 3, as signed numbers.
MAESCAN_HD void noise_of_block(uint64_t seed, uint64_t slice, uint32_t pass, uint32_t block, int32_t noise[4]) {
  uint32_t c[4] = {block, pass, static_cast<uint32_t>(slice), static_cast<uint32_t>(slice >> 32)};
  philox(seed, c);
  for (int i = 0; i < 4; ++i) noise[i] = static_cast<int32_t>(c[i]);
}

// The place of a token when tokens are sorted by noise, the lower token first where noise is equal.
MAESCAN_HD int32_t rank_of(const int32_t* noise, int32_t tokens, int32_t token) {
  const int32_t mine = noise[token];
  int32_t before = 0;
  for (int32_t i = 0; i < token; ++i) before += noise[i] <= mine;
  for (int32_t i = token + 1; i < tokens; ++i) before += noise[i] < mine;
  return before;
}

// Complementary pass r sees the order of its slice turned by r * keep.
MAESCAN_HD int32_t turned(int32_t rank, int32_t by, int32_t tokens) {
  const int32_t place = rank - by;
  return place < 0 ? place + tokens : place;
}

// ---- pseudo_abnormal

struct Box {
  int32_t top, left, height, width;  // height 0: unused
  MAESCAN_HD bool covers(int64_t y, int64_t x) const {
    return y >= top && y < static_cast<int64_t>(top) + height && x >= left && x < static_cast<int64_t>(left) + width;
  }
};

struct Boxes {
  const Box* boxes;       // [B, each]
  const float* by_box;    // [B, each], or null
  const float* by_pixel;  // [B, H, W], or null
  int32_t each;
  MAESCAN_HD bool cover(int64_t b, int64_t y, int64_t x) const {
    bool covered = false;
    for (int32_t k = 0; k < each; ++k) covered |= boxes[b * each + k].covers(y, x);
    return covered;
  }
  // `at` is the pixel's place in [B, H, W].
  MAESCAN_HD float altered(int64_t b, int64_t y, int64_t x, int64_t at, float value) const {
    if (by_pixel) return cover(b, y, x) ? value * by_pixel[at] : value;
    for (int32_t k = 0; k < each; ++k)
      if (boxes[b * each + k].covers(y, x)) value *= by_box[b * each + k];
    return value;
  }
};

// ---- ssim: skimage.metrics.structural_similarity with a uniform 7 x 7 window and sample covariance

constexpr int kWindow = 7;

struct Moments {  // sums of x, y, x * x, y * y, x * y
  double x, y, xx, yy, xy;
};

// Sums down seven rows of one column; steps lead from row to row.
MAESCAN_HD Moments column_moments(const float* x, int64_t x_step, const float* y, int64_t y_step) {
  Moments sums{};
  for (int row = 0; row < kWindow; ++row) {
    const double u = x[row * x_step], v = y[row * y_step];
    sums.x += u, sums.y += v, sums.xx += u * u, sums.yy += v * v, sums.xy += u * v;
  }
  return sums;
}

// The sum along seven columns.
MAESCAN_HD double along_window(const double* columns) {
  double sum = 0;
  for (int column = 0; column < kWindow; ++column) sum += columns[column];
  return sum;
}

MAESCAN_HD double similarity(const Moments& sums, double data_range) {
  constexpr double n = kWindow * kWindow, unbiased = n / (n - 1);
  const double c1 = (0.01 * data_range) * (0.01 * data_range), c2 = (0.03 * data_range) * (0.03 * data_range);
  const double ux = sums.x / n, uy = sums.y / n;
  const double vx = unbiased * (sums.xx / n - ux * ux), vy = unbiased * (sums.yy / n - uy * uy);
  const double vxy = unbiased * (sums.xy / n - ux * uy);
  return ((2 * ux * uy + c1) * (2 * vxy + c2)) / ((ux * ux + uy * uy + c1) * (vx + vy + c2));
}

// Column moments are kept as five rows of `pitch` columns; this is the window whose first column is `x`.
MAESCAN_HD void keep_moments(const Moments& sums, double* columns, int64_t pitch, int64_t x) {
  columns[x] = sums.x, columns[pitch + x] = sums.y;
  columns[2 * pitch + x] = sums.xx, columns[3 * pitch + x] = sums.yy, columns[4 * pitch + x] = sums.xy;
}

MAESCAN_HD double similarity_at(const double* columns, int64_t pitch, int64_t x, double data_range) {
  return similarity(
      {along_window(columns + x), along_window(columns + pitch + x), along_window(columns + 2 * pitch + x),
       along_window(columns + 3 * pitch + x), along_window(columns + 4 * pitch + x)},
      data_range);
}

// ---- extract_slices

struct Intensity {  // raw voxel -> what the models see
  float scale, offset, low, high, background;
  bool has_background;
  MAESCAN_HD float clamp(float value) const { return value < low ? low : (value > high ? high : value); }
  MAESCAN_HD float resampled(float value) const {  // tissue may be held over air, which is 0
    const float least = low < 0 ? low : 0.0f;
    return value < least ? least : (value > high ? high : value);
  }
  MAESCAN_HD float of(float raw) const {
    const float value = clamp(raw * scale + offset);
    return has_background && raw == background ? 0.0f : value;
  }
};

struct Taps {            // one banded operator along an axis: out[i] = sum_j weights[i, j] * in[index[i] + j]
  const int32_t* index;  // [outputs]
  const float* weights;  // [outputs, width]
  int32_t outputs, width;
};

// sums[lane] = sum_j weights[j] * input(j, lane), for N lanes that share the weights
template <int N, class Input>
MAESCAN_HD void weigh(const float* weights, int32_t width, const Input& input, float* sums) {
  float acc[N] = {};
  for (int32_t j = 0; j < width; ++j)
    for (int lane = 0; lane < N; ++lane) acc[lane] += weights[j] * input(j, lane);
  for (int lane = 0; lane < N; ++lane) sums[lane] = acc[lane];
}

}  // namespace maescan
