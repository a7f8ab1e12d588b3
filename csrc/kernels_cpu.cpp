// Loops over elements.h. Compiled once for each instruction set into a namespace of its own (MAESCAN_ISA); what has
// external linkage here must not be shared with another instruction set, so no standard containers.
#include <type_traits>
#if defined(__AVX2__) || defined(__F16C__)
#include <immintrin.h>
#endif

#include "kernels.h"
#include "threads.h"

namespace maescan::cpu::MAESCAN_ISA {
namespace {

constexpr int kStrip = 16;  // lanes of a strip: one or two vector registers

int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// Calls body(T{}) with the type that an output or prediction has.
template <class Body>
void with_type(Float dtype, const Body& body) {
  if (dtype == Float::f32) return body(float{});
  if (dtype == Float::f16) return body(Half{});
  body(Bfloat16{});
}

template <int N>
struct Constant {
  static constexpr int value = N;
};

// Calls body(Constant<N>{}) with the longest strip that divides a patch's side.
template <class Body>
void with_strip(int32_t side, const Body& body) {
  if (side % 16 == 0) return body(Constant<16>{});
  if (side % 8 == 0) return body(Constant<8>{});
  side % 2 == 0 ? body(Constant<2>{}) : body(Constant<1>{});
}

template <int N, class T>
MAESCAN_HD void widen(const T* from, float* to) {
#ifdef __F16C__  // instructions for what elements.h does
  if constexpr (N % 8 == 0 && std::is_same_v<T, Half>) {
    for (int i = 0; i < N; i += 8)
      _mm256_storeu_ps(to + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i))));
    return;
  }
#endif
  for (int i = 0; i < N; ++i) to[i] = to_float(from[i]);
}

// One row in another type; stride 1 is what vectorises.
template <class T>
void copy_row(const float* __restrict from, int64_t stride, T* __restrict to, int64_t count) {
  if (stride == 1) {
    int64_t i = 0;
#ifdef __F16C__
    if constexpr (std::is_same_v<T, Half>)
      for (; i + 8 <= count; i += 8)
        _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i), _mm256_cvtps_ph(_mm256_loadu_ps(from + i), 0));
#endif
    for (; i < count; ++i) to[i] = from_float<T>(from[i]);
  } else {
    for (int64_t i = 0; i < count; ++i) to[i] = from_float<T>(from[i * stride]);
  }
}

// Patches lie too far apart for the processor to foresee: the next one is asked for while this one is worked on.
void prefetch_patch(const Slices& slices, const Tokens& tokens, int64_t b, int32_t cell) {
  const float* corner = tokens.pixel(slices, b, cell, 0);
  for (int32_t y = 0; y < tokens.side; ++y) __builtin_prefetch(corner + y * slices.along_y);
}

template <class T, int kSide>
void patchify_as(const Patchify& a, int threads) {
  const int32_t side = kSide ? kSide : a.tokens.side;
  const int64_t stride = kSide ? 1 : a.slices.along_x;
  parallel_for(a.rows, threads, [&](int64_t row) {
    const int64_t b = row / a.passes;
    const auto cell = [&](int32_t k) { return a.tokens.cell(b, a.keep_ids ? a.keep_ids[row * a.keep + k] : k); };
    T* to = static_cast<T*>(a.patches) + row * a.keep * a.tokens.pixels();
    for (int32_t k = 0; k < a.keep; ++k) {
      if (k + 1 < a.keep) prefetch_patch(a.slices, a.tokens, b, cell(k + 1));
      const float* from = a.tokens.pixel(a.slices, b, cell(k), 0);
      for (int32_t y = 0; y < side; ++y, to += side, from += a.slices.along_y) copy_row(from, stride, to, side);
    }
  });
}

#ifdef __AVX2__
constexpr int kVector = 8;  // floats of a register
#else
constexpr int kVector = 4;
#endif

// N pixels of one row of a patch, in registers; N divides the patch's side.
template <int N>
struct Strip {
  static constexpr int kParts = N > kVector ? N / kVector : 1, kPart = N / kParts;
  typedef float Part __attribute__((vector_size(4 * kPart)));
  typedef float Anywhere __attribute__((vector_size(4 * kPart), aligned(4)));
  Part parts[kParts];

