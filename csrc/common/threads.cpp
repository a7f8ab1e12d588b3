#include "threads.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>

namespace maescan {
namespace {

// Tells the processor that this thread spins.
void relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
  asm volatile("yield");
#endif
}

struct Job {
  void (*run)(const void*, int64_t);
  const void* context;
  int64_t chunks;
  std::atomic<int64_t> next{0}, done{0};
  std::mutex mutex;
  std::condition_variable finished;
  std::exception_ptr error;

  // Works until no chunk is left; whoever completes the last one wakes the caller.
  void work() {
    for (int64_t chunk; (chunk = next.fetch_add(1)) < chunks;) {
      try {
        run(context, chunk);
      } catch (...) {
        std::lock_guard<std::mutex> lock(mutex);
        error = std::current_exception();
      }
      if (done.fetch_add(1) + 1 == chunks) {
        std::lock_guard<std::mutex> lock(mutex);
        finished.notify_all();
      }
    }
  }

  void wait() {
    for (int spin = 0; spin < 2000 && done.load() < chunks; ++spin) relax();
    std::unique_lock<std::mutex> lock(mutex);
    finished.wait(lock, [this] { return done.load() == chunks; });
    if (error) std::rethrow_exception(error);
  }
};

class Pool {
 public:
  // A ticket is one thread's invitation; the caller works too, so a busy pool delays a job but cannot block it, and a
  // helper that cannot be started (the process may have no more threads) is done without.
  void invite(const std::shared_ptr<Job>& job, int helpers) {
    std::lock_guard<std::mutex> lock(mutex_);
    try {
      for (; workers_ < helpers; ++workers_) std::thread([this] { serve(); }).detach();
    } catch (const std::system_error&) {
      helpers = workers_;
    }
    tickets_.insert(tickets_.end(), helpers, job);
    for (int i = 0; i < helpers; ++i) waiting_.notify_one();
  }

 private:
  void serve() {
    for (;;) {
      std::unique_lock<std::mutex> lock(mutex_);
      waiting_.wait(lock, [this] { return !tickets_.empty(); });
      const std::shared_ptr<Job> job = tickets_.front();
      tickets_.pop_front();
      lock.unlock();
      job->work();
    }
  }

  std::mutex mutex_;
  std::condition_variable waiting_;
  std::deque<std::shared_ptr<Job>> tickets_;
  int workers_ = 0;
};

Pool* pool = nullptr;

// Never destroyed: its threads may be waiting while the process exits. A forked child has none of them, so it starts
// a pool of its own.
Pool& the_pool() {
  static std::once_flag once;
  std::call_once(once, [] {
    pool = new Pool;
    pthread_atfork(nullptr, nullptr, [] { pool = new Pool; });
  });
  return *pool;
}

struct Buffers {
  void* data[4] = {};
  size_t bytes[4] = {};
  ~Buffers() {
    for (void* each : data) std::free(each);
  }
};

}  // namespace

void run_chunks(int64_t chunks, int threads, void (*run)(const void*, int64_t), const void* context) {
  const int helpers = static_cast<int>(std::min<int64_t>(threads, chunks)) - 1;
  if (helpers < 1) {
    for (int64_t chunk = 0; chunk < chunks; ++chunk) run(context, chunk);
    return;
  }
  const auto job = std::make_shared<Job>();
  job->run = run, job->context = context, job->chunks = chunks;
  the_pool().invite(job, helpers);
  job->work();
  job->wait();
}

void* scratch(int slot, size_t bytes) {
  thread_local Buffers buffers;
  if (buffers.bytes[slot] < bytes) {
    const size_t rounded = (bytes + 63) / 64 * 64;
    std::free(buffers.data[slot]);
    buffers.data[slot] = std::aligned_alloc(64, rounded);
    buffers.bytes[slot] = buffers.data[slot] ? rounded : 0;
    if (!buffers.data[slot]) throw std::bad_alloc();
  }
  return buffers.data[slot];
}

}  // namespace maescan
