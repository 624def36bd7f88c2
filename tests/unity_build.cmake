# The presets "asan" and, in .ci/run, "dev" compile several files of a target as one. Not these: their files use one name
# for several things, or a test puts one of them in another's place.
foreach(target slacker_db slacker_erofs slacker_nfs_backend slacker_store slacker_startup slacker_boot
        slacker_slackerctl_verbs backend_conformance_test nfs_conformance_test https_backend_test registry_source_test
        store_test publish_test boot_test care_test fill_test takeover_test)
  if(TARGET ${target})  # some tests need failpoints
    set_target_properties(${target} PROPERTIES UNITY_BUILD OFF)
  endif()
endforeach()