  template <class Value>
  MAESCAN_HD void set(const Value& value) {
    for (int i = 0; i < kParts; ++i) parts[i] = value(i);
  }
  MAESCAN_HD void load(const float* from) {
    for (int i = 0; i < kParts; ++i) parts[i] = *reinterpret_cast<const Anywhere*>(from + i * kPart);
  }
  MAESCAN_HD void store(float* to) const {
    for (int i = 0; i < kParts; ++i) *reinterpret_cast<Anywhere*>(to + i * kPart) = parts[i];
  }
  // Around the caches, for what they could not hold anyway; `to` is aligned to 32 bytes.
  MAESCAN_HD void stream(float* to) const {
#ifdef __AVX2__
    if constexpr (kPart == 8)
      for (int i = 0; i < kParts; ++i) _mm256_stream_ps(to + i * kPart, parts[i]);
#else
    store(to);
#endif
  }
  template <class T>
  MAESCAN_HD void load(const T* from) {
    float wide[N];
    widen<N>(from, wide);
    load(wide);
  }
};

template <class T>
struct Passes {  // where a token's predictions are, for the passes in which it is hidden
  const T** predicted;
  int32_t count = 0;
  void find(const AverageDifference& a, int64_t b, int32_t local) {
    count = 0;
    for (int32_t r = 0; r < a.passes && local >= 0; ++r) {
      const int64_t token = (b * a.passes + r) * a.tokens.count + local;
      predicted[count] = static_cast<const T*>(a.predictions) + token * a.tokens.pixels();
      count += a.restore_ids[token] >= a.keep;
    }
  }
};

// Where the strips of one cell go; null: not wanted.
struct CellOutputs {
  float *difference, *reconstruction, *squared, *token, *columns;
  bool streams;  // the difference
};

bool streams(const AverageDifference& a) {
#ifdef __AVX2__
  constexpr int64_t kCached = 1 << 20;  // pixels
  return a.tokens.side % 8 == 0 && reinterpret_cast<uintptr_t>(a.difference) % 32 == 0 &&
         a.count * a.height * a.width > kCached;
#else
  return static_cast<void>(a), false;
#endif
}

void finish_streams() {
#ifdef __AVX2__
  _mm_sfence();
#endif
}

template <int N>
MAESCAN_HD void add_to(float* sums, const Strip<N>& values) {
  Strip<N> sum;
  sum.load(sums);
  sum.set([&](int i) { return sum.parts[i] + values.parts[i]; });
  sum.store(sums);
}

// N pixels, `p` from the patch's first and `at` from the cell's corner. A visible pass contributes zero.
template <class T, int N>
MAESCAN_HD void average_strip(const Strip<N>& seen, const Passes<T>& now, const Passes<T>& next, float share,
                              int32_t side, int32_t x, int32_t p, int64_t at, const CellOutputs& to) {
  Strip<N> predicted, mean{}, out;
  for (int32_t r = 0; r < next.count; ++r) __builtin_prefetch(next.predicted[r] + p);
  for (int32_t r = 0; r < now.count; ++r) {
    predicted.load(now.predicted[r] + p);
    mean.set([&](int i) { return mean.parts[i] + (seen.parts[i] - predicted.parts[i]); });
  }
  mean.set([&](int i) { return mean.parts[i] * share; });
  out.set([&](int i) { return mean.parts[i] < 0 ? -mean.parts[i] : mean.parts[i]; });
  to.streams ? out.stream(to.difference + at) : out.store(to.difference + at);
  if (to.token) out.store(to.token + p);
  if (to.columns) add_to(to.columns + x, out);
  out.set([&](int i) { return mean.parts[i] * mean.parts[i]; });
  if (to.squared) out.store(to.squared + at);
  if (to.columns) add_to(to.columns + side + x, out);
  out.set([&](int i) { return seen.parts[i] - mean.parts[i]; });
  if (to.reconstruction) out.store(to.reconstruction + at);
}

