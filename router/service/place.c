/* What the store asks about placement: where parts may lie, which region is home, under which
 * policy, and what the log must hold before parts are made elsewhere. On the store's threads. */
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/encode.h"
#include "base/log.h"
#include "router/service/internal.h"
#include "store/audit/event.h"

/* The policy that says where a field may lie: the one in force, or at the start the one whose
 * regions are being opened. The caller owns a reference of each that is not NULL. */
static void placing_policy(struct dom_router *router, struct dom_snapshot **snapshotp,
                           struct dom_policy **policyp)
{
    struct dom_policy_holder *holder = &router->holder;

    (void)pthread_mutex_lock(&holder->lock);
    *snapshotp = holder->current == NULL ? NULL : dom_snapshot_ref(holder->current);
    *policyp = dom_policy_ref(*snapshotp == NULL ? holder->first : (*snapshotp)->policy);
    (void)pthread_mutex_unlock(&holder->lock);
}

/* By name, for as long as there is no snapshot: regions that are not open yet fall out, and the
 * store keeps what it owes them. */
static dom_store_set open_so_far(const struct dom_router *router, const struct dom_policy *policy,
                                 dom_policy_set regions)
{
    dom_store_set out = 0;

    for (dom_policy_set left = regions; left != 0; left &= left - 1) {
        const char *name = dom_policy_region_name(policy, (dom_policy_id)__builtin_ctzll(left));
        dom_store_region region = dom_store_find_region(router->store, dom_slice_str(name));
        if (region != DOM_STORE_NO_REGION) {
            out |= UINT64_C(1) << region;
        }
    }
    return out;
}

static const struct dom_policy_placement *place(const struct dom_router *router,
                                                const struct dom_policy *policy,
                                                struct dom_slice kind, const char *home)
{
    return dom_policy_place(policy, dom_policy_find_kind(policy, kind),
                            dom_policy_find_country(policy, dom_slice_str(home)),
                            dom_clock_wall_ms(router->clock));
}

dom_store_set dom_router_field_regions(void *context, struct dom_slice kind, const char *home,
                                       struct dom_slice field)
{
    struct dom_router *router = context;
    struct dom_snapshot *snapshot = NULL;
    struct dom_policy *policy = NULL;
    dom_store_set regions = 0;

    placing_policy(router, &snapshot, &policy);
    const struct dom_policy_placement *placement = place(router, policy, kind, home);
    if (placement != NULL) {
        dom_policy_id data_class = DOM_POLICY_NONE;
        (void)dom_policy_field_class(policy, dom_policy_find_kind(policy, kind), field,
                                     &data_class);
        dom_policy_set allowed = placement->regions[data_class];
        regions = snapshot != NULL ? dom_snapshot_to_store(snapshot, allowed)
                                   : open_so_far(router, policy, allowed);
    }
    dom_policy_unref(policy);
    dom_snapshot_unref(snapshot);
    return regions;
}

dom_store_region dom_router_home_region(void *context, struct dom_slice kind, const char *home)
{
    struct dom_router *router = context;
    struct dom_snapshot *snapshot = NULL;
    struct dom_policy *policy = NULL;
    dom_store_region region = DOM_STORE_NO_REGION;

    placing_policy(router, &snapshot, &policy);
    const struct dom_policy_placement *placement = place(router, policy, kind, home);
    if (snapshot != NULL && placement != NULL && placement->lead != DOM_POLICY_NONE) {
        region = snapshot->store_of[placement->lead];
    }
    dom_policy_unref(policy);
    dom_snapshot_unref(snapshot);
    return region;
}

bool dom_router_replication_held(void *context, dom_store_region home, dom_store_region target)
{
    struct dom_router *router = context;
    struct dom_snapshot *snapshot = NULL;
    struct dom_policy *policy = NULL;
    bool held = false;

    placing_policy(router, &snapshot, &policy);
    if (snapshot != NULL &&
        dom_snapshot_closed(snapshot, dom_clock_wall_ms(router->clock)) != DOM_OK) {
        held = dom_snapshot_jurisdiction(snapshot, home) !=
               dom_snapshot_jurisdiction(snapshot, target);
    }
    dom_policy_unref(policy);
    dom_snapshot_unref(snapshot);
    return held;
}

