# bench/bench_<name>.c: a program each, run by bench/run. Never a test.
file(GLOB bench_sources CONFIGURE_DEPENDS bench/bench_*.c)
# what bench/server needs to have a base of the shape that it names, and peers to have something to learn from
list(APPEND bench_sources bench/base_of_shape.c bench/features_of_past.c)
foreach(source ${bench_sources})
  get_filename_component(name ${source} NAME_WE)
  add_executable(${name} ${source})
  target_link_libraries(${name} PRIVATE rooms)
endforeach()

# A peer where it is installed (script/bootstrap bench); without it the result names it as missing.
find_library(XSMM NAMES libxsmm.a)
find_path(XSMM_INCLUDE libxsmm.h)
target_link_libraries(bench_turns PRIVATE ${CMAKE_DL_LIBS})
if(XSMM AND XSMM_INCLUDE)
  target_compile_definitions(bench_turns PRIVATE BENCH_XSMM)
  target_include_directories(bench_turns SYSTEM PRIVATE ${XSMM_INCLUDE})
  target_link_libraries(bench_turns PRIVATE ${XSMM} Threads::Threads)
endif()

# That measuring works, never what it measures.
if(SLUICE_TESTS AND TARGET sluice)
  find_package(Python3 COMPONENTS Interpreter REQUIRED)
  add_test(NAME bench.run COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/tests/bench/check_run.py ${CMAKE_BINARY_DIR})
  add_test(NAME bench.compare COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/tests/bench/check_compare.py)
  set_tests_properties(bench.run bench.compare PROPERTIES LABELS release TIMEOUT 240)
endif()
