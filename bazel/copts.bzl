"""The compiler flags of every Domicile target: one list, so that no module is laxer."""

DOM_COPTS = [
    "-std=c11",
    "-D_GNU_SOURCE",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wpedantic",
    "-Wshadow",
    "-Wconversion",
    "-Wstrict-prototypes",
    "-Wmissing-prototypes",
    "-Wold-style-definition",
    "-Wpointer-arith",
    "-Wcast-qual",
    "-Wwrite-strings",
    "-Wvla",
    "-Wformat=2",
    "-Wundef",
    "-Wswitch-enum",
    "-Wimplicit-fallthrough",
    "-Wdouble-promotion",
    "-Wno-format-truncation",  # a cut message is what snprintf is for here
    "-fno-common",
    "-fstack-protector-strong",
]

# Code that protoc-c writes is not ours to tidy.
GENERATED_COPTS = ["-std=c11", "-D_GNU_SOURCE", "-w"]
