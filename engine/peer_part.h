// A PEER layer as a part of a block.
#pragma once

#include <string>

#include "engine/table_part.h"
#include "memory/peer_layer.h"

namespace mneme::engine {

class PeerPart : public TablePart {
 public:
  // block: the part's block, N; prefix: "layers.N.memory". table must outlive the part.
  PeerPart(kernels::Backend& backend, const ModelOptions& options, const Parameters& parameters,
           memory::ValueTable& table, std::int64_t block, const std::string& prefix);

  const memory::TableLayer& layer() const override { return layer_; }
  void backward(const PartCall& call, const float* d_out, float* d_x) override;

 private:
  void run(const PartCall& call, const void* x, float* out) override;

  memory::PeerLayer layer_;
};

}  // namespace mneme::engine
