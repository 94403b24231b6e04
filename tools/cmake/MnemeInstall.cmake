# `cmake --install` and, through cpack, a Debian package: the program, its configurations, its
# documentation, its completions for shells. Nothing else has install rules, so tests and libraries are never part of either.
include(GNUInstallDirs)

# The CUDA toolkit's libraries are found where they were when this was built. All others are the
# system's to find, which may have several of a kind to choose from.
if(MNEME_CUDA_FOUND AND NOT CUDAToolkit_LIBRARY_DIR IN_LIST CMAKE_CXX_IMPLICIT_LINK_DIRECTORIES)
  set_target_properties(mneme PROPERTIES INSTALL_RPATH ${CUDAToolkit_LIBRARY_DIR})
endif()
install(TARGETS mneme RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY configs DESTINATION ${CMAKE_INSTALL_DATADIR}/mneme FILES_MATCHING PATTERN *.toml)
install(DIRECTORY docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES CHANGELOG.md LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
# Where Debian's tools and people look for it.
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} RENAME copyright)
configure_file(${CMAKE_SOURCE_DIR}/tools/cmake/install_completions.cmake.in
               ${CMAKE_BINARY_DIR}/generated/install_completions.cmake @ONLY)
install(SCRIPT ${CMAKE_BINARY_DIR}/generated/install_completions.cmake)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_PACKAGE_NAME mneme)
set(CPACK_PACKAGE_VENDOR "mneme maintainers")
set(CPACK_PACKAGE_CONTACT "mneme maintainers <maintainers@mneme.invalid>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "trains transformers with product-key memories on one machine")
set(CPACK_PACKAGE_DESCRIPTION
    "mneme trains transformer language models whose product-key memory is larger than
the memory of the GPU: hot rows in device memory, warm rows in host memory, cold
rows on disk. The package holds the program, configurations and documentation.
It needs a processor with AVX2.")
set(CPACK_RESOURCE_FILE_LICENSE ${CMAKE_SOURCE_DIR}/LICENSE)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
# The libraries that the program is linked with, by the packages that they came from here.
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
if(MNEME_CUDA_FOUND)
  set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${CUDAToolkit_LIBRARY_DIR})
endif()
set(CPACK_DEBIAN_PACKAGE_SUGGESTS bash-completion)
include(CPack)
