// What memory layers and PEER layers have in common as parts of a block: the binding of their
// parameters, and the sum of their output and the stream.
#pragma once

#include <string>
#include <vector>

#include "engine/block_part.h"
#include "engine/model_options.h"
#include "memory/memory_layer.h"
#include "memory/table_layer.h"

namespace mneme::engine {

class TablePart : public BlockPart {
 public:
  virtual const memory::TableLayer& layer() const = 0;
  memory::ProductKeyParameters key_side() const { return parameters_.key_side(); }

  std::size_t scratch_bytes() const final;
  void forward(const PartCall& call, const void* x, float* out) final;

 protected:
  // prefix: "layers.N.memory"; parameters prefix + ".keys" and so on. What is not declared is null.
  TablePart(kernels::Backend& backend, const ModelOptions& options, const Parameters& parameters,
            const std::string& prefix);
  // The layer's forward pass. out: [tokens, C], overwritten.
  virtual void run(const PartCall& call, const void* x, float* out) = 0;
  // Of block `block`.
  static memory::TableLayerOptions layer_options(const ModelOptions& options, std::int64_t block);

  memory::MemoryLayerParameters parameters_;
  memory::MemoryLayerParameters gradients_;

 private:
  kernels::Backend& backend_;
  std::int64_t tokens_, width_;
};

// Declares the parameters of a layer's keys, named prefix + ".keys" and so on: all of a PEER layer.
std::vector<ParameterDeclaration> declare_key_parameters(const memory::TableLayerOptions& options,
                                                         const std::string& prefix);

}  // namespace mneme::engine
