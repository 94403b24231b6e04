# Tests and benchmark of the key, row and residency operations.
mneme_test(row_ops_test DEVICES GUARDED COST 100
  SOURCES
    accumulate_gradient_test.cpp
    gather_dot_test.cpp
    catch_up_test.cpp
    group_lookups_test.cpp
    initial_values_test.cpp
    popular_rows_test.cpp
    row_agreement_test.cpp
    row_marks_test.cpp
    row_ranges_test.cpp
    row_norms_test.cpp
    row_records_test.cpp
    row_update_test.cpp
  LIBRARIES mneme_kernels)
mneme_test(residency_ops_test DEVICES GUARDED COST 40
  SOURCES
    lookup_slots_test.cpp
    residency_test.cpp
    use_history_test.cpp
    select_victims_test.cpp
    slot_moves_test.cpp
    step_plan_test.cpp
    test_tiers.cpp
    tier_model.cpp
  LIBRARIES mneme_kernels)
mneme_test(key_ops_test DEVICES GUARDED
  SOURCES
    key_backward_test.cpp
    key_search_test.cpp
    operation_checks.cpp
    operation_run.cpp
  LIBRARIES mneme_kernels)
mneme_test(large_grids_campaign DEVICES CAMPAIGN
  SOURCES large_grids_campaign.cpp operation_run.cpp
  LIBRARIES mneme_kernels)
mneme_test(golden_rows_test DEVICES
  SOURCES golden_rows_test.cpp
  LIBRARIES mneme_kernels mneme_io nlohmann_json::nlohmann_json)

find_package(benchmark REQUIRED)
add_executable(row_benchmark row_benchmark.cpp)
target_link_libraries(row_benchmark PRIVATE mneme_kernels mneme_flags benchmark::benchmark)
