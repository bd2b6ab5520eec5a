# What is installed: the program and its manual, the library with its header, CMake package and pkg-config file.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
if(TARGET sluice)
  install(TARGETS sluice RUNTIME COMPONENT program)
endif()

set_target_properties(libsluice PROPERTIES EXPORT_NAME sluice)
target_include_directories(libsluice INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
install(TARGETS libsluice EXPORT sluice
  LIBRARY COMPONENT library NAMELINK_COMPONENT library
  PUBLIC_HEADER COMPONENT library)
set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/sluice)
install(EXPORT sluice NAMESPACE sluice:: FILE sluiceConfig.cmake DESTINATION ${package_folder} COMPONENT library)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/sluiceConfigVersion.cmake VERSION ${PROJECT_VERSION} COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/sluiceConfigVersion.cmake DESTINATION ${package_folder} COMPONENT library)
configure_file(cmake/sluice.pc.in ${CMAKE_BINARY_DIR}/sluice.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/sluice.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT library)

# man/<page>.<section>.scd, by scdoc where it is there.
find_program(SCDOC scdoc)
file(GLOB manual_sources CONFIGURE_DEPENDS man/*.scd)
set(manual_pages)
if(SCDOC)
  foreach(source ${manual_sources})
    get_filename_component(page ${source} NAME_WLE)
    get_filename_component(section ${page} LAST_EXT)
    string(REPLACE "." "man" section ${section})
    add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/man/${page} COMMAND sh -c "'${SCDOC}' <'${source}' >'${CMAKE_BINARY_DIR}/man/${page}'"
      DEPENDS ${source} VERBATIM)
    list(APPEND manual_pages ${CMAKE_BINARY_DIR}/man/${page})
    install(FILES ${CMAKE_BINARY_DIR}/man/${page} DESTINATION ${CMAKE_INSTALL_MANDIR}/${section} COMPONENT program)
  endforeach()
  file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/man)
  add_custom_target(manual ALL DEPENDS ${manual_pages})
endif()

# tests/package: programs build against the installed library; the manual names every option.
if(SLUICE_TESTS)
  add_test(NAME package.install COMMAND ${CMAKE_SOURCE_DIR}/tests/package/install.sh ${CMAKE_BINARY_DIR} ${CMAKE_C_COMPILER}
    ${CMAKE_SOURCE_DIR}/tests/package/program.c)
  set_tests_properties(package.install PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 120)
  if(TARGET sluice)
    add_test(NAME package.manual COMMAND ${CMAKE_SOURCE_DIR}/tests/package/manual.sh $<TARGET_FILE:sluice> ${CMAKE_SOURCE_DIR}/man)
    add_test(NAME package.usage COMMAND ${CMAKE_SOURCE_DIR}/tests/package/usage.sh $<TARGET_FILE:sluice>)
    add_test(NAME package.base COMMAND ${CMAKE_SOURCE_DIR}/tests/package/base.py $<TARGET_FILE:sluice>)
    add_test(NAME package.figures COMMAND ${CMAKE_SOURCE_DIR}/tests/package/figures.py $<TARGET_FILE:sluice>)
    add_test(NAME package.documents COMMAND ${CMAKE_SOURCE_DIR}/tests/package/documents.py $<TARGET_FILE:sluice>)
    add_test(NAME package.models COMMAND ${CMAKE_SOURCE_DIR}/tests/package/models.sh $<TARGET_FILE:sluice> ${CMAKE_SOURCE_DIR})
    set_tests_properties(package.models PROPERTIES LABELS release) # some seconds, a minute with sanitizers
    add_test(NAME package.python COMMAND ${CMAKE_SOURCE_DIR}/tests/package/python.sh $<TARGET_FILE:sluice> ${CMAKE_BINARY_DIR})
    set_tests_properties(package.python PROPERTIES LABELS release TIMEOUT 600 SKIP_RETURN_CODE 77) # installs when it runs first
    set_tests_properties(package.manual package.usage package.base package.figures package.documents package.models
      PROPERTIES TIMEOUT 120 SKIP_RETURN_CODE 77)
    set_tests_properties(package.models PROPERTIES TIMEOUT 600)
  endif()
endif()
