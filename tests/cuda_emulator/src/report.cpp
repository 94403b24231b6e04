#include "tests/cuda_emulator/src/report.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>

namespace emulator {

void die(const char* format, ...) {
  std::va_list arguments;
  va_start(arguments, format);
  std::fputs("CUDA emulator: ", stderr);
  std::vfprintf(stderr, format, arguments);
  std::fputc('\n', stderr);
  va_end(arguments);
  std::abort();
}

}  // namespace emulator