bool dom_router_placement(void *context, struct dom_store_placement *out)
{
    struct dom_router *router = context;
    int64_t now = dom_clock_wall_ms(router->clock);
    uint8_t began[8];

    (void)pthread_mutex_lock(&router->holder.lock);
    struct dom_snapshot *snapshot =
        router->holder.current == NULL ? NULL : dom_snapshot_ref(router->holder.current);
    (void)pthread_mutex_unlock(&router->holder.lock);
    if (snapshot == NULL) {
        return false;
    }
    const struct dom_policy_info *info = dom_policy_info(snapshot->policy);
    memcpy(out->id, info->sha256, sizeof(out->id));
    (void)snprintf(out->name, sizeof(out->name), "%s", info->name);
    (void)snprintf(out->sha256, sizeof(out->sha256), "%s", info->sha256_hex);
    out->version = info->version;
    /* The dates of its bases cut the policy's life into stretches, each with its own placement. */
    int64_t since = 0;
    out->until_ms = dom_policy_next_change_ms(snapshot->policy, since);
    while (out->until_ms <= now) {
        since = out->until_ms;
        out->until_ms = dom_policy_next_change_ms(snapshot->policy, since);
        DOM_ASSERT(out->until_ms > since);
    }
    dom_put_u64be(began, (uint64_t)since);
    for (size_t i = 0; i < sizeof(began); i++) {
        out->id[i] ^= began[i];
    }
    dom_snapshot_unref(snapshot);
    return true;
}

int64_t dom_router_policy_index(void *context, dom_store_region region)
{
    struct dom_router *router = context;
    struct dom_snapshot *snapshot = dom_holder_get(&router->holder);
    int64_t index = atomic_load_explicit(&snapshot->told->index[region], memory_order_relaxed);

    dom_snapshot_unref(snapshot);
    return index;
}

/* ---- the entry of a transfer ------------------------------------------------------------------ */

/* What must stay in place while the event is encoded. */
struct draft {
    struct dom_audit_event event;
    struct dom_audit_field fields[DOM_FIELDS_MAX];
    struct dom_audit_replica replicas[DOM_REGIONS_MAX];
    struct dom_audit_detail details[1];
};

static const char *country_of(const struct dom_snapshot *snapshot, dom_store_region region)
{
    dom_policy_id id = snapshot->policy_of[region];

    return id == DOM_POLICY_NONE
               ? ""
               : dom_policy_country_name(snapshot->policy,
                                         dom_policy_region_country(snapshot->policy, id));
}

static void fill_replicas(struct draft *draft, struct dom_router *router,
                          const struct dom_snapshot *snapshot, dom_store_set abroad)
{
    size_t num = 0;

    for (; abroad != 0; abroad &= abroad - 1) {
        dom_store_region region = (dom_store_region)__builtin_ctzll(abroad);
        draft->replicas[num].region = dom_slice_str(dom_store_region_name(router->store, region));
        draft->replicas[num].to = dom_slice_str(country_of(snapshot, region));
        num++;
    }
    draft->event.transfer.replicas = draft->replicas;
    draft->event.transfer.num_replicas = num;
}

