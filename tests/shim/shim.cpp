#include <ucontext.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "cuda_runtime.h"

dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace maescan::cuda {
constexpr size_t kBytes = 48 * 1024, kGuard = 4096;
alignas(16) double shared_memory[(kBytes + kGuard) / sizeof(double)];
}  // namespace maescan::cuda

namespace shim {
namespace {

constexpr size_t kStack = 256 * 1024;
constexpr unsigned char kRubbish = 0xA5;

struct Fiber {
  ucontext_t context;
  std::vector<char> stack = std::vector<char>(kStack);
  bool ended = false, waiting = false;
};

std::vector<Fiber*> fibers;
ucontext_t scheduler;
Fiber* current;
const std::function<void()>* body;

void enter() {
  (*body)();
  current->ended = true;
  swapcontext(&current->context, &scheduler);
}

void begin(Fiber& fiber) {
  fiber.ended = fiber.waiting = false;
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = fiber.stack.data();
  fiber.context.uc_stack.ss_size = fiber.stack.size();
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, enter, 0);
}

void resume(unsigned thread) {
  current = fibers[thread], current->waiting = false, threadIdx = dim3(thread);
  swapcontext(&scheduler, &current->context);
}

void stop(const char* reason) {
  std::fprintf(stderr, "shim: %s in block %u\n", reason, blockIdx.x);
  std::abort();
}

void run_block(unsigned threads) {
  for (unsigned i = 0; i < threads; ++i) begin(*fibers[i]);
  static uint32_t dice = 1;
  for (bool left = true; left;) {
    const bool forward = (dice = dice * 1664525u + 1013904223u) >> 31;
    unsigned ended = 0, waiting = 0;
    for (unsigned i = 0; i < threads; ++i) resume(forward ? i : threads - 1 - i);
    for (unsigned i = 0; i < threads; ++i) ended += fibers[i]->ended, waiting += fibers[i]->waiting;
    if (ended != threads && waiting != threads) stop("some threads left a barrier to the others");
    left = waiting == threads;
  }
}

}  // namespace

cudaError_t run(const cudaLaunchConfig_t& config, const std::function<void()>& thread) {
  using maescan::cuda::kBytes, maescan::cuda::kGuard, maescan::cuda::shared_memory;
  const unsigned threads = config.blockDim.x;
  if (threads == 0 || threads > 1024 || config.gridDim.x == 0 || config.dynamicSmemBytes > kBytes)
    return cudaErrorInvalidConfiguration;
  while (fibers.size() < threads) fibers.push_back(new Fiber);
  blockDim = config.blockDim, gridDim = config.gridDim, body = &thread;
  auto* shared = reinterpret_cast<unsigned char*>(shared_memory);
  for (unsigned block = 0; block < config.gridDim.x; ++block) {
    blockIdx = dim3(block);
    std::memset(shared, kRubbish, kBytes + kGuard);
    run_block(threads);
    for (size_t i = config.dynamicSmemBytes; i < kBytes + kGuard; ++i)
      if (shared[i] != kRubbish) stop("wrote beyond the shared memory asked for");
  }
  return cudaSuccess;
}

}  // namespace shim

void __syncthreads() {
  shim::current->waiting = true;
  swapcontext(&shim::current->context, &shim::scheduler);
}

cudaError_t cudaGetLastError() { return cudaSuccess; }
const char* cudaGetErrorString(cudaError_t) { return "the launch has an invalid configuration"; }

cudaError_t cudaGetDevice(int* device) { return *device = 0, cudaSuccess; }

cudaError_t cudaSetDevice(int) { return cudaSuccess; }
