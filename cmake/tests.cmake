find_library(CMOCKA cmocka REQUIRED)

# Unit tests: tests/unit/<room>/test_<name>.c is the ctest unit.<room>.<name>.
file(GLOB unit_sources CONFIGURE_DEPENDS tests/unit/*/test_*.c)
foreach(source ${unit_sources})
  get_filename_component(name ${source} NAME_WE)
  get_filename_component(folder ${source} DIRECTORY)
  get_filename_component(room ${folder} NAME)
  if(NOT room IN_LIST rooms)
    continue()
  endif()
  string(REGEX REPLACE "^test_" "" short ${name})
  add_executable(unit_${room}_${short} ${source})
  target_link_libraries(unit_${room}_${short} PRIVATE rooms ${CMOCKA})
  target_include_directories(unit_${room}_${short} PRIVATE tests)
  add_test(NAME unit.${room}.${short} COMMAND unit_${room}_${short} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(unit.${room}.${short} PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 600)
endforeach()

# Kernel checks: tests/kernel/check_<name>.c is kernel.<name>.
file(GLOB check_sources CONFIGURE_DEPENDS tests/kernel/check_*.c)
foreach(source ${check_sources})
  get_filename_component(name ${source} NAME_WE)
  string(REGEX REPLACE "^check_" "" short ${name})
  add_executable(${name} ${source})
  target_link_libraries(${name} PRIVATE rooms)
  target_include_directories(${name} PRIVATE tests)
  add_test(NAME kernel.${short} COMMAND ${name} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(kernel.${short} PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 600)
endforeach()

# The same for AArch64, by a cross compiler under emulation: kernel.neon.<name>.
foreach(short panel points maps select learn columns)
  add_test(NAME kernel.neon.${short}
    COMMAND ${CMAKE_SOURCE_DIR}/tests/kernel/neon.sh ${CMAKE_SOURCE_DIR} check_${short} $<TARGET_FILE:check_${short}>)
  set_tests_properties(kernel.neon.${short} PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 600 LABELS release)
endforeach()

# Fuzz targets: tests/fuzz/fuzz_<name>.c with its corpus in tests/fuzz/corpus/<name>; rerun by ctest with a plain driver.
file(GLOB fuzz_sources CONFIGURE_DEPENDS tests/fuzz/fuzz_*.c)
if(SLUICE_FUZZ)
  add_custom_target(fuzzers)
endif()
foreach(source ${fuzz_sources})
  get_filename_component(name ${source} NAME_WE)
  string(REGEX REPLACE "^fuzz_" "" short ${name})
  if(SLUICE_FUZZ)
    add_executable(${name} ${source})
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    add_dependencies(fuzzers ${name})
  else()
    add_executable(${name} ${source} tests/fuzz/driver.c)
    add_test(NAME fuzz.${short} COMMAND ${name} tests/fuzz/corpus/${short} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  endif()
  target_link_libraries(${name} PRIVATE rooms)
  target_include_directories(${name} PRIVATE tests)
endforeach()

# Flow tests: tests/flow/flow_<name>.c, whole server and client in one program or several processes.
# Those labelled release check figures and bits or kill a server hundreds of times: sanitizer runs leave them out.
set(release_flows base_kills cuts devices kills overload)
set(flow_sources)
if(TARGET sluice)
  file(GLOB flow_sources CONFIGURE_DEPENDS tests/flow/flow_*.c)
  if(flow_sources)
    add_library(flow_harness STATIC tests/flow/harness.c tests/flow/table.c tests/flow/message.c
      tests/flow/raw.c tests/flow/senders.c)
    target_link_libraries(flow_harness PUBLIC rooms ${CMOCKA})
    target_include_directories(flow_harness PUBLIC tests)
  endif()
endif()
foreach(source ${flow_sources})
  get_filename_component(name ${source} NAME_WE)
  string(REGEX REPLACE "^flow_" "" short ${name})
  add_executable(${name} ${source})
  target_link_libraries(${name} PRIVATE flow_harness)
  add_test(NAME flow.${short} COMMAND ${name} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(flow.${short} PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 480
    ENVIRONMENT "SLUICE_BIN=$<TARGET_FILE:sluice>;SLUICE_FAULTY_BIN=${CMAKE_BINARY_DIR}/sluice_faulty")
  if(short IN_LIST release_flows)
    set_tests_properties(flow.${short} PROPERTIES LABELS release)
  endif()
endforeach()

# The second and the last third of the allocations of an opening; flow.alloc has the first, and the way of a batch.
if(TARGET flow_alloc)
  foreach(shard 1 2)
    add_test(NAME flow.alloc.${shard} COMMAND flow_alloc WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    set_tests_properties(flow.alloc.${shard} PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 480 LABELS release ENVIRONMENT
      "SLUICE_BIN=$<TARGET_FILE:sluice>;SLUICE_ALLOC_SHARD=${shard}")
  endforeach()
endif()

# The same flows with another device forced, but for those that choose devices themselves.
foreach(device blas opencl)
  foreach(short base bases commands controls disk drain first_batch hostile kills life order overload profiles release replay restart serve
          swaps tls)
    if(NOT TARGET flow_${short})
      continue()
    endif()
    add_test(NAME flow.${device}.${short} COMMAND flow_${short} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    set_tests_properties(flow.${device}.${short} PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 480 LABELS release ENVIRONMENT
      "SLUICE_BIN=$<TARGET_FILE:sluice>;SLUICE_FAULTY_BIN=${CMAKE_BINARY_DIR}/sluice_faulty;SLUICE_FLOW_DEVICE=${device};SLUICE_KILLS=60")
  endforeach()
endforeach()

# What runs through an OpenCL driver is for release builds alone: drivers and their compilers leak and start threads of
# their own, which is nothing that a sanitizer of ours should tell.
add_test(NAME kernel.oclgrind COMMAND ${CMAKE_SOURCE_DIR}/tests/kernel/oclgrind.sh $<TARGET_FILE:check_opencl>)
set_tests_properties(kernel.oclgrind PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 300)
foreach(test kernel.opencl kernel.oclgrind unit.compute.opencl unit.synth.hard) # a build of some rooms lacks some of them
  if(TEST ${test})
    set_tests_properties(${test} PROPERTIES LABELS release)
  endif()
endforeach()

include(cmake/faults.cmake OPTIONAL)

# The tree itself; and that each of its rules can fail.
add_test(NAME tidy COMMAND tests/tidy/tidy.py WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
add_test(NAME tidy.rules COMMAND tests/tidy/tidy.py --self-test WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
set_tests_properties(tidy tidy.rules PROPERTIES LABELS release)
