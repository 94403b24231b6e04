mneme_test(formats_test SOURCES formats_test.cpp LIBRARIES mneme_engine)
