/* A witness's endpoint: POST <prefix>/add-checkpoint (C2SP tlog-witness). Plain HTTP: requests
 * are proven by the log's signature and answers by the witness's, so TLS adds privacy only; put a
 * proxy in front where that is wanted.
 *
 * Thread contract: as base/http/http.h; `find` runs on the server's thread.
 */
#ifndef DOM_STORE_WITNESS_SERVER_H
#define DOM_STORE_WITNESS_SERVER_H

#include "base/error.h"
#include "base/note/note.h"
#include "store/audit/witness.h"

/* What stands behind one prefix. Borrowed for the time of one request. */
struct dom_witness_site {
    struct dom_witness *witness;
    const struct dom_note_key *logs;
    size_t num_logs;
};

struct dom_witness_server_options {
    const char *address;
    /* `prefix` is the path before "/add-checkpoint": "" or "/eu-north-1". False: nothing there
     * (404). */
    bool (*find)(void *context, const char *prefix, struct dom_witness_site *site);
    void *context;
};

struct dom_witness_server;

/* Errors: INVALID (address), UNAVAILABLE (cannot listen). */
enum dom_code dom_witness_server_start(struct dom_witness_server **serverp,
                                       const struct dom_witness_server_options *options,
                                       struct dom_error *err) DOM_MUST_USE;
unsigned dom_witness_server_port(const struct dom_witness_server *server);
/* NULL is a no-op. */
void dom_witness_server_stop(struct dom_witness_server *server);

#endif
