mneme_test(checkpoint_test DEVICES
  SOURCES checkpoint_test.cpp checkpoint_crash_test.cpp
  LIBRARIES mneme_engine)
mneme_test(checkpoint_campaign DEVICES CAMPAIGN
  SOURCES checkpoint_campaign.cpp
  LIBRARIES mneme_engine)
