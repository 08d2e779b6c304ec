"""Every repository that Domicile needs from outside the tree.

Bazel 4.2.3 resolves toolchains through three repositories which it would download.
The stubs stand in for them: each is an empty package that re-exports the rules built
into Bazel. The system libraries come from /usr/include through one more repository,
so that their headers count as system headers (exempt from -Werror).
"""

_STUBS = ["rules_cc", "rules_java", "remote_coverage_tools"]

def domicile_dependencies():
    for name in _STUBS:
        native.local_repository(name = name, path = "bazel/stubs/" + name)
    native.new_local_repository(
        name = "system",
        path = "/usr/include",
        build_file = "//bazel:system.BUILD",
    )
