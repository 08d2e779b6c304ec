/* Talking to a router from the command line: where it is, who we say we are, and how a failure is
 * told. Thread contract: one thread. */
#ifndef DOM_TOOLS_PEER_H
#define DOM_TOOLS_PEER_H

#include <stdbool.h>
#include <stdio.h>

#include "router/rpc/client.h"

struct dom_peer {
    const char *address; /* --address or DOMICILE_ADDRESS, else 127.0.0.1:7443 */
    const char *service; /* --service or DOMICILE_SERVICE */
    const char *region;  /* --region or DOMICILE_REGION */
    uint64_t timeout_ms; /* --timeout-ms, else 10,000 */
    bool json;           /* --format json */
    struct dom_rpc_client *client;
};

/* The environment's values. */
void dom_peer_init(struct dom_peer *peer);
/* Connects lazily. False after having said on stderr what is missing. */
bool dom_peer_open(struct dom_peer *peer, const char *verb);
void dom_peer_close(struct dom_peer *peer);

/* Prints the failure, its reason and its details on stderr, and returns the exit code. */
int dom_peer_failed(const struct dom_peer *peer, const char *verb, struct dom_rpc_result *result);

#endif
