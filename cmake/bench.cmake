# bench/bench_<name>.c: a program each, run by bench/run. Never a test.
file(GLOB bench_sources CONFIGURE_DEPENDS bench/bench_*.c)
list(APPEND bench_sources bench/base_of_shape.c) # what bench/server needs to have a base of the shape that it names
foreach(source ${bench_sources})
  get_filename_component(name ${source} NAME_WE)
  add_executable(${name} ${source})
  target_link_libraries(${name} PRIVATE rooms)
endforeach()
