# Tests and benchmark of the key, row and residency operations.
mneme_test(row_ops_test
  SOURCES
    gather_dot_test.cpp
    group_lookups_test.cpp
  LIBRARIES mneme_kernels)
