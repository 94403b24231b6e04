// A memory layer as a part of a block.
#pragma once

#include <string>
#include <vector>

#include "engine/table_part.h"
#include "memory/memory_layer.h"

namespace mneme::engine {

class MemoryPart : public TablePart {
 public:
  // block: the part's block, N; prefix: "layers.N.memory". table must outlive the part.
  MemoryPart(kernels::Backend& backend, const ModelOptions& options, const Parameters& parameters,
             memory::ValueTable& table, std::int64_t block, const std::string& prefix);

  const memory::TableLayer& layer() const override { return layer_; }
  void backward(const PartCall& call, const float* d_out, float* d_x) override;

 private:
  void run(const PartCall& call, const void* x, float* out) override;

  memory::MemoryLayer layer_;
};

// Declares the parameters of a memory layer, named prefix + ".keys" and so on, for the options.
std::vector<ParameterDeclaration> declare_memory_parameters(
    const memory::TableLayerOptions& options, const std::string& prefix);

}  // namespace mneme::engine
