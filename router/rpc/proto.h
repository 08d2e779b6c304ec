/* protobuf-c's allocator over a call's arena, for the built-in services. Freeing is the arena's
 * business; a full arena makes unpack return NULL. */
#ifndef DOM_ROUTER_RPC_PROTO_H
#define DOM_ROUTER_RPC_PROTO_H

#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"

static inline void *dom_rpc_proto_alloc(void *arena, size_t size)
{
    return dom_arena_alloc((struct dom_arena *)arena, size);
}

static inline void dom_rpc_proto_free(void *arena, void *pointer)
{
    (void)arena;
    (void)pointer;
}

static inline ProtobufCAllocator dom_rpc_proto_allocator(struct dom_arena *arena)
{
    return (ProtobufCAllocator){
        .alloc = dom_rpc_proto_alloc, .free = dom_rpc_proto_free, .allocator_data = arena};
}

#endif
