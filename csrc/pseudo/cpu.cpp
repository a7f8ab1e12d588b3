// A chunk is a row of pixels.
#include "common/loops.h"
#include "pseudo/op.h"

namespace maescan::cpu::MAESCAN_ISA {

void pseudo_abnormal(const PseudoAbnormal& a, int threads) {
  parallel_for(a.count * a.height, threads, [&](int64_t chunk) {
    const int64_t b = chunk / a.height, y = chunk % a.height;
    float* row = a.altered + chunk * a.width;
    narrow_row(a.reconstructions.at(b, y, 0), a.reconstructions.along_x, row, a.width);
    for (int64_t x = 0; a.boxes.by_pixel && x < a.width; ++x)
      row[x] = a.boxes.altered(b, y, x, chunk * a.width + x, row[x]);
    for (int32_t k = 0; a.boxes.by_box && k < a.boxes.each; ++k) {  // as Boxes::altered, a box at a time
      const Box box = a.boxes.boxes[b * a.boxes.each + k];
      const float factor = a.boxes.by_box[b * a.boxes.each + k];
      if (y < box.top || y >= static_cast<int64_t>(box.top) + box.height) continue;
      const int64_t right = static_cast<int64_t>(box.left) + box.width, end = right < a.width ? right : a.width;
      for (int64_t x = box.left < 0 ? 0 : box.left; x < end; ++x) row[x] *= factor;
    }
  });
}

}  // namespace maescan::cpu::MAESCAN_ISA
