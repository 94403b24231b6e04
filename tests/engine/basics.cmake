mneme_test(engine_config_test
           SOURCES block_kinds_test.cpp config_test.cpp config_ranges_test.cpp config_text_test.cpp
           LIBRARIES mneme_engine)
mneme_test(engine_configs_test SOURCES configs_test.cpp LIBRARIES mneme_engine)
mneme_test(engine_data_test SOURCES data_test.cpp data_split_test.cpp document_starts_test.cpp
                                   token_layouts_test.cpp
           LIBRARIES mneme_engine)
mneme_test(engine_tokenized_test SOURCES dataset_folder_test.cpp tokenized_text_test.cpp
           LIBRARIES mneme_engine nlohmann_json::nlohmann_json ZLIB::ZLIB PkgConfig::ZSTD)
mneme_test(engine_metrics_test SOURCES metrics_test.cpp metrics_reader_test.cpp
           LIBRARIES mneme_engine nlohmann_json::nlohmann_json)
mneme_test(engine_schedule_test SOURCES schedule_test.cpp
           LIBRARIES mneme_engine nlohmann_json::nlohmann_json)
mneme_test(engine_step_line_test SOURCES step_line_test.cpp LIBRARIES mneme_engine)
