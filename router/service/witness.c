/* The regions of this process as witnesses of logs elsewhere: POST /<region>/add-checkpoint. */
#include <stdlib.h>

#include "base/assert.h"
#include "router/service/internal.h"
#include "store/audit/quorum.h"
#include "store/witness/server.h"

struct dom_router_witness {
    struct dom_router *router;
    struct dom_quorum *logs;
    struct dom_note_key *keys; /* of the logs, end to end; not owned */
    size_t num_keys;
    struct dom_witness_server *server;
};

static bool find(void *context, const char *prefix, struct dom_witness_site *site)
{
    struct dom_router_witness *witness = context;
    struct dom_store *store = witness->router->store;

    if (prefix[0] != '/') {
        return false;
    }
    dom_store_region region = dom_store_find_region(store, dom_slice_str(prefix + 1));
    if (region == DOM_STORE_NO_REGION) {
        return false;
    }
    site->witness = dom_store_witness(store, region);
    site->logs = witness->keys;
    site->num_logs = witness->num_keys;
    return true;
}

enum dom_code dom_router_open_witness(struct dom_router *router, struct dom_error *err)
{
    struct dom_router_witness *witness = calloc(1, sizeof(*witness));
    struct dom_witness_server_options options = {
        .address = router->options.witness_listen, .find = find, .context = witness};

    DOM_ASSERT(witness != NULL);
    witness->router = router;
    router->witness = witness;
    if (router->options.witness_logs == NULL) {
        return DOM_FAIL(err, DOM_INVALID,
                        "witness.listen wants witness.logs: whose logs are to be "
                        "cosigned");
    }
    enum dom_code rc = dom_quorum_read(&witness->logs, router->options.witness_logs, err);
    if (rc != DOM_OK) {
        return rc;
    }
    witness->num_keys = dom_quorum_num_logs(witness->logs);
    if (witness->num_keys == 0) {
        return DOM_FAIL(err, DOM_INVALID, "%s: there is no log in it",
                        router->options.witness_logs);
    }
    witness->keys = calloc(witness->num_keys, sizeof(*witness->keys));
    DOM_ASSERT(witness->keys != NULL);
    for (size_t i = 0; i < witness->num_keys; i++) {
        witness->keys[i] = *dom_quorum_log(witness->logs, i);
    }
    return dom_witness_server_start(&witness->server, &options, err);
}

void dom_router_close_witness(struct dom_router *router)
{
    struct dom_router_witness *witness = router->witness;

    if (witness != NULL) {
        dom_witness_server_stop(witness->server);
        free(witness->keys);
        dom_quorum_destroy(witness->logs);
        free(witness);
        router->witness = NULL;
    }
}

unsigned dom_router_witness_port(const struct dom_router *router)
{
    return router->witness == NULL ? 0 : dom_witness_server_port(router->witness->server);
}
