# OpenCL: kernels/opencl/*.cl as text in the program, read by clang at build where it is there; the loader where it is found.
set(opencl_text ${CMAKE_SOURCE_DIR}/kernels/opencl/panel.cl)
set(opencl_embedded ${CMAKE_BINARY_DIR}/opencl_text.S)
file(CONFIGURE OUTPUT ${opencl_embedded} CONTENT [[
    .section .rodata
    .globl opencl_panel_source
    .hidden opencl_panel_source
opencl_panel_source:
    .incbin "@opencl_text@"
    .byte 0
    .section .note.GNU-stack,"",%progbits
]] @ONLY)
set_source_files_properties(${opencl_embedded} PROPERTIES OBJECT_DEPENDS ${opencl_text})
target_sources(kernels PRIVATE ${opencl_embedded})

find_program(CLANG NAMES clang clang-14 clang-15)
if(CLANG)
  add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/opencl_lint
    COMMAND ${CLANG} -cl-std=CL1.2 -fsyntax-only -Wall -Wextra -Werror ${opencl_text}
    COMMAND ${CLANG} -cl-std=CL1.2 -fsyntax-only -Wall -Wextra -Werror -DVECTOR=1 -DVECTORS=1 -DCLUSTERS=1 -DGROUP=64 ${opencl_text}
    COMMAND ${CMAKE_COMMAND} -E touch ${CMAKE_BINARY_DIR}/opencl_lint
    DEPENDS ${opencl_text} VERBATIM)
  add_custom_target(opencl_lint_target DEPENDS ${CMAKE_BINARY_DIR}/opencl_lint)
  add_dependencies(kernels opencl_lint_target)
endif()

set(opencl_libraries)
set(opencl_left_out "opencl/[^/]*\\.c$")
if(OpenCL_FOUND)
  set(opencl_libraries OpenCL::OpenCL)
  set(opencl_left_out "opencl_absent\\.c$")
else()
  message(STATUS "no OpenCL loader and headers: built without the device opencl")
endif()
