target_sources(mneme_engine PRIVATE
  device.cpp
  evaluate.cpp
  preflight.cpp
  row_prefetch.cpp
  run.cpp
  tier_advice.cpp
  train_step.cpp
  training_saves.cpp
  trainer.cpp)
# It alone needs a CUDA backend, which each program chooses by what it links.
set_source_files_properties(device.cpp PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
