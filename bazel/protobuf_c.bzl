"""protobuf_c_library: C code from .proto files by protoc-c, and a descriptor set by protoc.

protobuf-c turns `string` into a NUL-terminated char *, so "a\\0b" would read as "a": two
different record ids would become one. The C code is therefore generated from a copy in which
`string` reads `bytes` (the same bytes on the wire); lengths are exact and the router checks
UTF-8 itself. Clients and reflection see the original files.
"""

load("//bazel:copts.bzl", "GENERATED_COPTS")

def protobuf_c_library(name, srcs, **kwargs):
    """The package's folder is the import root of its .proto files."""
    root = native.package_name()
    stems = [s[:-len(".proto")] for s in srcs]
    outs = [name + "_c/" + s + e for s in stems for e in (".pb-c.c", ".pb-c.h")]
    native.genrule(
        name = name + "_gen",
        srcs = srcs,
        outs = outs,
        cmd = """
            set -e
            T=$$(mktemp -d)
            for f in $(SRCS); do
              r=$${f#*""" + root + """/}
              mkdir -p $$T/$$(dirname $$r)
              sed -E 's/^( *(repeated )?)string /\\1bytes /' $$f > $$T/$$r
            done
            protoc-c -I$$T --c_out=$(RULEDIR)/""" + name + "_c " + " ".join(["$$T/" + s for s in srcs]) + """
            rm -r $$T
        """,
    )
    native.genrule(
        name = name + "_descriptors",
        srcs = srcs,
        outs = [name + ".binpb"],
        cmd = "S=\"$(SRCS)\"; F=$${S%% *}; R=$${F%%" + root + "/*}" + root +
              "; protoc -I$$R --include_imports --descriptor_set_out=$@ " + " ".join(["$$R/" + s for s in srcs]),
    )
    native.cc_library(
        name = name,
        srcs = [o for o in outs if o.endswith(".c")],
        hdrs = [o for o in outs if o.endswith(".h")],
        strip_include_prefix = name + "_c",
        copts = GENERATED_COPTS,
        deps = ["@system//:protobuf_c"],
        **kwargs
    )
