/* A whole router in this process, over a scratch folder, asked through gRPC like anybody would.
 * Failures end the test through cmocka. Thread contract: one thread, but for service_call. */
#ifndef DOM_TESTS_ROUTER_SERVICE_HARNESS_H
#define DOM_TESTS_ROUTER_SERVICE_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>

#include "domicile/v1/audit.pb-c.h"
#include "domicile/v1/policy.pb-c.h"
#include "domicile/v1/record.pb-c.h"
#include "router/rpc/client.h"
#include "router/service/router.h"

#define RECORDS "/domicile.v1.RecordService/"
#define POLICIES "/domicile.v1.PolicyService/"
#define CALL_MS 30000U

/* Regions eu-1 (DE), eu-2 (FR), us-1 (US). Kind live_room: title content, owner identifier (the
 * subject), ip network. EEA to US: `feed` reads for serve, owner as pseudonym; `moderation` reads
 * for moderation, three subjects a day; `studio` deletes; network never. `auditor` lists logs for audit. */
struct service {
    char dir[256];
    char policy_path[320];
    struct dom_clock clock;
    _Atomic int64_t wall_ms;
    struct dom_router *router;
    char address[64];
    pthread_t thread;
};

/* For cmocka: the state is a service that runs. */
int service_setup(void **state);
int service_teardown(void **state);
void service_start(struct service *service);
/* Shuts down, joins, destroys. */
void service_stop(struct service *service);
/* Writes the policy file: `version`, and `tail` behind the text. */
void service_write_policy(const struct service *service, unsigned version, const char *tail);

/* The same with every `before` in the text made `now`. */
void service_write_policy_text(const struct service *service, unsigned version, const char *before,
                               const char *now);
/* ReloadPolicy; the status. */
int service_reload(struct service *service);
/* Waits until all that a region's log has now is published. */
void service_wait_published(struct service *service, const char *region);

/* One call as a service in a region; the status. `result` may be reused, the caller cleans up. */
int service_call(struct service *service, const char *name, const char *region, const char *path,
                 struct dom_slice request, struct dom_rpc_result *result);

/* Calls on live_room records at home in DE. `owner` may be NULL. */
int service_put(struct service *service, const char *id, const char *owner);
/* The same read through any caller; `home` may be NULL. *responsep (may be NULL) is the caller's. */
int service_get(struct service *service, const char *name, const char *region, const char *purpose,
                const char *id, const char *home, Domicile__V1__GetRecordResponse **responsep);
int service_delete(struct service *service, const char *name, const char *region, const char *id,
                   Domicile__V1__DeleteRecordResponse **responsep);

/* Entries of a region's log now. */
uint64_t service_log_size(struct service *service, const char *region);
/* Whether an entry at or after `from` holds the text. */
bool service_log_holds(struct service *service, const char *region, uint64_t from,
                       const char *text);

#endif
