// Loops over elements.h. Compiled once for each instruction set into a namespace of its own (MAESCAN_ISA); what has
// external linkage here must not be shared with another instruction set, so no standard containers.
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

// One row of a patch in another type; stride 1 is what vectorises.
template <class T>
void copy_row(const float* from, int64_t stride, T* to, int64_t count) {
  if (stride == 1) {
    for (int64_t i = 0; i < count; ++i) to[i] = from_float<T>(from[i]);
  } else {
    for (int64_t i = 0; i < count; ++i) to[i] = from_float<T>(from[i * stride]);
  }
}

template <class T>
void read_patch(const Slices& slices, const Tokens& tokens, int64_t b, int32_t cell, T* patch) {
  const float* corner = tokens.pixel(slices, b, cell, 0);
  for (int32_t y = 0; y < tokens.side; ++y)
    copy_row(corner + y * slices.along_y, slices.along_x, patch + y * tokens.side, tokens.side);
}

template <class T>
void patchify_as(const Patchify& a, int threads) {
  const int64_t pixels = a.tokens.pixels();
  parallel_for(a.rows, threads, [&](int64_t row) {
    for (int32_t k = 0; k < a.keep; ++k) {
      const int32_t local = a.keep_ids ? a.keep_ids[row * a.keep + k] : k;
      T* patch = static_cast<T*>(a.patches) + (row * a.keep + k) * pixels;
      read_patch(a.slices, a.tokens, row / a.passes, a.tokens.cell(row / a.passes, local), patch);
    }
  });
}

// The mean over the passes of (pixel - prediction); a pass in which the patch is visible contributes zero.
template <class T>
void mean_error(const AverageDifference& a, int64_t b, int32_t local, const float* patch, float* mean) {
  const int64_t pixels = a.tokens.pixels();
  for (int64_t p = 0; p < pixels; ++p) mean[p] = 0;
  for (int32_t r = 0; r < a.passes; ++r) {
    const int64_t token = (b * a.passes + r) * a.tokens.count + local;
    if (a.restore_ids[token] < a.keep) continue;
    const T* predicted = static_cast<const T*>(a.predictions) + token * pixels;
    for (int64_t p = 0; p < pixels; ++p) mean[p] += patch[p] - to_float(predicted[p]);
  }
  const float share = 1.0f / static_cast<float>(a.passes);
  for (int64_t p = 0; p < pixels; ++p) mean[p] *= share;
}

// Sums of |d| and d * d over a patch: down its columns, then along the row of sums.
void patch_errors(const float* mean, int32_t side, float* columns, float* partial) {
  for (int32_t x = 0; x < 2 * side; ++x) columns[x] = 0;
  for (int32_t y = 0; y < side; ++y)
    for (int32_t x = 0; x < side; ++x) {
      const float d = mean[y * side + x];
      columns[x] += d < 0 ? -d : d;
      columns[side + x] += d * d;
    }
  partial[0] = partial[1] = 0;
  for (int32_t x = 0; x < side; ++x) partial[0] += columns[x], partial[1] += columns[side + x];
}

void write_patch(const AverageDifference& a, int64_t b, int32_t cell, const float* patch, const float* mean) {
  const int32_t side = a.tokens.side;
  for (int32_t y = 0; y < side; ++y) {
    const int64_t at = (b * a.height + cell / a.tokens.columns * side + y) * a.width + cell % a.tokens.columns * side;
    const float *x = patch + y * side, *d = mean + y * side;
    for (int32_t i = 0; i < side; ++i) a.difference[at + i] = d[i] < 0 ? -d[i] : d[i];
    if (a.reconstruction)
      for (int32_t i = 0; i < side; ++i) a.reconstruction[at + i] = x[i] - d[i];
    if (a.squared)
      for (int32_t i = 0; i < side; ++i) a.squared[at + i] = d[i] * d[i];
  }
}

template <class T>
void average_cell(const AverageDifference& a, int64_t b, int32_t cell, int32_t local, float* buffer) {
  const int64_t pixels = a.tokens.pixels();
  float *patch = buffer, *mean = patch + pixels, *columns = mean + pixels;
  read_patch(a.slices, a.tokens, b, cell, patch);
  if (local < 0)
    for (int64_t p = 0; p < pixels; ++p) mean[p] = 0;
  else
    mean_error<T>(a, b, local, patch, mean);
  write_patch(a, b, cell, patch, mean);
  if (a.partials) patch_errors(mean, a.tokens.side, columns, a.partials + (b * a.tokens.cells + cell) * 2);
  if (a.by_token && local >= 0) {
    float* to = a.by_token + (b * a.tokens.count + local) * pixels;
    for (int64_t p = 0; p < pixels; ++p) to[p] = mean[p] < 0 ? -mean[p] : mean[p];
  }
}

// A chunk is a row of cells of one slice.
template <class T>
void average_as(const AverageDifference& a, int threads) {
  const int32_t columns = a.tokens.columns;
  const int64_t bands = a.tokens.cells / columns, floats = 2 * a.tokens.pixels() + 2 * a.tokens.side;
  parallel_for(a.count * bands, threads, [&](int64_t chunk) {
    const int64_t b = chunk / bands;
    const int32_t first = static_cast<int32_t>(chunk % bands) * columns;
    float* buffer = static_cast<float*>(scratch(0, floats * sizeof(float)));
    int32_t* locals = static_cast<int32_t*>(scratch(1, columns * sizeof(int32_t)));
    for (int32_t x = 0; x < columns; ++x) locals[x] = a.tokens.ids ? -1 : first + x;
    for (int32_t local = 0; a.tokens.ids && local < a.tokens.count; ++local) {
      const int32_t x = a.tokens.cell(b, local) - first;
      if (x >= 0 && x < columns) locals[x] = local;
    }
    for (int32_t x = 0; x < columns; ++x) average_cell<T>(a, b, first + x, locals[x], buffer);
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
      slice[(top + i) * a.columns.outputs + x] = from_float<T>(a.intensity.clamp(sums[i]));
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

}  // namespace

void make_masks(const MakeMasks& a, int threads) {
  parallel_for(a.slices * a.passes, threads, [&](int64_t row) {
    const int32_t pass = static_cast<int32_t>(row % a.passes), blocks = (a.tokens + 3) / 4;
    int32_t* noise = static_cast<int32_t*>(scratch(0, blocks * 4 * sizeof(int32_t)));
    for (int32_t block = 0; block < blocks; ++block)
      noise_of_block(a.seed, a.slice_ids[row / a.passes], a.complementary ? 0 : pass, block, noise + 4 * block);
    for (int32_t token = 0; token < a.tokens; ++token) {
      const int32_t rank = rank_of(noise, a.tokens, token);
      const int32_t place = a.complementary ? turned(rank, pass * a.keep, a.tokens) : rank;
      a.restore_ids[row * a.tokens + token] = place;
      if (place < a.keep) a.keep_ids[row * a.keep + place] = token;
    }
  });
}

void patchify(const Patchify& a, int threads) {
  with_type(a.dtype, [&](auto type) { patchify_as<decltype(type)>(a, threads); });
}

void average_difference(const AverageDifference& a, int threads) {
  with_type(a.dtype, [&](auto type) { average_as<decltype(type)>(a, threads); });
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
