mneme_test(engine_golden_model_test SOURCES golden_model_test.cpp
           LIBRARIES mneme_engine nlohmann_json::nlohmann_json)
mneme_test(engine_model_test SOURCES model_test.cpp LIBRARIES mneme_engine)
mneme_test(engine_optimizer_test SOURCES optimizer_test.cpp LIBRARIES mneme_engine)
mneme_test(engine_parameters_test SOURCES parameters_test.cpp LIBRARIES mneme_engine)
mneme_test(engine_sampler_test SOURCES sampler_test.cpp LIBRARIES mneme_engine)
