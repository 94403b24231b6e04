# Tests and benchmark of the key, row and residency operations.
mneme_test(row_ops_test
  SOURCES
    gather_dot_test.cpp
    catch_up_test.cpp
    group_lookups_test.cpp
    row_update_test.cpp
  LIBRARIES mneme_kernels)
mneme_test(key_ops_test
  SOURCES
    key_backward_test.cpp
    key_search_test.cpp
    operation_checks.cpp
  LIBRARIES mneme_kernels)
