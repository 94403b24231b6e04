#include "tools/mneme/out_of_memory.h"

#include <unistd.h>

#include <atomic>
#include <cstring>
#include <exception>
#include <initializer_list>
#include <new>

namespace mneme::tools {
namespace {

std::terminate_handler abort_for_bugs = nullptr;
std::atomic<bool> ran_out{false};
std::atomic<bool> is_told{false};

// Whether the exception that nobody catches is one for want of memory. Some functions of the
// library that must not throw end the program without saying what was thrown.
bool lacks_memory() {
  const std::exception_ptr thrown = std::current_exception();
  if (!thrown) return ran_out;
  try {
    std::rethrow_exception(thrown);
  } catch (const std::bad_alloc&) {
    return true;
  } catch (...) {
    return false;
  }
}

[[noreturn]] void end() {
  if (!lacks_memory()) {
    abort_for_bugs();
    __builtin_unreachable();
  }
  // Nothing here may ask for memory. Several threads may come here, or the program's end has told.
  if (!tell_out_of_memory()) {
    ::usleep(100'000);  // until the line is written
    ::_exit(1);
  }
  for (const char* part : {"error: ", kOutOfMemory, "\n"}) {
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, part, std::strlen(part));
  }
  ::_exit(1);
}

}  // namespace

void end_when_out_of_memory() {
  abort_for_bugs = std::set_terminate(end);
  std::set_new_handler([] {
    ran_out = true;
    throw std::bad_alloc();
  });
}

bool tell_out_of_memory() {
  return !is_told.exchange(true);
}

bool has_run_out_of_memory() {
  return ran_out;
}

}  // namespace mneme::tools
