"""Every repository that Domicile needs from outside the tree.

Bazel 4.2.3 resolves toolchains through three repositories which it would download.
The stubs stand in for them: each is an empty package that re-exports the rules built
into Bazel. @system names Debian's libraries: their headers lie in /usr/include, which
the compiler knows by itself (so they count as system headers, exempt from -Werror);
the repository only says what to link. Making /usr/include itself the repository would
put it on the quote path too, where gcc's limits.h then finds the wrong file.
"""

_STUBS = ["rules_cc", "rules_java", "remote_coverage_tools"]

def domicile_dependencies():
    for name in _STUBS:
        native.local_repository(name = name, path = "bazel/stubs/" + name)
    native.local_repository(name = "system", path = "bazel/system")
