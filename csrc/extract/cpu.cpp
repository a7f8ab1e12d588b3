// A chunk is a slice. Two passes of one kind: each resamples along its first axis and leaves the result transposed,
// so that both run along memory and the second puts the axes back. Air is 0: only what holds something else, and what
// that reaches, is resampled.
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

struct Range {  // of indices: first to last, or none
  int64_t first = INT64_MAX, last = -1;
  bool none() const { return last < first; }
  void add(int64_t low, int64_t high) {
    first = low < first ? low : first;
    last = high > last ? high : last;
  }
};

bool all_zero(const float* values) {  // of kRun values
  int32_t held = 0;
  for (int64_t i = 0; i < kRun; ++i) held |= values[i] != 0;
  return held == 0;
}

// the values of a row that are not 0
Range not_zero(const float* row, int64_t count) {
  Range range;
  int64_t low = 0, high = count;
  for (; low + kRun <= count && all_zero(row + low);) low += kRun;
  for (; low < count && row[low] == 0;) ++low;
  for (; high - kRun >= low && all_zero(row + high - kRun);) high -= kRun;
  for (; high > low && row[high - 1] == 0;) --high;
  if (low < high) range.add(low, high - 1);
  return range;
}

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

struct Pass {  // of an operator over inputs from `first` on, of which only those of `inputs` are not 0
  const Taps& taps;
  int64_t first;
  Range inputs, outputs{};  // outputs: those that such an input reaches

  Pass(const Taps& along, const Span& span, const Range& held) : taps(along), first(span.first), inputs(held) {
    for (int32_t i = 0; i < taps.outputs && !inputs.none(); ++i)
      if (from(i) < to(i)) outputs.add(i, i);
  }
  int64_t at(int64_t i) const { return taps.index[i] - first; }
  int32_t from(int64_t i) const { return static_cast<int32_t>(at(i) < inputs.first ? inputs.first - at(i) : 0); }
  int32_t to(int64_t i) const {
    const int64_t past = inputs.last + 1 - at(i);
    return static_cast<int32_t>(past < taps.width ? past : taps.width);
  }
};

typedef float Eight __attribute__((vector_size(32), aligned(4), may_alias));

// `weigh` of kRun lanes beside each other, in the same order, with the sums in registers
void weigh_run(const float* weights, int32_t width, const float* input, int64_t pitch, float* sums) {
  Eight acc[kRun / 8] = {};
  for (int32_t j = 0; j < width; ++j, input += pitch)
    for (int64_t k = 0; k < kRun / 8; ++k) acc[k] += weights[j] * reinterpret_cast<const Eight*>(input)[k];
  for (int64_t k = 0; k < kRun / 8; ++k) reinterpret_cast<Eight*>(sums)[k] = acc[k];
}

// to[x, i] = sum_j weights[i, j] * from[index[i] - first + j, x], of the lanes x and the outputs i that hold more
// than air, and perhaps a few beside them; both are as wide as is padded
void resample_transposed(const Pass& pass, const Range& lanes, const float* from, int64_t pitch, float* to,
                         int64_t to_pitch) {
  const Taps& taps = pass.taps;
  float block[kBatch * kRun] = {};
  for (int64_t x = lanes.first / kRun * kRun; x <= lanes.last; x += kRun)
    for (int64_t top = pass.outputs.first / kBatch * kBatch; top <= pass.outputs.last; top += kBatch) {
      for (int64_t i = 0; i < kBatch && top + i < taps.outputs; ++i) {
        const int32_t first = pass.from(top + i);
        const float* input = from + (pass.at(top + i) + first) * pitch + x;
        weigh_run(taps.weights + (top + i) * taps.width + first, pass.to(top + i) - first, input, pitch,
                  block + i * kRun);
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
  Range high, broad;  // the rows and the columns that are not air alone
  for (int64_t y = 0; y < tall.count; ++y)
    if (const Range held = not_zero(plane + y * pitch, wide.count); !held.none())
      high.add(y, y), broad.add(held.first, held.last);
  const Pass down(a.rows, tall, high), across(a.columns, wide, broad);
  resample_transposed(down, broad, plane, pitch, columns, turned);
  resample_transposed(across, down.outputs, columns, turned, rows, out);
  T* slice = static_cast<T*>(a.slices) + s * a.rows.outputs * a.columns.outputs;
  const float air = a.intensity.resampled(0);
  for (int64_t y = 0; y < a.rows.outputs; ++y, rows += out, slice += a.columns.outputs) {
    int64_t x = 0;
    if (down.outputs.first <= y && y <= down.outputs.last && !across.outputs.none()) {
      for (; x < across.outputs.first; ++x) rows[x] = air;
      for (; x <= across.outputs.last; ++x) rows[x] = a.intensity.resampled(rows[x]);
    }
    for (; x < a.columns.outputs; ++x) rows[x] = air;
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
