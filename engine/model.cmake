target_sources(mneme_engine PRIVATE
  attention.cpp
  batch_staging.cpp
  blocks.cpp
  feed_forward.cpp
  memory_part.cpp
  model.cpp
  model_options.cpp
  optimizer.cpp
  output_head.cpp
  parameters.cpp
  sampler.cpp)
target_link_libraries(mneme_engine PRIVATE PkgConfig::XXHASH)
