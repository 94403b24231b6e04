target_sources(mneme_engine PRIVATE
  checkpoint.cpp
  checkpoint_save.cpp
  manifest.cpp
  memory_use.cpp
  model_costs.cpp
  row_table_file.cpp
  run_claim.cpp
  run_config_file.cpp
  run_directory.cpp
  run_files.cpp
  run_identity.cpp
  run_options.cpp
  tier_choice.cpp)
