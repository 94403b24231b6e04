#include <emulator/call_counts.h>

#include <array>
#include <cstdio>
#include <cstdlib>

#include "tests/cuda_emulator/src/counters.h"

namespace emulator {
namespace {

struct Field {
  const char* name;
  std::uint64_t CallCounts::*value;
};

// In the order of Counter.
constexpr std::array<Field, std::size_t(Counter::kCounters)> kFields = {{
    {"launches", &CallCounts::launches},
    {"algorithms", &CallCounts::algorithms},
    {"products", &CallCounts::products},
    {"copies", &CallCounts::copies},
    {"copied_bytes", &CallCounts::copied_bytes},
    {"fills", &CallCounts::fills},
    {"synchronisations", &CallCounts::synchronisations},
    {"stream_waits", &CallCounts::stream_waits},
}};

std::array<std::atomic<std::uint64_t>, kFields.size()> counters;

void write_at_exit() {
  const char* path = std::getenv("MNEME_EMULATOR_COUNTS");
  std::FILE* file = std::fopen(path, "w");
  if (file == nullptr) return std::perror(path);
  std::fprintf(file, "%s\n", call_counts().json().c_str());
  std::fclose(file);
}

[[maybe_unused]] const bool asked_for = [] {
  if (std::getenv("MNEME_EMULATOR_COUNTS") == nullptr) return false;
  return std::atexit(write_at_exit) == 0;
}();

}  // namespace

void count(Counter counter, std::uint64_t by) {
  counters[std::size_t(counter)].fetch_add(by, std::memory_order_relaxed);
}

CallCounts call_counts() {
  CallCounts counts;
  for (std::size_t i = 0; i < kFields.size(); ++i) {
    counts.*kFields[i].value = counters[i].load(std::memory_order_relaxed);
  }
  return counts;
}

CallCounts CallCounts::since(const CallCounts& earlier) const {
  CallCounts counts;
  for (const Field& field : kFields) {
    counts.*field.value = this->*field.value - earlier.*field.value;
  }
  return counts;
}

std::string CallCounts::json() const {
  std::string text = "{";
  for (const Field& field : kFields) {
    text += text.size() == 1 ? "\"" : ", \"";
    text += std::string(field.name) + "\": " + std::to_string(this->*field.value);
  }
  return text + "}";
}

}  // namespace emulator
