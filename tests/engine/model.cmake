mneme_test(engine_golden_model_test SOURCES golden_model_test.cpp
           LIBRARIES mneme_engine nlohmann_json::nlohmann_json)
mneme_test(engine_model_test SOURCES model_test.cpp LIBRARIES mneme_engine)
mneme_test(engine_optimizer_test SOURCES optimizer_test.cpp LIBRARIES mneme_engine)
mneme_test(engine_parameters_test SOURCES parameters_test.cpp LIBRARIES mneme_engine)
mneme_test(engine_sampler_test SOURCES sampler_test.cpp LIBRARIES mneme_engine)

# Not a test: whole training steps for tools/compare_pytorch_dense and for profiles.
add_executable(model_benchmark EXCLUDE_FROM_ALL model_benchmark.cpp)
target_link_libraries(model_benchmark PRIVATE mneme_engine mneme_flags)
