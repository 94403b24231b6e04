// What the tests of this folder share: the backend under test, arrays in and out of device memory,
// seeded random numbers, relative errors, and a directory that goes away.
#pragma once

#include <stdlib.h>

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "io/error.h"
#include "kernels/backend.h"
#include "kernels/device_array.h"
#include "tests/support/test_backend.h"

namespace mneme::test {

using mneme::testing::make_test_backend;
using mneme::testing::test_backend;

class ScratchDirectory {
 public:
  ScratchDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "mneme_memory_XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) io::fail("{}: cannot make a directory", pattern);
    path_ = pattern;
  }
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;
  ~ScratchDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// Numbers on a device, filled from and read back into host vectors of any number type.
template <typename T>
class Uploaded {
 public:
  template <typename Source>
  Uploaded(kernels::Backend& backend, kernels::Stream& stream, const std::vector<Source>& source)
      : Uploaded(backend, source.size()) {
    const auto staging = kernels::pinned_array<T>(backend, array_.count());
    for (std::size_t i = 0; i < source.size(); ++i) {
      staging.data()[i] = static_cast<T>(source[i]);
    }
    backend.copy(stream, array_.data(), staging.data(), source.size() * sizeof(T));
    stream.synchronize();
  }
  Uploaded(kernels::Backend& backend, std::size_t count)
      : backend_(&backend), array_(backend, static_cast<std::int64_t>(count)) {}

  T* data() const { return array_.data(); }
  std::vector<T> read(kernels::Stream& stream) const {
    return read_device(*backend_, stream, array_.data(), static_cast<std::size_t>(array_.count()));
  }
  static std::vector<T> read_device(kernels::Backend& backend, kernels::Stream& stream,
                                    const T* data, std::size_t count) {
    const auto staging = kernels::pinned_array<T>(backend, static_cast<std::int64_t>(count));
    backend.copy(stream, staging.data(), data, count * sizeof(T));
    stream.synchronize();
    return {staging.data(), staging.data() + count};
  }

 private:
  kernels::Backend* backend_;
  kernels::DeviceArray<T> array_;
};

// ||out - reference|| / ||reference||; the plain distance where the reference is zero. Sizes that
// differ and numbers that are not finite are infinitely wrong.
template <typename Out, typename Reference>
double relative_error(const Out& out, const Reference& reference) {
  if (out.size() != reference.size()) return std::numeric_limits<double>::infinity();
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < out.size(); ++i) {
    const double delta = static_cast<double>(out[i]) - static_cast<double>(reference[i]);
    difference += delta * delta;
    norm += static_cast<double>(reference[i]) * static_cast<double>(reference[i]);
  }
  if (!std::isfinite(difference)) return std::numeric_limits<double>::infinity();
  return norm > 0 ? std::sqrt(difference / norm) : std::sqrt(difference);
}

// Normal numbers that float32 holds exactly.
inline std::vector<double> random_tensor(std::mt19937_64& random, std::int64_t count,
                                         double standard_deviation) {
  std::normal_distribution<double> normal(0, standard_deviation);
  std::vector<double> out(static_cast<std::size_t>(count));
  for (double& x : out) x = static_cast<float>(normal(random));
  return out;
}

// The learning rate of the golden files, which they leave to be inferred: linear warm-up to 1 at
// step `warmup`, then linear decay to min_ratio at step `steps`.
inline double warmup_linear_decay(std::uint64_t step, double warmup, double steps,
                                  double min_ratio) {
  const auto s = static_cast<double>(step);
  if (s <= warmup) return s / warmup;
  if (s >= steps) return min_ratio;
  return 1 + (min_ratio - 1) * (s - warmup) / (steps - warmup);
}

}  // namespace mneme::test
