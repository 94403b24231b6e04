# Whole training runs: the promises end to end.
mneme_test(trainer_test DEVICES
  SOURCES
    row_prefetch_test.cpp
    trainer_changes_test.cpp
    trainer_ends_test.cpp
    trainer_extension_test.cpp
    trainer_resume_test.cpp
    trainer_tiering_test.cpp
    trainer_validation_test.cpp
  LIBRARIES mneme_engine nlohmann_json::nlohmann_json)
