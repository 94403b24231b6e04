mneme_test(engine_golden_model_test DEVICES SOURCES golden_model_test.cpp
           LIBRARIES mneme_engine nlohmann_json::nlohmann_json)
mneme_test(engine_model_test DEVICES SOURCES bf16_model_test.cpp model_test.cpp
           LIBRARIES mneme_engine)
mneme_test(engine_moe_part_test DEVICES SOURCES moe_part_test.cpp LIBRARIES mneme_engine)
mneme_test(engine_optimizer_test DEVICES SOURCES optimizer_test.cpp LIBRARIES mneme_engine)
mneme_test(engine_parameters_test DEVICES SOURCES parameters_test.cpp LIBRARIES mneme_engine)
mneme_test(engine_sampler_test DEVICES SOURCES sampler_test.cpp LIBRARIES mneme_engine)
mneme_test(engine_model_costs_test SOURCES model_costs_test.cpp
           LIBRARIES mneme_tiny_run nlohmann_json::nlohmann_json)
