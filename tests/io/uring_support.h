// Tests that need io_uring skip, saying why, where the system refuses it; MNEME_REQUIRE=uring turns
// the skip into a failure.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <string_view>

#include "io/disk.h"
#include "io/error.h"
#include "tests/io/temporary_directory.h"

namespace mneme::test {

// Why io_uring cannot be used here, or "".
inline std::string uring_refusal() {
  TemporaryDirectory directory;
  io::OpenOptions options;
  options.create = true;
  options.engine = io::IoEngine::kUring;
  try {
    io::make_posix_disk()->open(directory.file("probe"), options);
  } catch (const io::Error& error) {
    return error.what();
  }
  return "";
}

inline bool uring_is_required() {
  const char* required = std::getenv("MNEME_REQUIRE");
  return required != nullptr && std::string_view(required).find("uring") != std::string_view::npos;
}

}  // namespace mneme::test

#define REQUIRE_URING_OR_SKIP()                                    \
  do {                                                             \
    const std::string refusal = ::mneme::test::uring_refusal();    \
    if (!refusal.empty()) {                                        \
      ASSERT_FALSE(::mneme::test::uring_is_required()) << refusal; \
      GTEST_SKIP() << refusal;                                     \
    }                                                              \
  } while (false)
