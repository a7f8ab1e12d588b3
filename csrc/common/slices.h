// Slices, and the patches of them that the models see.
#pragma once

#include "host_device.h"

namespace maescan {

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

}  // namespace maescan
