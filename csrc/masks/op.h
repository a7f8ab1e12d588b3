// make_masks: what it takes, and its noise: Philox4x32-10 (Salmon et al., 2011), key: seed, counter:
// (token / 4, pass, slice). B slices, R passes (row = b * R + r), T tokens, K of them visible.
#pragma once

#include "common/host_device.h"

namespace maescan {

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

struct MakeMasks {
  const uint64_t* slice_ids;  // [B]
  int32_t* keep_ids;          // [B * R, K]
  int32_t* restore_ids;       // [B * R, T]
  int32_t* hidden_ids;        // [B * R, T - K], may be null
  int64_t slices;             // B
  int32_t passes, tokens, keep;
  uint64_t seed;
  bool complementary;

  // Where hidden_ids are wanted: a token of a row that stands behind the visible ones.
  MAESCAN_HD void hide(int64_t row, int32_t token, int32_t place) const {
    if (hidden_ids && place >= keep) hidden_ids[row * (tokens - keep) + place - keep] = token;
  }
};

}  // namespace maescan
