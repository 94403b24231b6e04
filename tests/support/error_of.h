// The text of the Error that a call throws.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "io/error.h"

namespace mneme::testing {

// Empty when nothing was thrown. Checks that the text is one line.
template <typename Body>
std::string error_of(const Body& body) {
  try {
    body();
  } catch (const io::Error& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << "one line";
    return error.what();
  }
  return {};
}

}  // namespace mneme::testing
