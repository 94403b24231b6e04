mneme_test(checkpoint_test DEVICES
  SOURCES checkpoint_test.cpp checkpoint_crash_test.cpp
  LIBRARIES mneme_engine)
# Files and locks: the device does not matter.
mneme_test(engine_run_directory_test
  SOURCES run_directory_test.cpp
  LIBRARIES mneme_engine nlohmann_json::nlohmann_json)
# The states of a disk: the device does not matter.
mneme_test(checkpoint_campaign CAMPAIGN
  SOURCES checkpoint_campaign.cpp
  LIBRARIES mneme_test_backends mneme_engine)