__attribute__((noinline)) const float* gathered(const float* from, int64_t stride, float* to, int32_t count) {
  copy_row(from, stride, to, count);
  return to;
}

// Errors of a patch are summed down its columns, then along the row of sums.
template <class T, int N, bool kOneAcross>
void average_cell(const AverageDifference& a, int64_t b, int32_t cell, int32_t local, const Passes<T> now,
                  const Passes<T> next, float* buffer) {
  const int32_t side = kOneAcross ? N : a.tokens.side;
  const int64_t corner = (b * a.height + a.tokens.y_of(cell, 0)) * a.width + a.tokens.x_of(cell, 0);
  const auto from = [=](float* image) { return image ? image + corner : nullptr; };
  const CellOutputs to{a.difference + corner,
                       from(a.reconstruction),
                       from(a.squared),
                       a.by_token && local >= 0 ? a.by_token + (b * a.tokens.count + local) * side * side : nullptr,
                       a.partials ? buffer : nullptr,
                       streams(a)};
  const float share = 1.0f / static_cast<float>(a.passes), *pixels = a.tokens.pixel(a.slices, b, cell, 0);
  const int64_t width = a.width, along_y = a.slices.along_y, along_x = a.slices.along_x;
  for (int32_t x = 0; to.columns && x < 2 * side; ++x) to.columns[x] = 0;
  for (int32_t y = 0; y < side; ++y, pixels += along_y) {
    const float* row = along_x == 1 ? pixels : gathered(pixels, along_x, buffer + 2 * side, side);
    __builtin_prefetch(pixels + side);
    for (int32_t x = 0; x < side; x += N) {
      Strip<N> seen;
      seen.load(row + x);
      average_strip<T, N>(seen, now, next, share, side, x, y * side + x, y * width + x, to);
    }
  }
  if (!to.columns) return;
  float* partial = a.partials + (b * a.tokens.cells + cell) * 2;
  partial[0] = partial[1] = 0;
  for (int32_t x = 0; x < side; ++x) partial[0] += to.columns[x], partial[1] += to.columns[side + x];
}

// A chunk is a row of cells of one slice.
template <class T, int N>
void average_as(const AverageDifference& a, int threads) {
  const int32_t columns = a.tokens.columns;
  const int64_t bands = a.tokens.cells / columns;
  parallel_for(a.count * bands, threads, [&](int64_t chunk) {
    const int64_t b = chunk / bands;
    const int32_t first = static_cast<int32_t>(chunk % bands) * columns;
    float* buffer = static_cast<float*>(scratch(0, 3 * a.tokens.side * sizeof(float)));
    int32_t* locals = static_cast<int32_t*>(scratch(1, (columns + 1) * sizeof(int32_t)));
    const T** predicted = static_cast<const T**>(scratch(2, 2 * a.passes * sizeof(T*)));
    for (int32_t x = 0; x <= columns; ++x) locals[x] = a.tokens.ids || x == columns ? -1 : first + x;
    for (int32_t local = 0; a.tokens.ids && local < a.tokens.count; ++local) {
      const int32_t x = a.tokens.cell(b, local) - first;
      if (x >= 0 && x < columns) locals[x] = local;
    }
    Passes<T> now{predicted}, next{predicted + a.passes};
    next.find(a, b, locals[0]);
    for (int32_t x = 0; x < columns; ++x) {
      const Passes<T> spare = now;
      now = next, next = spare;
      next.find(a, b, locals[x + 1]);
      if (a.tokens.side == N)
        average_cell<T, N, true>(a, b, first + x, locals[x], now, next, buffer);
      else
        average_cell<T, N, false>(a, b, first + x, locals[x], now, next, buffer);
    }
    finish_streams();
  });
}

template <class T>
double sum_in_lanes(const T* values, int64_t stride, int64_t count) {
  double lanes[kLanes];
  for (int lane = 0; lane < kLanes; ++lane) lanes[lane] = lane_sum(values, stride, count, lane);
  return sum_of_lanes(lanes);
}

