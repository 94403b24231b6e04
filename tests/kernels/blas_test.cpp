// OpenBLAS has buffers for all that call it before they do, and no threads of its own.
#include "kernels/cpu/blas.h"

#include <cblas.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <iterator>

#include "io/error.h"
#include "kernels/backend.h"

namespace mneme::kernels::cpu {
namespace {

#if !defined(__SANITIZE_THREAD__)  // has a thread of its own
std::ptrdiff_t threads_of_this_process() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/task"),
                       std::filesystem::directory_iterator());
}

TEST(Blas, StartsNoThreads) {
  const std::ptrdiff_t before = threads_of_this_process();
  EXPECT_EQ(before, 1);
  EXPECT_EQ(openblas_get_num_threads(), 1);
  const BlasCallers callers(2);
  EXPECT_EQ(threads_of_this_process(), before);
}
#endif

TEST(Blas, HasBuffersForSoManyCallersAndNoMore) {
  const int most = most_blas_callers();
  EXPECT_GE(most, 50);
  EXPECT_THROW(BlasCallers(most + 1), io::Error);
  const BlasCallers some(2);
  EXPECT_THROW(BlasCallers(most - 1), io::Error);
  EXPECT_NO_THROW(BlasCallers(1));
}

TEST(Blas, ABackendWithMoreThreadsThanItServesIsRefused) {
  EXPECT_THROW(make_cpu_backend({.threads = most_blas_callers() + 1}), io::Error);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // they map terabytes
// Ends the process: 0 when the callers are refused.
void ask_for_callers_in_little_address_space() {
  rlimit limit = {};
  limit.rlim_cur = limit.rlim_max = std::size_t{300} << 20;
  if (setrlimit(RLIMIT_AS, &limit) != 0) _exit(2);
  try {
    const BlasCallers callers(8);
  } catch (const io::Error&) {
    _exit(0);
  }
  _exit(1);
}

TEST(BlasDeathTest, WithoutAddressSpaceIsAnError) {
  EXPECT_EXIT(ask_for_callers_in_little_address_space(), testing::ExitedWithCode(0), "");
}
#endif

}  // namespace
}  // namespace mneme::kernels::cpu
