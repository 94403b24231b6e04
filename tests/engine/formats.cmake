mneme_test(formats_test DEVICES SOURCES formats_test.cpp LIBRARIES mneme_engine)
