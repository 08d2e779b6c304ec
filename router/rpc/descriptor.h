/* An index over a serialised FileDescriptorSet: which file declares which name. A walk over the
 * wire form; no descriptor library is needed to answer reflection.
 * Thread contract: read-only after new. */
#ifndef DOM_ROUTER_RPC_DESCRIPTOR_H
#define DOM_ROUTER_RPC_DESCRIPTOR_H

#include "base/error.h"
#include "base/slice.h"

struct dom_rpc_descriptors;

/* `set` is borrowed and must outlive the index. Errors: PARSE (not a FileDescriptorSet),
 * RESOURCE (more than 1,024 files or 65,536 names). */
enum dom_code dom_rpc_descriptors_new(struct dom_rpc_descriptors **indexp, struct dom_slice set,
                                      struct dom_error *err) DOM_MUST_USE;
void dom_rpc_descriptors_destroy(struct dom_rpc_descriptors *index);

/* A file's FileDescriptorProto bytes; NULL data when there is none. `symbol` is the full name of
 * a message, enum, service or method. */
struct dom_slice dom_rpc_descriptors_file(const struct dom_rpc_descriptors *index,
                                          struct dom_slice name);
struct dom_slice dom_rpc_descriptors_symbol(const struct dom_rpc_descriptors *index,
                                            struct dom_slice symbol);

size_t dom_rpc_descriptors_num_services(const struct dom_rpc_descriptors *index);
/* The full name of service i, in the order of the set. */
struct dom_slice dom_rpc_descriptors_service(const struct dom_rpc_descriptors *index, size_t i);

#endif
