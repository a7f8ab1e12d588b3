// A chunk is a slice. Two passes of one kind: each resamples along its first axis and leaves the result transposed,
// so that both run along memory and the second puts the axes back.
#include "common/loops.h"
#include "extract/op.h"

namespace maescan::cpu::MAESCAN_ISA {
namespace {

constexpr int64_t kRun =
    32;  // values beside each other that share the weights: registers enough to hide their latency
constexpr int64_t kBatch = 8;  // outputs that are transposed together

int64_t padded(int64_t count) { return (count + kRun - 1) / kRun * kRun; }

struct Span {  // the inputs that some output reads
  int64_t first, count;
  Span(const Taps& taps, int64_t inputs) : first(0), count(inputs) {
    int64_t low = inputs, high = 0;
    for (int32_t i = 0; i < taps.outputs; ++i) {
      low = taps.index[i] < low ? taps.index[i] : low;
      high = taps.index[i] + taps.width > high ? taps.index[i] + taps.width : high;
    }
    if (low < high) first = low, count = high - low;
  }
};

template <int kStep, class T>
void read_row(const Intensity& intensity, const T* from, int64_t step, float* __restrict to, int64_t count) {
  for (int64_t x = 0; x < count; ++x) to[x] = intensity.of(to_float(from[x * (kStep ? kStep : step)]));
}

template <class T>
void read_voxels(const ExtractSlices& a, int64_t s, const Span& tall, const Span& wide, float* plane) {
  const int64_t pitch = padded(wide.count);
  for (int64_t y = 0; y < tall.count; ++y, plane += pitch) {
    const T* row = static_cast<const T*>(a.volume) + s * a.along_s + (tall.first + y) * a.along_y;
    row += wide.first * a.along_x;
    if (a.along_x == 1)
      read_row<1>(a.intensity, row, 1, plane, wide.count);
    else if (a.along_x == -1)
      read_row<-1>(a.intensity, row, -1, plane, wide.count);
    else
      read_row<0>(a.intensity, row, a.along_x, plane, wide.count);
    for (int64_t x = wide.count; x < pitch; ++x) plane[x] = 0;
  }
}

void read_plane(const ExtractSlices& a, int64_t s, const Span& tall, const Span& wide, float* plane) {
  if (a.voxel == Voxel::f32) return read_voxels<float>(a, s, tall, wide, plane);
  if (a.voxel == Voxel::i16) return read_voxels<int16_t>(a, s, tall, wide, plane);
  if (a.voxel == Voxel::u16) return read_voxels<uint16_t>(a, s, tall, wide, plane);
  read_voxels<uint8_t>(a, s, tall, wide, plane);
}

// to[x, i] = sum_j weights[i, j] * from[index[i] - first + j, x]; both are as wide as is padded
void resample_transposed(const Taps& taps, int64_t first, const float* from, int64_t pitch, float* to,
                         int64_t to_pitch) {
  float block[kBatch * kRun] = {};
  for (int64_t x = 0; x < pitch; x += kRun)
    for (int64_t top = 0; top < taps.outputs; top += kBatch) {
      for (int64_t i = 0; i < kBatch && top + i < taps.outputs; ++i) {
        const float* input = from + (taps.index[top + i] - first) * pitch + x;
        weigh<kRun>(
            taps.weights + (top + i) * taps.width, taps.width,
            [=](int32_t j, int lane) { return input[j * pitch + lane]; }, block + i * kRun);
      }
      for (int64_t lane = 0; lane < kRun; ++lane)
        for (int64_t i = 0; i < kBatch; ++i) to[(x + lane) * to_pitch + top + i] = block[i * kRun + lane];
    }
}

template <class T>
void extract_slice(const ExtractSlices& a, int64_t s) {
  const Span tall(a.rows, a.height), wide(a.columns, a.width);
  const int64_t pitch = padded(wide.count), turned = padded(a.rows.outputs), out = padded(a.columns.outputs);
  float* plane = static_cast<float*>(scratch(0, tall.count * pitch * sizeof(float)));
  float* columns = static_cast<float*>(scratch(1, pitch * turned * sizeof(float)));
  float* rows = static_cast<float*>(scratch(2, turned * out * sizeof(float)));
  read_plane(a, s, tall, wide, plane);
  resample_transposed(a.rows, tall.first, plane, pitch, columns, turned);
  resample_transposed(a.columns, wide.first, columns, turned, rows, out);
  T* slice = static_cast<T*>(a.slices) + s * a.rows.outputs * a.columns.outputs;
  for (int64_t y = 0; y < a.rows.outputs; ++y, rows += out, slice += a.columns.outputs) {
    for (int64_t x = 0; x < a.columns.outputs; ++x) rows[x] = a.intensity.resampled(rows[x]);
    narrow_row(rows, 1, slice, a.columns.outputs);
  }
}

}  // namespace

void extract_slices(const ExtractSlices& a, int threads) {
  with_type(a.dtype, [&](auto type) {
    parallel_for(a.count, threads, [&](int64_t s) { extract_slice<decltype(type)>(a, s); });
  });
}

}  // namespace maescan::cpu::MAESCAN_ISA
