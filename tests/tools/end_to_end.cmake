# Tests that run the built program as people do, and as power cuts do.
if(TARGET mneme)
  foreach(name ablate advice bad_input damage inspect_config limits output prepare profile python_page
               report run_access start text_run tokenizer trace)
    mneme_test(tools_${name}_test SOURCES ${name}_test.cpp
               LIBRARIES mneme_tiny_run nlohmann_json::nlohmann_json)
    target_compile_definitions(tools_${name}_test PRIVATE MNEME_PROGRAM="$<TARGET_FILE:mneme>")
    add_dependencies(tools_${name}_test mneme)
  endforeach()
  mneme_test(tools_ablate_best_test SOURCES ablate_best_test.cpp
             LIBRARIES mneme_ablate mneme_tiny_run nlohmann_json::nlohmann_json)
  target_compile_definitions(tools_ablate_best_test PRIVATE MNEME_PROGRAM="$<TARGET_FILE:mneme>")
  mneme_test(tools_plan_test SOURCES plan_test.cpp
             LIBRARIES mneme_plan mneme_tiny_run nlohmann_json::nlohmann_json)
  mneme_test(tools_ablate_grid_test SOURCES ablate_grid_test.cpp LIBRARIES mneme_ablate mneme_engine)
  mneme_test(tools_ablate_replayable_test SOURCES ablate_replayable_test.cpp
             LIBRARIES mneme_ablate mneme_tiny_run)
  target_link_libraries(tools_report_test PRIVATE mneme_report)
  target_link_libraries(tools_profile_test PRIVATE mneme_report)
  target_link_libraries(tools_tokenizer_test PRIVATE mneme_text)
endif()
# The program killed, and on a system whose calls fail.
if(TARGET mneme AND TARGET mneme_fault_injection)
  mneme_test(tools_fault_test SOURCES fault_test.cpp
             LIBRARIES mneme_tiny_run nlohmann_json::nlohmann_json)
  mneme_test(tools_fault_campaign CAMPAIGN SOURCES fault_campaign.cpp
             LIBRARIES mneme_tiny_run nlohmann_json::nlohmann_json)
  mneme_test(tools_prepare_fault_test SOURCES prepare_fault_test.cpp)
  mneme_test(tools_kill_test SOURCES kill_test.cpp
             LIBRARIES mneme_tiny_run nlohmann_json::nlohmann_json)
  mneme_test(tools_signal_test SOURCES signal_test.cpp
             LIBRARIES mneme_tiny_run nlohmann_json::nlohmann_json)
  mneme_test(tools_kill_campaign CAMPAIGN SOURCES kill_campaign.cpp
             LIBRARIES mneme_tiny_run nlohmann_json::nlohmann_json)
  foreach(name fault_test fault_campaign prepare_fault_test kill_test signal_test kill_campaign)
    target_compile_definitions(
      tools_${name} PRIVATE MNEME_PROGRAM="$<TARGET_FILE:mneme>"
      MNEME_FAULT_INJECTION="$<TARGET_FILE:mneme_fault_injection>")
    add_dependencies(tools_${name} mneme mneme_fault_injection)
  endforeach()
endif()
# The benchmarks, on the CPU and on an emulated device.
if(TARGET mneme)
  mneme_test(tools_bench_test SOURCES bench_test.cpp
             LIBRARIES mneme_tiny_run nlohmann_json::nlohmann_json)
  target_compile_definitions(tools_bench_test PRIVATE MNEME_PROGRAM="$<TARGET_FILE:mneme>"
                                                      MNEME_BENCH_DEVICE="cpu")
  add_dependencies(tools_bench_test mneme)
endif()
if(TARGET mneme_emulated)
  mneme_test(tools_bench_emulated_test SOURCES bench_test.cpp
             LIBRARIES mneme_tiny_run nlohmann_json::nlohmann_json)
  target_compile_definitions(tools_bench_emulated_test PRIVATE
                             MNEME_PROGRAM="$<TARGET_FILE:mneme_emulated>"
                             MNEME_BENCH_DEVICE="cuda")
  add_dependencies(tools_bench_emulated_test mneme_emulated)
endif()
if(TARGET mneme_emulated AND TARGET mneme_fault_injection)
  mneme_test(tools_device_test SOURCES device_test.cpp
             LIBRARIES mneme_tiny_run nlohmann_json::nlohmann_json)
  target_compile_definitions(
    tools_device_test PRIVATE MNEME_PROGRAM="$<TARGET_FILE:mneme_emulated>"
    MNEME_FAULT_INJECTION="$<TARGET_FILE:mneme_fault_injection>")
  add_dependencies(tools_device_test mneme_emulated mneme_fault_injection)
endif()
