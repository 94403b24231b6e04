target_sources(mneme_engine PRIVATE
  device.cpp
  evaluate.cpp
  preflight.cpp
  row_prefetch.cpp
  run.cpp
  train_step.cpp
  trainer.cpp)
