target_sources(mneme_engine PRIVATE
  device.cpp
  evaluate.cpp
  preflight.cpp
  prefetch/hint_sender.cpp
  prefetch/history_replay.cpp
  prefetch/history_rows.cpp
  prefetch/link_budget.cpp
  prefetch/lookahead_rows.cpp
  prefetch/next_batch_rows.cpp
  prefetch/predictor_file.cpp
  prefetch/predictor_options.cpp
  prefetch/prefetch_trial.cpp
  prefetch/row_prefetch.cpp
  run.cpp
  run_tokenizer.cpp
  tier_advice.cpp
  train_step.cpp
  training_saves.cpp
  trainer.cpp)
# It alone needs a CUDA backend, which each program chooses by what it links.
set_source_files_properties(device.cpp PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