// One row of windows, whose top row of pixels is `top`.
double ssim_row(const Ssim& a, int64_t b, int64_t top, double* columns, double* similarities) {
  const int64_t windows = a.width - kWindow + 1, x_step = a.slices.along_y, y_step = a.reconstructions.along_y;
  const float *x = a.slices.at(b, top, 0), *y = a.reconstructions.at(b, top, 0);
  const int64_t along_x = a.slices.along_x, along_y = a.reconstructions.along_x;
  if (along_x == 1 && along_y == 1)
    for (int64_t i = 0; i < a.width; ++i)
      keep_moments(column_moments(x + i, x_step, y + i, y_step), columns, a.width, i);
  else
    for (int64_t i = 0; i < a.width; ++i)
      keep_moments(column_moments(x + i * along_x, x_step, y + i * along_y, y_step), columns, a.width, i);
  for (int64_t i = 0; i < windows; ++i) similarities[i] = similarity_at(columns, a.width, i, a.data_range);
  return sum_in_lanes(similarities, 1, windows);
}

template <class T>
void read_voxels(const ExtractSlices& a, int64_t s, float* plane, int64_t pitch) {
  for (int64_t y = 0; y < a.height; ++y) {
    const T* row = static_cast<const T*>(a.volume) + s * a.along_s + y * a.along_y;
    float* to = plane + y * pitch;
    if (a.along_x == 1) {
      for (int64_t x = 0; x < a.width; ++x) to[x] = a.intensity.of(to_float(row[x]));
    } else {
      for (int64_t x = 0; x < a.width; ++x) to[x] = a.intensity.of(to_float(row[x * a.along_x]));
    }
    for (int64_t x = a.width; x < pitch; ++x) to[x] = 0;
  }
}

void read_plane(const ExtractSlices& a, int64_t s, float* plane, int64_t pitch) {
  if (a.voxel == Voxel::f32) return read_voxels<float>(a, s, plane, pitch);
  if (a.voxel == Voxel::i16) return read_voxels<int16_t>(a, s, plane, pitch);
  if (a.voxel == Voxel::u16) return read_voxels<uint16_t>(a, s, plane, pitch);
  read_voxels<uint8_t>(a, s, plane, pitch);
}

// Rows first, into a strip of 16 output rows kept transposed, so that the columns' sums run along it as well.
template <class T>
void resample_strip(const ExtractSlices& a, const float* plane, int64_t pitch, float* strip, int64_t top, T* slice) {
  const int64_t tall = smaller(kStrip, a.rows.outputs - top);
  float sums[kStrip];
  for (int64_t i = 0; i < pitch * kStrip; ++i) strip[i] = 0;
  for (int64_t i = 0; i < tall; ++i) {
    const float* weights = a.rows.weights + (top + i) * a.rows.width;
    for (int64_t x = 0; x < pitch; x += kStrip) {
      const float* from = plane + a.rows.index[top + i] * pitch + x;
      weigh<kStrip>(weights, a.rows.width, [=](int32_t j, int lane) { return from[j * pitch + lane]; }, sums);
      for (int lane = 0; lane < kStrip; ++lane) strip[(x + lane) * kStrip + i] = sums[lane];
    }
  }
  for (int64_t x = 0; x < a.columns.outputs; ++x) {
    const float* weights = a.columns.weights + x * a.columns.width;
    const float* from = strip + static_cast<int64_t>(a.columns.index[x]) * kStrip;
    weigh<kStrip>(weights, a.columns.width, [=](int32_t j, int lane) { return from[j * kStrip + lane]; }, sums);
    for (int64_t i = 0; i < tall; ++i)
      slice[(top + i) * a.columns.outputs + x] = from_float<T>(a.intensity.resampled(sums[i]));
  }
}

