# The presets "asan" and, in .ci/run, "dev" compile several files of a target as one. Not these files, which use a name for
# something else than their neighbours or include other people's headers that do.
function(slacker_compile_alone target)
  if(TARGET ${target})  # some tests need failpoints
    get_target_property(folder ${target} SOURCE_DIR)
    list(TRANSFORM ARGN PREPEND ${folder}/)
    set_source_files_properties(${ARGN} TARGET_DIRECTORY ${target} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
  endif()
endfunction()
slacker_compile_alone(slacker_erofs image_tree.cc)
slacker_compile_alone(slacker_image_source zstd_frames.cc)
slacker_compile_alone(slacker_nfs_backend object_writer.cc read_operation.cc v4_protocol.cc)
slacker_compile_alone(backend_conformance_test read_suite.cc)
slacker_compile_alone(nfs_conformance_test read_suite.cc)
# A test puts a file of its own in the place of this one.
slacker_compile_alone(slacker_db migrations.cc)
