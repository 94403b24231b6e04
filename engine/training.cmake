target_sources(mneme_engine PRIVATE
  evaluate.cpp
  row_prefetch.cpp
  run.cpp
  train_step.cpp
  trainer.cpp)