template <class T>
void extract_as(const ExtractSlices& a, int threads) {
  const int64_t pitch = (a.width + kStrip - 1) / kStrip * kStrip;
  const int64_t out = static_cast<int64_t>(a.rows.outputs) * a.columns.outputs;
  parallel_for(a.count, threads, [&](int64_t s) {
    float* plane = static_cast<float*>(scratch(0, a.height * pitch * sizeof(float)));
    float* strip = static_cast<float*>(scratch(1, kStrip * pitch * sizeof(float)));
    read_plane(a, s, plane, pitch);
    for (int64_t top = 0; top < a.rows.outputs; top += kStrip)
      resample_strip<T>(a, plane, pitch, strip, top, static_cast<T*>(a.slices) + s * out);
  });
}

void draw(uint64_t seed, uint64_t slice, uint32_t pass, int32_t blocks, int32_t* __restrict noise) {
  for (int32_t block = 0; block < blocks; ++block) noise_of_block(seed, slice, pass, block, noise + 4 * block);
}

// Sorts tokens by their noise, the lower token first where noise is equal: into buckets by the leading bits, which
// hold one or two each, then every token past those of its bucket that it must follow.
struct Sorter {
  int32_t tokens, blocks, bits;

  explicit Sorter(int32_t count) : tokens(count), blocks((count + 31) / 32 * 8), bits(6) {
    while (bits < 24 && (2 << bits) < count) ++bits;
  }

  // The tokens in order, until the calling thread sorts again.
  const int32_t* shuffle(const int32_t* __restrict noise) const {
    const int32_t n = tokens, shift = 32 - bits;
    int32_t* __restrict starts = static_cast<int32_t*>(scratch(1, sizeof(int32_t) << bits));
    const int32_t most = count(noise, starts);
    const size_t padded = n + 2 * static_cast<size_t>(most);  // a neighbour may be looked up beyond either end
    int32_t* near = static_cast<int32_t*>(scratch(2, 4 * padded * sizeof(int32_t)));
    int32_t* __restrict sorted = near + most, * __restrict token = near + padded, * __restrict order = token + padded;
    for (int32_t i = 1; i <= most; ++i) sorted[-i] = INT32_MIN, sorted[n - 1 + i] = INT32_MAX;
    for (int32_t i = 0; i < n; ++i) {
      const int32_t at = starts[bucket(noise[i], shift)]++;
      sorted[at] = noise[i], token[at] = i;
    }
    int32_t* __restrict place = order + padded;
    for (int32_t i = 0; i < n; ++i) place[i] = i;
    for (int32_t ahead = 1; ahead < most; ++ahead)
      for (int32_t i = 0; i < n; ++i) place[i] += (sorted[i] > sorted[i + ahead]) - (sorted[i - ahead] > sorted[i]);
    for (int32_t i = 0; i < n; ++i) order[place[i]] = token[i];
    return order;
  }

 private:
  static uint32_t bucket(int32_t noise, int32_t shift) {
    return (static_cast<uint32_t>(noise) ^ 0x80000000u) >> shift;
  }

  // starts[bucket]: how many tokens are in the buckets before; returns the most that one bucket holds.
  int32_t count(const int32_t* __restrict noise, int32_t* __restrict starts) const {
    const int32_t n = tokens, buckets = 1 << bits, shift = 32 - bits;
    memset(starts, 0, buckets * sizeof(int32_t));
    for (int32_t i = 0; i < n; ++i) ++starts[bucket(noise[i], shift)];
    int32_t before = 0, most = 0;
    for (int32_t i = 0; i < buckets; ++i) most = starts[i] > most ? starts[i] : most;
    for (int32_t i = 0; i < buckets; ++i) {
      const int32_t here = starts[i];
      starts[i] = before, before += here;
    }
    return most;
  }
};

void write_masks(const MakeMasks& a, int64_t row, int32_t first, const int32_t* __restrict shuffle) {
  const int32_t tokens = a.tokens, keep = a.keep;
  int32_t* __restrict restore = a.restore_ids + row * tokens, * __restrict kept = a.keep_ids + row * keep;
  for (int32_t place = 0; place < tokens; ++place) restore[shuffle[place]] = turned(place, first, tokens);
  memcpy(kept, shuffle + first, keep * sizeof(int32_t));
}

}  // namespace

