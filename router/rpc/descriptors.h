/* The FileDescriptorSet of router/api, imports included, as built into the program: what
 * dom_rpc_server_options.descriptor_set takes. Static bytes. Thread contract: any thread. */
#ifndef DOM_ROUTER_RPC_DESCRIPTORS_H
#define DOM_ROUTER_RPC_DESCRIPTORS_H

#include "base/slice.h"

struct dom_slice dom_rpc_api_descriptors(void);

#endif
