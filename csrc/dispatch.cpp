// Picks the loops that were compiled for what this processor has: x86-64-v3 (AVX2) or the baseline.
#include "ops.h"

namespace maescan::cpu {

#define MAESCAN_DECLARE(name, Arguments) void name(const Arguments& a, int threads);
namespace baseline {
MAESCAN_OPS(MAESCAN_DECLARE)
}
#ifdef MAESCAN_HAS_V3
namespace v3 {
MAESCAN_OPS(MAESCAN_DECLARE)
}
// All of the level, for the compiler may use any of it: BMI1, BMI2, LZCNT, MOVBE, FMA and F16C beside AVX2.
static bool has_v3() {
  static const bool has = __builtin_cpu_supports("x86-64-v3");
  return has;
}
#define MAESCAN_PICK(name, Arguments) \
  void name(const Arguments& a, int threads) { has_v3() ? v3::name(a, threads) : baseline::name(a, threads); }
#else
#define MAESCAN_PICK(name, Arguments) \
  void name(const Arguments& a, int threads) { baseline::name(a, threads); }
#endif
MAESCAN_OPS(MAESCAN_PICK)

}  // namespace maescan::cpu
