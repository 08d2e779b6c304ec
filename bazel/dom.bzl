"""dom_cc_library, dom_cc_binary, dom_cc_test: the built-in rules with the house flags.

Includes are always from the root of the tree ("base/slice.h"), so a file says by its
include lines which modules it uses and Bazel's visibility says whether it may.
"""

load("//bazel:copts.bzl", "DOM_COPTS")

def dom_cc_library(name, copts = [], **kwargs):
    native.cc_library(name = name, copts = DOM_COPTS + copts, **kwargs)

def dom_cc_binary(name, copts = [], linkopts = [], **kwargs):
    native.cc_binary(name = name, copts = DOM_COPTS + copts, linkopts = linkopts + ["-lpthread"], **kwargs)

def dom_cc_test(name, deps = [], copts = [], size = "small", **kwargs):
    """A cmocka suite. Its name ends in _test and it prints cmocka's own lines."""
    native.cc_test(
        name = name,
        copts = DOM_COPTS + copts,
        linkopts = ["-lpthread"],
        size = size,
        deps = deps + ["@system//:cmocka"],
        **kwargs
    )

def dom_fuzz_target(name, srcs, deps, corpus, **kwargs):
    """A libFuzzer target (`bazel build --config=fuzz`), and a test that replays its corpus.

    The replay is an ordinary test in every flavour, so a committed seed that once
    crashed stays fixed. tests/fuzz/replay_main.c feeds each file to the entry point.
    """
    native.cc_binary(
        name = name,
        srcs = srcs,
        deps = deps,
        copts = DOM_COPTS + ["-Wno-missing-prototypes"],
        linkopts = ["-lpthread"],
        tags = ["manual", "fuzz"],
        testonly = True,
        **kwargs
    )
    native.cc_test(
        name = name + "_replay_test",
        srcs = srcs + ["//tests/fuzz:replay_main.c"],
        deps = deps,
        copts = DOM_COPTS + ["-Wno-missing-prototypes"],
        linkopts = ["-lpthread"],
        size = "small",
        args = ["$(locations " + corpus + ")"],
        data = [corpus],
    )
