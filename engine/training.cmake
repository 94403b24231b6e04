target_sources(mneme_engine PRIVATE
  evaluate.cpp
  row_prefetch.cpp
  run.cpp
  trainer.cpp)
