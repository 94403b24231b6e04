#include "tools/mneme/process_limits.h"

#include <pthread.h>
#include <sys/resource.h>

#include <cstddef>

#include "io/check.h"

namespace mneme::tools {
namespace {

constexpr std::size_t kLeastStackBytes = std::size_t{1} << 20;

}  // namespace

void lift_process_limits() {
  rlimit files = {};
  CHECK(getrlimit(RLIMIT_NOFILE, &files) == 0);
  if (files.rlim_cur < files.rlim_max) {
    files.rlim_cur = files.rlim_max;
    // Where even this is refused, the limit stays, and opening one file too many is an error.
    static_cast<void>(setrlimit(RLIMIT_NOFILE, &files));
  }
  pthread_attr_t threads;
  std::size_t stack_bytes = 0;
  CHECK(pthread_getattr_default_np(&threads) == 0);
  CHECK(pthread_attr_getstacksize(&threads, &stack_bytes) == 0);
  if (stack_bytes < kLeastStackBytes) {
    CHECK(pthread_attr_setstacksize(&threads, kLeastStackBytes) == 0);
    CHECK(pthread_setattr_default_np(&threads) == 0);
  }
  CHECK(pthread_attr_destroy(&threads) == 0);
}

}  // namespace mneme::tools