/* The fields of which some part goes abroad, as they go: in clear. */
static void fill_fields(struct draft *draft, const struct dom_snapshot *snapshot,
                        const struct dom_store_transfer *transfer, dom_store_set abroad)
{
    const struct dom_policy *policy = snapshot->policy;
    dom_policy_id kind = dom_policy_find_kind(policy, transfer->row->kind);
    size_t num = 0;

    for (size_t i = 0; i < transfer->row->num_fields; i++) {
        dom_policy_id data_class = DOM_POLICY_NONE;
        if ((transfer->gains[i] & abroad) == 0) {
            continue;
        }
        (void)dom_policy_field_class(policy, kind, transfer->row->fields[i].name, &data_class);
        draft->fields[num].name = transfer->row->fields[i].name;
        draft->fields[num].data_class = dom_slice_str(dom_policy_class_name(policy, data_class));
        draft->fields[num].handling = DOM_SLICE_LIT("clear");
        draft->event.record.bytes += (int64_t)transfer->row->fields[i].value.len;
        num++;
    }
    draft->event.fields = draft->fields;
    draft->event.num_fields = num;
}

static void fill_record(struct dom_audit_event *event, const struct dom_snapshot *snapshot,
                        const struct dom_store_transfer *transfer)
{
    const struct dom_policy *policy = snapshot->policy;
    dom_policy_id home = dom_policy_find_country(policy, dom_slice_str(transfer->row->home));

    event->record.kind = transfer->row->kind;
    event->record.home = dom_slice_str(transfer->row->home);
    if (home != DOM_POLICY_NONE) {
        event->record.jurisdiction = dom_slice_str(dom_policy_jurisdiction_name(
            policy, dom_policy_country_jurisdiction(policy, home)));
    }
    event->record.id = dom_slice_str(transfer->subject_hash);
    event->record.count = 1;
}

static void fill_policy(struct dom_router *router, struct dom_audit_event *event,
                        const struct dom_snapshot *snapshot, dom_store_region from)
{
    const struct dom_policy_info *info = dom_policy_info(snapshot->policy);

    event->policy.name = dom_slice_str(info->name);
    event->policy.version = info->version;
    event->policy.sha256 = dom_slice_str(info->sha256_hex);
    event->policy.index = atomic_load_explicit(&snapshot->told->index[from], memory_order_relaxed);
    event->router.build = dom_slice_str(DOM_BUILD_NAME);
    event->router.instance = dom_slice_str(router->options.instance);
    event->router.region = dom_slice_str(dom_store_region_name(router->store, from));
    event->origin = dom_slice_str(dom_store_log_origin(router->store, from));
}

static enum dom_code encode(struct dom_router *router, const struct dom_snapshot *snapshot,
                            const struct dom_store_transfer *transfer, dom_store_set abroad,
                            struct dom_buffer *out, struct dom_error *err)
{
    struct draft *draft = calloc(1, sizeof(*draft));
    uint8_t random[26];

    DOM_ASSERT(draft != NULL);
    if (getentropy(random, sizeof(random)) != 0) {
        free(draft);
        return DOM_FAIL(err, DOM_INTERNAL, "no randomness from the system");
    }
    struct dom_audit_event *event = &draft->event;
    event->type = DOM_AUDIT_PLACEMENT;
    event->time_ms = dom_clock_wall_ms(router->clock);
    dom_audit_uuid7(event->id, event->time_ms, random);
    memcpy(event->nonce, random + 10, DOM_NONCE_SIZE);
    fill_policy(router, event, snapshot, transfer->from);
    fill_record(event, snapshot, transfer);
    event->record.region = event->router.region;
    event->transfer.method = DOM_SLICE_LIT("replication");
    event->transfer.from = dom_slice_str(country_of(snapshot, transfer->from));
    event->transfer.from_region = event->router.region;
    bool moves = transfer->new_home != DOM_STORE_NO_REGION;
    if (moves) {
        event->transfer.to = dom_slice_str(country_of(snapshot, transfer->new_home));
        event->transfer.to_region =
            dom_slice_str(dom_store_region_name(router->store, transfer->new_home));
    }
    fill_replicas(draft, router, snapshot, abroad);
    fill_fields(draft, snapshot, transfer, abroad);
    draft->details[0].name = DOM_SLICE_LIT("action");
    draft->details[0].text = moves ? DOM_SLICE_LIT("move") : DOM_SLICE_LIT("copy");
    event->details = draft->details;
    event->num_details = 1;
    enum dom_code rc = dom_audit_event_encode(event, out, err);
    if (rc == DOM_TOO_LARGE) {
        event->num_fields = 0; /* so many that the entry cannot hold them: the record is named */
        rc = dom_audit_event_encode(event, out, err);
    }
    free(draft);
    return rc;
}

