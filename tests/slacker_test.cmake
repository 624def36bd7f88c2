# The programs of CTest's labels "unit" and "fuzz": what the sanitizers' presets build and run.
add_custom_target(unit_tests)
add_custom_target(fuzz_tests)

# slacker_test(NAME SRCS ... [DEPS ...] [LABELS ...]): a GoogleTest program, one CTest entry; label "unit" by default.
function(slacker_test name)
  cmake_parse_arguments(T "" "" "SRCS;DEPS;LABELS" ${ARGN})
  add_executable(${name} ${T_SRCS})
  target_link_libraries(${name} PRIVATE slacker_options ${T_DEPS} GTest::gmock GTest::gtest_main)
  slacker_use_precompiled(${name} test_headers)
  add_test(NAME ${name} COMMAND ${name})
  if(NOT T_LABELS)
    set(T_LABELS unit)
  endif()
  if(unit IN_LIST T_LABELS)
    add_dependencies(unit_tests ${name})
  endif()
  set_tests_properties(${name} PROPERTIES LABELS "${T_LABELS}" TIMEOUT 300)
endfunction()

# slacker_test_without(TEST FEATURE): the same program once more, on a kernel that counts as one without FEATURE
# (backend/base/failpoint.h).
function(slacker_test_without test feature)
  if(NOT SLACKER_FAILPOINTS)
    return()
  endif()
  set(name ${test}_without_${feature})
  add_test(NAME ${name} COMMAND ${test})
  get_test_property(${test} LABELS labels)
  set_tests_properties(${name} PROPERTIES ENVIRONMENT SLACKER_WITHOUT=${feature},processor_times LABELS "${labels}" TIMEOUT 300)
endfunction()
