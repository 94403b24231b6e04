# Whole training runs: the promises end to end.
mneme_test(trainer_test DEVICES COST 300
  SOURCES
    link_budget_test.cpp
    row_prefetch_test.cpp
    trainer_background_test.cpp
    trainer_books_test.cpp
    trainer_documents_test.cpp
    trainer_gradient_test.cpp
    trainer_resume_test.cpp
    trainer_tiering_test.cpp
    trainer_trace_test.cpp
    trainer_validation_test.cpp
  LIBRARIES mneme_tiny_run mneme_replay nlohmann_json::nlohmann_json)
mneme_test(trainer_kinds_test DEVICES COST 60
  SOURCES trainer_kinds_test.cpp
  LIBRARIES mneme_tiny_run mneme_replay)
mneme_test(trainer_replay_test
  SOURCES trainer_replay_test.cpp
  LIBRARIES mneme_tiny_run mneme_replay)
# What a run leaves on its disks, how it ends and how it may be changed: the device does not matter.
mneme_test(trainer_files_test
  SOURCES
    open_metrics_test.cpp
    prefetch_trial_test.cpp
    trainer_changes_test.cpp
    trainer_disks_test.cpp
    trainer_ends_test.cpp
    trainer_extension_test.cpp
  LIBRARIES mneme_tiny_run nlohmann_json::nlohmann_json)
mneme_test(trainer_tokenizer_test SOURCES trainer_tokenizer_test.cpp
           LIBRARIES mneme_tiny_run nlohmann_json::nlohmann_json)
if(TARGET mneme_cuda_emulated)
  mneme_test(step_counts_test SOURCES step_counts_test.cpp
             LIBRARIES mneme_tiny_run mneme_engine mneme_cuda_emulated mneme_cuda_emulator)
endif()
add_executable(hint_benchmark hint_benchmark.cpp)
target_link_libraries(hint_benchmark PRIVATE mneme_engine mneme_cuda fmt::fmt)
add_executable(checkpoint_benchmark checkpoint_benchmark.cpp)
target_link_libraries(checkpoint_benchmark PRIVATE mneme_engine mneme_cuda fmt::fmt)
