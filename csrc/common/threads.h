// A pool of threads for loops whose chunks are independent, so that a result never depends on the thread count.
#pragma once

#include <cstddef>
#include <cstdint>

namespace maescan {

// Runs run(context, chunk) for every chunk in [0, chunks) on up to `threads` threads, the caller's among them.
void run_chunks(int64_t chunks, int threads, void (*run)(const void*, int64_t), const void* context);

// Memory of the calling thread, kept between calls, aligned to 64 bytes; a slot is one buffer.
void* scratch(int slot, size_t bytes);

template <class Body>
void parallel_for(int64_t chunks, int threads, const Body& body) {
  run_chunks(
      chunks, threads, [](const void* context, int64_t chunk) { (*static_cast<const Body*>(context))(chunk); },
      &body);
}

}  // namespace maescan
