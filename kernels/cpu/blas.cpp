#include "kernels/cpu/blas.h"

#include <cblas.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <mutex>
#include <string_view>
#include <vector>

#include "io/check.h"
#include "io/error.h"

// OpenBLAS exports its allocator of work buffers and the start of its threads, without a header.
extern "C" {
void* blas_memory_alloc(int position);
void blas_memory_free(void* buffer);
// Takes the place of the library's own function, which its constructor calls: no threads, and no
// products that would wait for them.
[[gnu::visibility("default")]] int blas_thread_init() {
  static bool entered = false;  // setting the number calls this function, too
  if (!entered) {
    entered = true;
    openblas_set_num_threads(1);
  }
  return 0;
}
}

namespace mneme::kernels::cpu {
namespace {

// Twice what the library's buffers have on x86-64 (128 MiB), for what other threads take meanwhile.
constexpr std::size_t kProbeBytes = std::size_t{256} << 20;

struct Pool {
  std::mutex mutex;
  int callers = 0;  // of all living BlasCallers
  int buffers = 0;  // that the library has; it never gives one back
};

Pool& pool() {
  static Pool instance;
  return instance;
}

// Whether the system would give the library another buffer, which is mapped the same way.
bool has_room() {
  void* const probe =
      mmap(nullptr, kProbeBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (probe == MAP_FAILED) return false;
  CHECK(munmap(probe, kProbeBytes) == 0);
  return true;
}

// Takes `wanted` buffers at once, so that the library makes those that it lacks, and returns them.
// The number it has then.
int make_buffers(int wanted) {
  std::vector<void*> taken;
  taken.reserve(static_cast<std::size_t>(wanted));
  while (static_cast<int>(taken.size()) < wanted && has_room()) {
    taken.push_back(blas_memory_alloc(0));
    CHECK(taken.back() != nullptr, "OpenBLAS has no buffer for {} callers", wanted);
  }
  for (void* const buffer : taken) blas_memory_free(buffer);
  return static_cast<int>(taken.size());
}

}  // namespace

int most_blas_callers() {
  // As in memory.c of OpenBLAS.
  constexpr int kFewest = 50;
  constexpr std::string_view kName = "MAX_THREADS=";
  const std::string_view build = openblas_get_config();
  const std::size_t at = build.find(kName);
  if (at == std::string_view::npos) return kFewest;
  return std::max(kFewest, 2 * std::atoi(build.data() + at + kName.size()));
}

BlasCallers::BlasCallers(int threads) : threads_(threads) {
  Pool& buffers = pool();
  const std::lock_guard lock(buffers.mutex);
  openblas_set_num_threads(1);  // for a library that was linked to call its own functions only
  const int wanted = buffers.callers + threads;
  if (wanted > most_blas_callers()) {
    io::fail(
        "{} threads of all streams would multiply matrices at once, and OpenBLAS has buffers for "
        "at most {}; lower run.threads",
        wanted, most_blas_callers());
  }
  if (wanted > buffers.buffers) buffers.buffers = std::max(buffers.buffers, make_buffers(wanted));
  if (wanted > buffers.buffers) {
    io::fail(
        "out of memory: no address space for the {} buffers of 128 MiB that OpenBLAS needs, one a "
        "thread; raise the limit (ulimit -v) or lower run.threads",
        wanted);
  }
  buffers.callers = wanted;
}

BlasCallers::~BlasCallers() {
  const std::lock_guard lock(pool().mutex);
  pool().callers -= threads_;
}

}  // namespace mneme::kernels::cpu
