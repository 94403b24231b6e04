# Tests that run the built program as people do, and as power cuts do.
if(TARGET mneme)
  foreach(name bad_input damage kill)
    mneme_test(tools_${name}_test SOURCES ${name}_test.cpp
               LIBRARIES mneme_engine nlohmann_json::nlohmann_json)
    target_compile_definitions(tools_${name}_test PRIVATE MNEME_PROGRAM="$<TARGET_FILE:mneme>")
    add_dependencies(tools_${name}_test mneme)
  endforeach()
  mneme_test(tools_kill_campaign CAMPAIGN SOURCES kill_campaign.cpp
             LIBRARIES mneme_engine nlohmann_json::nlohmann_json)
  target_compile_definitions(tools_kill_campaign PRIVATE MNEME_PROGRAM="$<TARGET_FILE:mneme>")
  add_dependencies(tools_kill_campaign mneme)
endif()
if(TARGET mneme_emulated)
  mneme_test(tools_device_test SOURCES device_test.cpp
             LIBRARIES mneme_engine nlohmann_json::nlohmann_json)
  target_compile_definitions(tools_device_test PRIVATE
                             MNEME_PROGRAM="$<TARGET_FILE:mneme_emulated>")
  add_dependencies(tools_device_test mneme_emulated)
endif()
