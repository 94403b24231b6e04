# `cmake --install` and, through cpack, a Debian package: the program, its configurations, its
# documentation, its completions for shells. Nothing else has install rules, so tests and libraries are never part of either.
include(GNUInstallDirs)

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
set(CPACK_DEBIAN_PACKAGE_SUGGESTS bash-completion)
if(MNEME_CUDA_FOUND)
  # Loaded where there is a GPU, by the name of the package in NVIDIA's repository for Debian.
  string(APPEND CPACK_DEBIAN_PACKAGE_SUGGESTS
         ", libcublas-${CUDAToolkit_VERSION_MAJOR}-${CUDAToolkit_VERSION_MINOR}")
endif()
include(CPack)
