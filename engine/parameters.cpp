#include "engine/parameters.h"

#include <xxhash.h>

#include <algorithm>
#include <cstring>

#include "io/check.h"
#include "io/error.h"
#include "io/progress.h"
#include "kernels/convert.h"
#include "kernels/scalar.h"

namespace mneme::engine {
namespace {

constexpr std::int64_t kAlignment = 16;           // floats: one cache line
constexpr std::int64_t kStagingFloats = 1 << 20;  // 4 MiB

std::int64_t aligned(std::int64_t count) {
  return (count + kAlignment - 1) / kAlignment * kAlignment;
}

// The order of the layout; equals are in order of declaration.
int layout_key(const ParameterDeclaration& declaration) {
  return (declaration.decays() ? 0 : 2) + (declaration.group == ParameterGroup::kMemory ? 1 : 0);
}

// Elements first .. first + out.size() - 1 of a parameter's initial value; first is a multiple
// of 4. Four elements come from one Philox block with key seed and counter (element / 4, hash of
// the name), so that adding or reordering parameters changes nobody else's values.
void fill_initial(const ParameterInit& init, std::uint64_t name_hash, std::uint64_t seed,
                  std::int64_t first, std::span<float> out) {
  if (init.kind == InitKind::kZeros || init.kind == InitKind::kOnes) {
    std::fill(out.begin(), out.end(), init.kind == InitKind::kOnes ? 1.0f : 0.0f);
    return;
  }
  const float scale = static_cast<float>(init.scale);
  for (std::size_t i = 0; i < out.size(); i += 4) {
    const std::uint64_t group = (static_cast<std::uint64_t>(first) + i) / 4;
    const kernels::PhiloxBlock random = kernels::philox4x32_10(
        {{static_cast<std::uint32_t>(group), static_cast<std::uint32_t>(group >> 32),
          static_cast<std::uint32_t>(name_hash), static_cast<std::uint32_t>(name_hash >> 32)}},
        static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32));
    float unit[4];
    if (init.kind == InitKind::kNormal) {
      const kernels::NormalPair a = kernels::normal_pair(random.v[0], random.v[1]);
      const kernels::NormalPair b = kernels::normal_pair(random.v[2], random.v[3]);
      unit[0] = a.first, unit[1] = a.second, unit[2] = b.first, unit[3] = b.second;
    } else {
      // The upper 24 bits, centred in their interval: symmetric, and never exactly -1 or 1.
      for (int j = 0; j < 4; ++j) {
        unit[j] = (static_cast<float>(random.v[j] >> 8) + 0.5f) * 0x1p-23f - 1.0f;
      }
    }
    const std::size_t count = std::min<std::size_t>(4, out.size() - i);
    for (std::size_t j = 0; j < count; ++j) out[i + j] = scale * unit[j];
  }
}

}  // namespace

std::int64_t ParameterDeclaration::count() const {
  std::int64_t product = 1;
  for (const std::int64_t extent : shape) product *= extent;
  return product;
}

std::int64_t Parameters::buffer_floats(std::span<const ParameterDeclaration> declarations) {
  std::int64_t floats = 0;
  for (const ParameterDeclaration& declaration : declarations) {
    floats += aligned(declaration.count());
  }
  return floats;
}

Parameters::Parameters(kernels::Backend& backend, std::vector<ParameterDeclaration> declarations)
    : backend_(backend), compute_type_(backend.compute_type()) {
  const std::int64_t floats = buffer_floats(declarations);
  std::stable_sort(declarations.begin(), declarations.end(),
                   [](const auto& a, const auto& b) { return layout_key(a) < layout_key(b); });
  for (ParameterDeclaration& declaration : declarations) {
    const bool decays = declaration.decays();
    if (ranges_.empty() || ranges_.back().decays != decays) {
      ranges_.push_back({.offset = size_, .count = 0, .decays = decays});
    }
    const std::int64_t count = declaration.count();
    const bool fresh = index_.emplace(declaration.name, directory_.size()).second;
    CHECK(fresh, "parameter {} is declared twice", declaration.name);
    directory_.push_back({std::move(declaration), size_, count});
    parameter_count_ += count;
    size_ += aligned(count);
    ranges_.back().count += aligned(count);
  }
  CHECK(size_ == floats);
  const std::size_t bytes = static_cast<std::size_t>(size_) * sizeof(float);
  for (kernels::Buffer& buffer : buffers_) {
    buffer = backend.allocate(bytes, kernels::MemoryKind::kDevice);
  }
  for (const ParameterRange& range : ranges_) {
    if (range.decays) weights_size_ = range.offset + range.count;
  }
  if (compute_type_ != kernels::FloatType::kF32) {
    weights_ = backend.allocate(
        static_cast<std::size_t>(weights_size_) * kernels::float_type_bytes(compute_type_),
        kernels::MemoryKind::kDevice);
  }
  staging_ = backend.allocate(kStagingFloats * sizeof(float), kernels::MemoryKind::kPinnedHost);
}

