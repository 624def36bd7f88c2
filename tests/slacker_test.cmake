# The programs of CTest's labels "unit" and "fuzz": what the sanitizers' presets build and run.
add_custom_target(unit_tests)
add_custom_target(fuzz_tests)

# slacker_test(NAME [COST SECONDS] SRCS ... [DEPS ...] [LABELS ...]): a GoogleTest program, one CTest entry; label "unit" by
# default. COST, about what it takes under the sanitizers: what takes long begins early.
function(slacker_test name)
  cmake_parse_arguments(T "" "COST" "SRCS;DEPS;LABELS" ${ARGN})
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
  if(T_COST)
    set_tests_properties(${name} PROPERTIES COST ${T_COST})
  endif()
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
  get_test_property(${test} COST cost)
  if(NOT cost)
    set(cost 0)
  endif()
  set_tests_properties(${name} PROPERTIES ENVIRONMENT SLACKER_WITHOUT=${feature},processor_times LABELS "${labels}" TIMEOUT 300
    COST ${cost})
endfunction()
