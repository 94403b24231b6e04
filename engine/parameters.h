// The dense parameters of a model: values, gradients and both Adam moments, each in one flat device
// buffer of the same layout, so that norm, clipping and AdamW are a few operations over long
// ranges. A directory says where each named parameter lies. The value table's rows are not here.
//
// Layout: those that decay come first, and of either kind the transformer's before the memory
// layers'; each starts at a multiple of 16 floats, and the padding between them stays zero in
// every buffer. The checksum of a dense checkpoint goes by this order. Weight decay follows one
// rule: what has two or more dimensions decays (Linear weights, embeddings, half-keys), vectors
// (norm gains, biases) do not.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/backend.h"

namespace mneme::engine {

// What a parameter belongs to; decides about its place in the layout alone.
enum class ParameterGroup { kTransformer, kMemory };

enum class InitKind {
  kZeros,
  kOnes,
  kNormal,   // N(0, scale)
  kUniform,  // U(-scale, scale)
};
struct ParameterInit {
  InitKind kind = InitKind::kZeros;
  double scale = 0;
};

struct ParameterDeclaration {
  std::string name;  // "layers.0.attention.wq.weight"
  std::vector<std::int64_t> shape;
  ParameterInit init;
  ParameterGroup group = ParameterGroup::kTransformer;

  std::int64_t count() const;
  bool decays() const { return shape.size() >= 2; }
};

// A declared parameter and its place, in floats from the start of each buffer.
struct Parameter {
  ParameterDeclaration declaration;
  std::int64_t offset = 0;
  std::int64_t count = 0;
};

// A stretch of the buffers with equal optimiser settings, padding included.
struct ParameterRange {
  std::int64_t offset = 0;
  std::int64_t count = 0;
  bool decays = false;
};

enum class ParameterBuffer { kValues, kGradients, kMoment1, kMoment2 };

class Parameters {
 public:
  // All buffers are zero after construction. Throws Error when the device has too little memory.
  // REQUIRES: names are distinct. The backend must outlive the object.
  Parameters(kernels::Backend& backend, std::vector<ParameterDeclaration> declarations);

  // Floats that one buffer of such parameters has, padding included.
  static std::int64_t buffer_floats(std::span<const ParameterDeclaration> declarations);

  // In the order of the layout.
  const std::vector<Parameter>& directory() const { return directory_; }
  const std::vector<ParameterRange>& ranges() const { return ranges_; }
  // Throws Error when there is no such parameter.
  const Parameter& find(std::string_view name) const;
  bool contains(std::string_view name) const;
  // Floats in each buffer, padding included; and of the parameters alone.
  std::int64_t size() const { return size_; }
  std::int64_t parameter_count() const { return parameter_count_; }
  // Of all buffers on the device, the copy of the weights included.
  std::uint64_t device_bytes() const;

  // Device pointers to whole buffers, [size()], and to one parameter's part of them.
  float* data(ParameterBuffer which) const;
  float* value(std::string_view name) const;
  float* gradient(std::string_view name) const;
  // The parameter's place in the copy of the weights that matrix products read, in the backend's
  // compute type; the value itself where that is float32. REQUIRES: it decays.
  const void* weight(std::string_view name) const;
  // Queues the update of that copy from the values where they have changed since the last one.
  void update_weights(kernels::Stream& stream);
  // To be told by who writes to data(kValues).
  void values_changed() { weights_current_ = false; }

  // Sets the values from their declared distributions: element i of a parameter is a pure function
  // of (seed, name, i). Moments and gradients become zero. Synchronises the stream.
  void initialize(kernels::Stream& stream, std::uint64_t seed);
  void zero_gradients(kernels::Stream& stream);

  // Copies one parameter's part of a buffer from or to the device. Synchronises the stream.
  std::vector<float> read(kernels::Stream& stream, ParameterBuffer which,
                          const Parameter& parameter) const;
  // REQUIRES: values.size() == parameter.count.
  void write(kernels::Stream& stream, ParameterBuffer which, const Parameter& parameter,
             std::span<const float> values);

 private:
  kernels::Backend& backend_;
  std::vector<Parameter> directory_;
  std::vector<ParameterRange> ranges_;
  std::map<std::string, std::size_t, std::less<>> index_;
  std::int64_t size_ = 0;
  std::int64_t parameter_count_ = 0;
  kernels::Buffer buffers_[4];
  kernels::FloatType compute_type_;
  kernels::Buffer weights_;  // [size of the ranges that decay], where it is not float32
  std::int64_t weights_size_ = 0;
  bool weights_current_ = false;
  kernels::Buffer staging_;  // pinned
};

}  // namespace mneme::engine
