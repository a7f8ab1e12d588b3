// A chunk is a row of masks; of complementary ones, which share their noise, all rows of a slice.
#include "common/loops.h"
#include "masks/op.h"

namespace maescan::cpu::MAESCAN_ISA {

void make_masks(const MakeMasks& a, int threads) {
  const int32_t tokens = a.tokens, blocks = (tokens + 3) / 4, turns = a.complementary ? a.passes : 1;
  parallel_for(a.slices * a.passes / turns, threads, [&](int64_t chunk) {
    const int64_t slice = chunk * turns / a.passes;
    int32_t* noise = static_cast<int32_t*>(scratch(0, blocks * 4 * sizeof(int32_t)));
    for (int32_t block = 0; block < blocks; ++block)
      noise_of_block(a.seed, a.slice_ids[slice], a.complementary ? 0 : chunk % a.passes, block, noise + 4 * block);
    int32_t *restore = a.restore_ids + chunk * turns * tokens, *keep = a.keep_ids + chunk * turns * a.keep;
    for (int32_t token = 0; token < tokens; ++token) {
      const int32_t rank = rank_of(noise, tokens, token);
      for (int32_t turn = 0; turn < turns; ++turn) {
        const int32_t place = a.complementary ? turned(rank, turn * a.keep, tokens) : rank;
        restore[turn * tokens + token] = place;
        if (place < a.keep) keep[turn * a.keep + place] = token;
      }
    }
    for (int32_t at = 0; a.hidden_ids && at < turns * tokens; ++at)
      a.hide(chunk * turns + at / tokens, at % tokens, restore[at]);
  });
}

}  // namespace maescan::cpu::MAESCAN_ISA
