/* POST over HTTP or HTTPS, bounded in time and bytes (libcurl). No redirects, no proxy from the
 * environment, no other protocol.
 *
 * Thread contract: a client has one user at a time; it blocks for at most its timeout.
 */
#ifndef DOM_STORE_WITNESS_CLIENT_H
#define DOM_STORE_WITNESS_CLIENT_H

#include "base/buffer.h"
#include "base/error.h"
#include "base/slice.h"

#define DOM_WITNESS_ANSWER_BYTES_MAX (64U << 10)
#define DOM_WITNESS_TIMEOUT_MS_MAX   60000U

struct dom_witness_client;

/* `ca_file` (PEM, may be NULL: the system's) says whom to believe over HTTPS; `timeout_ms` holds
 * for a whole exchange, 1 to DOM_WITNESS_TIMEOUT_MS_MAX. Both are copied. Errors: INVALID,
 * RESOURCE. */
enum dom_code dom_witness_client_new(struct dom_witness_client **clientp, const char *ca_file,
                                     uint64_t timeout_ms, struct dom_error *err) DOM_MUST_USE;
void dom_witness_client_destroy(struct dom_witness_client *client);

/* Whether it may be asked at all: http:// or https:// and a host. */
bool dom_witness_url_valid(const char *url);

/* POSTs `body` to `<prefix>/add-checkpoint`. *statusp is HTTP's; `out` (cleared first) gets the
 * answer's body. Errors: INVALID (URL), UNAVAILABLE (no answer in time), TOO_LARGE. */
enum dom_code dom_witness_client_add_checkpoint(struct dom_witness_client *client,
                                                const char *prefix, struct dom_slice body,
                                                unsigned *statusp, struct dom_buffer *out,
                                                struct dom_error *err) DOM_MUST_USE;

#endif
