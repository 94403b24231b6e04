target_sources(mneme_engine PRIVATE
  checkpoint.cpp
  manifest.cpp
  row_table_file.cpp)