enum dom_code dom_router_transfer_entry(void *context, const struct dom_store_transfer *transfer,
                                        struct dom_buffer *out, struct dom_error *err)
{
    struct dom_router *router = context;
    struct dom_snapshot *snapshot = dom_holder_get(&router->holder);
    dom_policy_id law = dom_snapshot_jurisdiction(snapshot, transfer->from);
    dom_store_set gained = 0;
    dom_store_set abroad = 0;
    enum dom_code rc = DOM_OK;

    for (size_t i = 0; i < transfer->row->num_fields; i++) {
        gained |= transfer->gains[i];
    }
    for (; gained != 0; gained &= gained - 1) {
        dom_store_region region = (dom_store_region)__builtin_ctzll(gained);
        /* A region that the policy does not know any more has no law: out of it everything goes
         * abroad. */
        if (law == DOM_POLICY_NONE || dom_snapshot_jurisdiction(snapshot, region) != law) {
            abroad |= UINT64_C(1) << region;
        }
    }
    enum dom_code closed = dom_snapshot_closed(snapshot, dom_clock_wall_ms(router->clock));
    if (abroad != 0 && closed != DOM_OK) {
        rc = DOM_FAIL(err, closed, "%s", dom_code_text(closed));
    } else if (abroad != 0) {
        rc = encode(router, snapshot, transfer, abroad, out, err);
    }
    dom_snapshot_unref(snapshot);
    return rc;
}

/* ---- regions that the policy has given up ----------------------------------------------------- */

void dom_router_open_retired(struct dom_router *router)
{
    DIR *dir = opendir(router->options.data_dir);
    struct dirent *entry = NULL;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        dom_store_region region = DOM_STORE_NO_REGION;
        struct dom_error err = {0};
        char path[PATH_MAX];
        (void)snprintf(path, sizeof(path), "%s/%s/FORMAT", router->options.data_dir,
                       entry->d_name);
        if (entry->d_name[0] == '.' || access(path, F_OK) != 0) {
            continue;
        }
        if (dom_store_open_region(router->store, &region, entry->d_name, &err) != DOM_OK) {
            dom_log(DOM_LOG_ERROR, "store.retired_region", "region=%s reason=\"%s\"",
                    entry->d_name, err.message);
        }
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
}

/* ---- while records change their home region --------------------------------------------------- */

static const char *lead_of(const struct dom_policy *policy, struct dom_slice kind,
                           const char *home, int64_t now_ms)
{
    const struct dom_policy_placement *placement =
        dom_policy_place(policy, dom_policy_find_kind(policy, kind),
                         dom_policy_find_country(policy, dom_slice_str(home)), now_ms);

    return placement == NULL || placement->lead == DOM_POLICY_NONE
               ? ""
               : dom_policy_region_name(policy, placement->lead);
}

bool dom_router_may_be_elsewhere(struct dom_router *router, const struct dom_snapshot *snapshot,
                                 struct dom_slice kind, const char *home, int64_t now_ms)
{
    if (!dom_store_rehoming(router->store)) {
        return false;
    }
    (void)pthread_mutex_lock(&router->holder.lock);
    struct dom_policy *before =
        router->holder.before == NULL ? NULL : dom_policy_ref(router->holder.before);
    (void)pthread_mutex_unlock(&router->holder.lock);
    bool may = before == NULL || strcmp(lead_of(before, kind, home, now_ms),
                                        lead_of(snapshot->policy, kind, home, now_ms)) != 0;
    dom_policy_unref(before);
    return may;
}
