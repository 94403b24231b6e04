// A memory layer as a part of a block: binds its parameters and adds its output to the stream.
#pragma once

#include <string>

#include "engine/block_part.h"
#include "engine/model_options.h"
#include "memory/memory_layer.h"

namespace mneme::engine {

class MemoryPart : public BlockPart {
 public:
  // block: the part's block, N; prefix: "layers.N.memory"; parameters prefix + ".keys" and so on.
  // table must outlive the part.
  MemoryPart(kernels::Backend& backend, const ModelOptions& options, const Parameters& parameters,
             memory::ValueTable& table, std::int64_t block, const std::string& prefix);

  const memory::MemoryLayer& layer() const { return layer_; }
  memory::ProductKeyParameters key_side() const { return parameters_.key_side(); }

  std::size_t scratch_bytes() const override;
  void forward(const PartCall& call, const void* x, float* out) override;
  void backward(const PartCall& call, const float* d_out, float* d_x) override;

 private:
  kernels::Backend& backend_;
  std::int64_t tokens_, width_;
  memory::MemoryLayerParameters parameters_;
  memory::MemoryLayerParameters gradients_;
  memory::MemoryLayer layer_;
};

// Declares the parameters of a memory layer, named prefix + ".keys" and so on, for the options.
std::vector<ParameterDeclaration> declare_memory_parameters(
    const memory::TableLayerOptions& options, const std::string& prefix);

}  // namespace mneme::engine
