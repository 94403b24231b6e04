// The inside of the library: counts the calls of the interposed functions and tells which of them
// suffers what. It allocates nothing, for it stands inside of malloc() as well.
#pragma once

#include <cerrno>
#include <cstdint>
#include <type_traits>

#include "tests/fault_injection/functions.h"

namespace mneme::test {

// Where a call's file is known from.
class CallPath {
 public:
  static CallPath none() { return {}; }
  static CallPath named(const char* path) { return CallPath(path, -1); }
  static CallPath of_descriptor(int descriptor) { return CallPath(nullptr, descriptor); }

  // Writes the path to `out`, cut off where it is too long; "-" where there is none.
  void read(char* out, std::size_t bytes) const;

 private:
  CallPath() = default;
  CallPath(const char* path, int descriptor) : path_(path), descriptor_(descriptor) {}

  const char* path_ = nullptr;
  int descriptor_ = -1;
};

// What happens to one call.
struct Verdict {
  int error = 0;                // the call is not made, and fails with this errno value
  bool short_transfer = false;  // it moves a part of its bytes
  bool signal_after = false;    // pass its end to end_call()
};

// Counts `calls` calls of a function (a ring submits many transfers in one call). Raises a signal
// that is due before the call.
Verdict begin_call(Function function, CallPath path, std::uint64_t calls = 1);
// Raises the signal that is due after the call.
void end_call();

// Makes a call that fails by returning `failed` and setting errno.
template <typename Call>
std::invoke_result_t<Call> pass(Function function, CallPath path, std::invoke_result_t<Call> failed,
                                Call call) {
  const Verdict verdict = begin_call(function, path);
  if (verdict.error != 0) {
    errno = verdict.error;
    return failed;
  }
  const auto result = call();
  if (verdict.signal_after) end_call();
  return result;
}

// The function that the library stands before, by its name.
void* next_function(const char* name);

}  // namespace mneme::test

// The real function of a name, looked up once.
#define MNEME_NEXT(name)                                            \
  (reinterpret_cast<decltype(&::name)>([] {                         \
    static void* const found = ::mneme::test::next_function(#name); \
    return found;                                                   \
  }()))
