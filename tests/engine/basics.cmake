mneme_test(engine_config_test SOURCES config_test.cpp LIBRARIES mneme_engine)
