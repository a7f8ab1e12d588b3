// The calling thread's CUDA device.
#include "common/launch.cuh"

namespace maescan::cuda {

int use_device(int device) {
  int before = 0;
  check(cudaGetDevice(&before));
  if (device != before) check(cudaSetDevice(device));
  return before;
}

void restore_device(int device) noexcept { static_cast<void>(cudaSetDevice(device)); }

}  // namespace maescan::cuda
