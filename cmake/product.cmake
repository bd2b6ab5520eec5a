# Kernels: flags per file, by its folder and ending.
file(GLOB kernel_sources CONFIGURE_DEPENDS kernels/*.c kernels/ref/*.c kernels/blas/*.c kernels/opencl/*.c)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  file(GLOB x86_sources CONFIGURE_DEPENDS kernels/x86/*.c)
  list(APPEND kernel_sources ${x86_sources})
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
  file(GLOB arm_sources CONFIGURE_DEPENDS kernels/arm/*.c)
  list(APPEND kernel_sources ${arm_sources})
endif()
foreach(source ${kernel_sources})
  if(source MATCHES "/ref/")
    set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "-O2;-fno-tree-vectorize")
  elseif(source MATCHES "_avx2\\.c$")
    set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "-O3;-mavx2;-mfma")
  elseif(source MATCHES "_avx512\\.c$")
    set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "-O3;-mavx512f;-mavx512bw;-mavx512dq;-mavx512vl;-mfma;-mprefer-vector-width=512")
  endif()
endforeach()
add_library(kernels STATIC ${kernel_sources})
include(cmake/opencl.cmake)
target_include_directories(kernels PRIVATE ${OPENBLAS_INCLUDE})
target_link_libraries(kernels PUBLIC ${OPENBLAS_SERIAL} m)

# libsluice: what a submitter links. It knows the protocol, never the server's rooms.
file(GLOB client_sources CONFIGURE_DEPENDS src/base/*.c src/batch/*.c src/wire/*.c src/client/*.c)
list(FILTER client_sources EXCLUDE REGEX "src/base/secret\\.c$")
add_library(libsluice SHARED ${client_sources})
if(NOT SLUICE_SANITIZE AND NOT SLUICE_FUZZ) # clang's sanitizers are found at run time only
  target_link_options(libsluice PRIVATE -Wl,--no-undefined)
endif()
set_target_properties(libsluice PROPERTIES OUTPUT_NAME sluice VERSION ${PROJECT_VERSION} SOVERSION 0 PUBLIC_HEADER src/client/sluice.h)
target_link_libraries(libsluice PRIVATE nng::nng PkgConfig::MSGPACK PkgConfig::JANSSON PkgConfig::XXHASH Threads::Threads m)

# Everything else, room by room, as one static library that program and tests share.
set(SLUICE_ROOMS base batch wire intake history feature scene compute verdict ledger synth pipeline server client command
  CACHE STRING "Rooms to build: all, or those that one works on and what they include")
set(rooms ${SLUICE_ROOMS})
set(room_sources)
foreach(room ${rooms})
  file(GLOB found CONFIGURE_DEPENDS src/${room}/*.c src/${room}/*/*.c)
  list(APPEND room_sources ${found})
endforeach()
list(FILTER room_sources EXCLUDE REGEX "/src/compute/${opencl_left_out}")
# Loops over the rows of a slice are wanted as vectors; at -O2 gcc makes them only of loops whose count it knows.
set_source_files_properties(src/feature/feature.c src/scene/drift.c src/scene/build_reference.c src/scene/cluster.c PROPERTIES COMPILE_OPTIONS "-O3")
set(room_libraries kernels nng::nng PkgConfig::MSGPACK PkgConfig::CYAML PkgConfig::YAML PkgConfig::EXPAT PkgConfig::JANSSON PkgConfig::ZSTD PkgConfig::XXHASH
  PkgConfig::SQLITE PkgConfig::MICROHTTPD PkgConfig::SODIUM PkgConfig::SYSTEMD ${opencl_libraries} Threads::Threads m)
add_library(rooms STATIC ${room_sources})
target_link_libraries(rooms PUBLIC ${room_libraries})

if(EXISTS ${CMAKE_SOURCE_DIR}/src/main.c AND "command" IN_LIST rooms)
  add_executable(sluice src/main.c)
  target_link_libraries(sluice PRIVATE rooms)
endif()
