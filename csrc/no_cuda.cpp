// Stands in for every cuda.cu where no CUDA compiler was found: says so.
#include <stdexcept>

#include "ops.h"

namespace maescan::cuda {

int use_device(int) {
  throw std::runtime_error("this build has no CUDA kernels; install maescan again with MAESCAN_CUDA=ON and nvcc");
}

void restore_device(int) noexcept {}

#define MAESCAN_REFUSE(name, Arguments) \
  void name(const Arguments&, void*) { use_device(0); }
MAESCAN_OPS(MAESCAN_REFUSE)

}  // namespace maescan::cuda
