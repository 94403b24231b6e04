// What long work throws when a signal has asked it to end before it is done. No Error: nothing went
// wrong, and the program ends with 128 + the signal's number.
#pragma once

#include <fmt/format.h>

#include <stdexcept>

namespace mneme::io {

class Interrupted : public std::runtime_error {
 public:
  explicit Interrupted(int signal)
      : std::runtime_error(fmt::format("stopped by signal {}", signal)), signal_(signal) {}

  int signal() const { return signal_; }

 private:
  int signal_;
};

}  // namespace mneme::io
