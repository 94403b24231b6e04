target_sources(mneme_engine PRIVATE
  config.cpp
  config_check.cpp
  config_file.cpp
  config_keys.cpp
  config_reader.cpp
  config_scale.cpp
  config_writer.cpp
  data.cpp
  data_files.cpp
  data_folder.cpp
  data_split.cpp
  dataset_folder.cpp
  document_starts.cpp
  former_keys.cpp
  metrics.cpp
  open_metrics.cpp
  metrics_reader.cpp
  step_line.cpp
  prompt.cpp
  row_gradient_choice.cpp
  schedule.cpp
  token_source.cpp
  tokenized_text.cpp)
target_link_libraries(mneme_engine PRIVATE PkgConfig::TOMLPLUSPLUS nlohmann_json::nlohmann_json)