void make_masks(const MakeMasks& a, int threads) {
  const Sorter sorter(a.tokens);
  parallel_for(a.complementary ? a.slices : a.slices * a.passes, threads, [&](int64_t chunk) {
    const int64_t slice = a.complementary ? chunk : chunk / a.passes;
    const int32_t pass = static_cast<int32_t>(a.complementary ? 0 : chunk % a.passes);
    int32_t* noise = static_cast<int32_t*>(scratch(0, sorter.blocks * 4 * sizeof(int32_t)));
    draw(a.seed, a.slice_ids[slice], pass, sorter.blocks, noise);
    const int32_t* shuffle = sorter.shuffle(noise);
    if (!a.complementary) return write_masks(a, chunk, 0, shuffle);
    for (int32_t turn = 0; turn < a.passes; ++turn) write_masks(a, slice * a.passes + turn, turn * a.keep, shuffle);
  });
}

void patchify(const Patchify& a, int threads) {
  with_type(a.dtype, [&](auto type) {
    using T = decltype(type);
    if (a.slices.along_x == 1 && a.tokens.side == 16) return patchify_as<T, 16>(a, threads);
    if (a.slices.along_x == 1 && a.tokens.side == 8) return patchify_as<T, 8>(a, threads);
    patchify_as<T, 0>(a, threads);
  });
}

void average_difference(const AverageDifference& a, int threads) {
  with_type(a.dtype, [&](auto type) {
    with_strip(a.tokens.side, [&](auto strip) { average_as<decltype(type), strip.value>(a, threads); });
  });
  const double pixels = static_cast<double>(a.height) * static_cast<double>(a.width);
  for (int64_t b = 0; a.partials && b < a.count; ++b) {
    const float* partials = a.partials + b * a.tokens.cells * 2;
    a.mae[b] = static_cast<float>(sum_in_lanes(partials, 2, a.tokens.cells) / pixels);
    a.mse[b] = static_cast<float>(sum_in_lanes(partials + 1, 2, a.tokens.cells) / pixels);
  }
}

void pseudo_abnormal(const PseudoAbnormal& a, int threads) {
  parallel_for(a.count * a.height, threads, [&](int64_t chunk) {
    const int64_t b = chunk / a.height, y = chunk % a.height;
    float* row = a.altered + chunk * a.width;
    copy_row(a.reconstructions.at(b, y, 0), a.reconstructions.along_x, row, a.width);
    for (int64_t x = 0; a.boxes.by_pixel && x < a.width; ++x)
      row[x] = a.boxes.altered(b, y, x, chunk * a.width + x, row[x]);
    for (int32_t k = 0; a.boxes.by_box && k < a.boxes.each; ++k) {  // as Boxes::altered, a box at a time
      const Box box = a.boxes.boxes[b * a.boxes.each + k];
      const float factor = a.boxes.by_box[b * a.boxes.each + k];
      if (y < box.top || y >= static_cast<int64_t>(box.top) + box.height) continue;
      const int64_t end = smaller(static_cast<int64_t>(box.left) + box.width, a.width);
      for (int64_t x = box.left < 0 ? 0 : box.left; x < end; ++x) row[x] *= factor;
    }
  });
}

void ssim(const Ssim& a, int threads) {
  const int64_t tall = a.height - kWindow + 1, windows = a.width - kWindow + 1;
  parallel_for(a.count * tall, threads, [&](int64_t chunk) {
    double* down = static_cast<double*>(scratch(0, 5 * a.width * sizeof(double)));
    double* similarities = static_cast<double*>(scratch(1, windows * sizeof(double)));
    a.partials[chunk] = ssim_row(a, chunk / tall, chunk % tall, down, similarities);
  });
  const double count = static_cast<double>(tall) * static_cast<double>(windows);
  for (int64_t b = 0; b < a.count; ++b)
    a.ssim[b] = static_cast<float>(sum_in_lanes(a.partials + b * tall, 1, tall) / count);
}

void extract_slices(const ExtractSlices& a, int threads) {
  with_type(a.dtype, [&](auto type) { extract_as<decltype(type)>(a, threads); });
}

}  // namespace maescan::cpu::MAESCAN_ISA
