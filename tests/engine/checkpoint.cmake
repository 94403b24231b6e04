mneme_test(checkpoint_test DEVICES
  SOURCES checkpoint_test.cpp
  LIBRARIES mneme_engine)
# Files and locks: the device does not matter.
mneme_test(engine_run_directory_test
  SOURCES run_directory_test.cpp
  LIBRARIES mneme_tiny_run nlohmann_json::nlohmann_json)
# The states of a disk: the device does not matter.
mneme_test(row_table_file_test SOURCES row_table_file_test.cpp LIBRARIES mneme_engine)
mneme_test(large_table_campaign CAMPAIGN
  SOURCES large_table_campaign.cpp
  LIBRARIES mneme_engine)
mneme_test(engine_training_crash_test
  SOURCES training_crash_test.cpp
  LIBRARIES mneme_tiny_run nlohmann_json::nlohmann_json)
mneme_test(engine_training_crash_campaign CAMPAIGN COST 300
  SOURCES training_crash_campaign.cpp
  LIBRARIES mneme_tiny_run nlohmann_json::nlohmann_json)
# The kept runs name the CPU backend.
mneme_test(version1_test SOURCES version1_test.cpp
           LIBRARIES mneme_engine nlohmann_json::nlohmann_json)
# Of the CPU backend, whatever device there is.
mneme_test(engine_memory_use_test
  SOURCES memory_use_test.cpp tier_choice_test.cpp
  LIBRARIES mneme_tiny_run nlohmann_json::nlohmann_json)