const Parameter& Parameters::find(std::string_view name) const {
  const auto found = index_.find(name);
  if (found == index_.end()) {
    io::fail("this model has no parameter {}; check that the configuration fits the weights", name);
  }
  return directory_[found->second];
}

bool Parameters::contains(std::string_view name) const {
  return index_.find(name) != index_.end();
}

std::uint64_t Parameters::device_bytes() const {
  std::uint64_t bytes = weights_.bytes();
  for (const kernels::Buffer& buffer : buffers_) bytes += buffer.bytes();
  return bytes;
}

float* Parameters::data(ParameterBuffer which) const {
  return buffers_[static_cast<int>(which)].as<float>();
}

float* Parameters::value(std::string_view name) const {
  return data(ParameterBuffer::kValues) + find(name).offset;
}

float* Parameters::gradient(std::string_view name) const {
  return data(ParameterBuffer::kGradients) + find(name).offset;
}

const void* Parameters::weight(std::string_view name) const {
  const Parameter& parameter = find(name);
  CHECK(parameter.declaration.decays(), "{} is no weight", name);
  if (compute_type_ == kernels::FloatType::kF32) return value(name);
  return weights_.as<std::byte>() +
         static_cast<std::size_t>(parameter.offset) * kernels::float_type_bytes(compute_type_);
}

void Parameters::update_weights(kernels::Stream& stream) {
  if (weights_current_) return;
  weights_current_ = true;
  kernels::converted(backend_, stream, data(ParameterBuffer::kValues), weights_size_, compute_type_,
                     weights_.as<void>());
}

void Parameters::initialize(kernels::Stream& stream, std::uint64_t seed) {
  values_changed();
  stream.synchronize();
  io::Phase phase("drawing the weights", static_cast<std::uint64_t>(parameter_count()),
                  "parameters");
  for (const Parameter& parameter : directory_) {
    const std::string& name = parameter.declaration.name;
    const std::uint64_t name_hash = XXH3_64bits(name.data(), name.size());
    float* target = data(ParameterBuffer::kValues) + parameter.offset;
    for (std::int64_t first = 0; first < parameter.count; first += kStagingFloats) {
      const auto count =
          static_cast<std::size_t>(std::min(kStagingFloats, parameter.count - first));
      fill_initial(parameter.declaration.init, name_hash, seed, first,
                   {staging_.as<float>(), count});
      backend_.copy(stream, target + first, staging_.as<float>(), count * sizeof(float));
      stream.synchronize();
      phase.add(count);
    }
  }
  for (const ParameterBuffer which :
       {ParameterBuffer::kGradients, ParameterBuffer::kMoment1, ParameterBuffer::kMoment2}) {
    backend_.zero(stream, data(which), static_cast<std::size_t>(size_) * sizeof(float));
  }
  stream.synchronize();
}

void Parameters::zero_gradients(kernels::Stream& stream) {
  backend_.zero(stream, data(ParameterBuffer::kGradients),
                static_cast<std::size_t>(size_) * sizeof(float));
}

std::vector<float> Parameters::read(kernels::Stream& stream, ParameterBuffer which,
                                    const Parameter& parameter) const {
  std::vector<float> out(static_cast<std::size_t>(parameter.count));
  const float* source = data(which) + parameter.offset;
  for (std::int64_t first = 0; first < parameter.count; first += kStagingFloats) {
    const auto bytes =
        static_cast<std::size_t>(std::min(kStagingFloats, parameter.count - first)) * sizeof(float);
    backend_.copy(stream, staging_.as<float>(), source + first, bytes);
    stream.synchronize();
    std::memcpy(out.data() + first, staging_.as<float>(), bytes);
  }
  return out;
}

void Parameters::write(kernels::Stream& stream, ParameterBuffer which, const Parameter& parameter,
                       std::span<const float> values) {
  CHECK(static_cast<std::int64_t>(values.size()) == parameter.count, "{} values for {} of {}",
        values.size(), parameter.declaration.name, parameter.count);
  if (which == ParameterBuffer::kValues) values_changed();
  float* target = data(which) + parameter.offset;
  for (std::int64_t first = 0; first < parameter.count; first += kStagingFloats) {
    const auto bytes =
        static_cast<std::size_t>(std::min(kStagingFloats, parameter.count - first)) * sizeof(float);
    std::memcpy(staging_.as<float>(), values.data() + first, bytes);
    backend_.copy(stream, target + first, staging_.as<float>(), bytes);
    stream.synchronize();
  }
}

}  // namespace mneme::engine
