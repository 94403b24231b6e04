target_sources(mneme_engine PRIVATE
  attention.cpp
  block_kinds.cpp
  batch_staging.cpp
  blocks.cpp
  feed_forward.cpp
  memory_part.cpp
  peer_part.cpp
  model.cpp
  moe_part.cpp
  model_options.cpp
  optimizer.cpp
  output_head.cpp
  parameters.cpp
  sampler.cpp
  table_part.cpp)
target_link_libraries(mneme_engine PRIVATE PkgConfig::XXHASH)
