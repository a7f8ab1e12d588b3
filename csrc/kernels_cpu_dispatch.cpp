// Picks the loops that were compiled for what this processor has: x86-64-v3 (AVX2) or the baseline.
#include "kernels.h"

namespace maescan::cpu {

#define MAESCAN_DECLARE(name, Arguments) void name(const Arguments& a, int threads);
namespace baseline {
MAESCAN_KERNELS(MAESCAN_DECLARE)
}
#ifdef MAESCAN_HAS_V3
namespace v3 {
MAESCAN_KERNELS(MAESCAN_DECLARE)
}
static bool has_v3() {
  static const bool has = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") &&
                          __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  return has;
}
#define MAESCAN_PICK(name, Arguments) \
  void name(const Arguments& a, int threads) { has_v3() ? v3::name(a, threads) : baseline::name(a, threads); }
#else
#define MAESCAN_PICK(name, Arguments) \
  void name(const Arguments& a, int threads) { baseline::name(a, threads); }
#endif
MAESCAN_KERNELS(MAESCAN_PICK)

}  // namespace maescan::cpu
