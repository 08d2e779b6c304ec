/* ListRecords: pages scanned on the worker, each with its own decision and, across a border, its
 * own entry; sent one at a time, as fast as the caller reads. */
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/encode.h"
#include "domicile/v1/record.pb-c.h"
#include "router/core/wire.h"
#include "router/service/read.h"

#define PAGE_DEFAULT 100U
#define TOKEN_BYTES_MAX 64U
#define PAGE_BYTES_MAX (DOM_MESSAGE_BYTES_MAX - (64U << 10))
#define PAGE_ARENA_BYTES_MAX (24U << 20)
#define SUBJECT_BYTES 64U
#define LIMITS_PER_RECORD (2U * DOM_OBLIGATIONS_MAX)
#define LIMIT_KEYS_BYTES_MAX (8U << 20)

struct listing {
    struct dom_turn turn;
    struct dom_job job;
    struct dom_rpc_work work;     /* the page is scanned: back to the I/O thread */
    struct dom_async async;
    struct dom_mask mask;
    struct dom_access access;
    dom_policy_id purpose;
    dom_policy_id kind;
    dom_policy_id home;
    struct dom_slice kind_name;
    const char *home_name;
    size_t page_size;
    size_t pages_left;            /* SIZE_MAX: all */
    uint8_t after[TOKEN_BYTES_MAX];
    size_t after_len;
    bool at_end;

    /* One page. */
    struct dom_arena page_arena;
    struct dom_buffer page;       /* records and decision */
    struct dom_buffer record;
    dom_policy_set page_classes;
    size_t num_records;
    size_t seen;
    uint64_t page_bytes;
    struct dom_buffer subjects;   /* SUBJECT_BYTES for each record, when a limit counts them */
    struct dom_arena limit_arena; /* of limit_keys */
    struct dom_slice *limit_keys; /* DOM_PAGE_RECORDS_MAX * LIMITS_PER_RECORD, owned */
    size_t num_limit_keys;
    bool refused;                 /* the entry under way is a denial */
    struct dom_slice entry;
    struct dom_store_receipt receipt;
    struct dom_store_session *session; /* the worker's, while a page is scanned */
    enum dom_code scan_code;
    struct dom_error scan_error;
};

static void free_limits(struct listing *listing)
{
    dom_arena_cleanup(&listing->limit_arena);
    free(listing->limit_keys);
    listing->limit_keys = NULL;
}

static void cleanup(struct listing *listing)
{
    dom_arena_cleanup(&listing->page_arena);
    dom_buffer_cleanup(&listing->page);
    dom_buffer_cleanup(&listing->record);
    dom_buffer_cleanup(&listing->subjects);
    if (!listing->async.given_up) {
        free_limits(listing); /* else they are the store's still */
    }
}

static void entry_late(struct dom_async *async)
{
    free_limits(async->owner);
}

static bool limited(const struct listing *listing)
{
    const struct dom_policy_cell *cell = listing->access.decision.cell;

    return listing->access.request.crosses && cell != NULL && cell->num_limits > 0;
}

static void end_with(struct listing *listing, enum dom_code code, const char *path,
                     const char *why)
{
    (void)dom_refuse(&listing->turn.refusal, code, path, "%s", why);
    cleanup(listing);
    dom_turn_refuse(&listing->turn);
}

static bool pseudonym(void *context, const char *key_name, struct dom_slice value, char out[32])
{
    struct listing *listing = context;

    return dom_store_pseudonym(listing->session, listing->access.served, key_name, value, out,
                               NULL) == DOM_OK;
}

/* One row of the scan, on the worker. False: the page is full. */
static bool take_row(void *context, const struct dom_store_row *row)
{
    struct listing *listing = context;
    struct dom_access access = listing->access;

    if (strcmp(row->home, listing->home_name) != 0) {
        return true;
    }
    dom_policy_set here =
        dom_row_classes(listing->turn.snapshot, listing->kind, row, &listing->mask);
    listing->page_classes |= here;
    if (limited(listing)) {
        char subject[SUBJECT_BYTES] = "";
        dom_store_subject_hash(
            listing->session, listing->access.served, DOM_SLICE_LIT("subject"),
            dom_row_subject(listing->turn.snapshot, listing->kind, row), subject);
        dom_buffer_append(&listing->subjects, subject, sizeof(subject));
    }
    dom_buffer_clear(&listing->record);
    dom_answer_record(&listing->record, &access, row, &listing->mask, pseudonym, listing);
    dom_wire_element(&listing->page, 1, dom_buffer_slice(&listing->record));
    listing->num_records++;
    listing->page_bytes += listing->record.len;
    return listing->num_records < listing->page_size && listing->page.len < PAGE_BYTES_MAX;
}

static void page_scanned(struct dom_rpc_work *work);

static void scan_page(struct dom_job *job, struct dom_store_session *session)
{
    struct listing *listing = (struct listing *)((char *)job - offsetof(struct listing, job));
    struct dom_turn *turn = &listing->turn;

    listing->session = session;
    listing->scan_code = DOM_OK;
    while (listing->num_records < listing->page_size && !listing->at_end &&
           listing->page.len < PAGE_BYTES_MAX && listing->scan_code == DOM_OK &&
           !dom_rpc_call_cancelled(turn->call)) {
        dom_arena_reset(&listing->page_arena);
        listing->scan_code = dom_store_scan(
            session, listing->access.served, listing->kind_name,
            dom_slice_of(listing->after, listing->after_len),
            listing->page_size - listing->num_records, &listing->page_arena, take_row, listing,
            listing->after, &listing->after_len, &listing->at_end, &listing->scan_error);
    }
    listing->work.run = page_scanned;
    listing->work.next = NULL;
    dom_rpc_post(turn->router->server, &listing->work, &listing->work);
}

/* A page is given out under the policy in force, or not at all. */
static bool policy_stays(struct listing *listing)
{
    struct dom_snapshot *now = dom_holder_get(&listing->turn.router->holder);
    const struct dom_policy *mine = listing->turn.snapshot->policy;
    bool stays = now->policy == mine ||
                 (now->trial != NULL && now->trial->candidate != NULL &&
                  now->trial->candidate->policy == mine); /* the caller is on trial with it */

    dom_snapshot_unref(now);
    return stays;
}

static void next_page(struct listing *listing)
{
    if (!policy_stays(listing)) {
        end_with(listing, DOM_UNAVAILABLE, NULL,
                 "another policy is in force: go on with a new call from the last page's token");
        return;
    }
    dom_buffer_clear(&listing->page);
    dom_buffer_clear(&listing->subjects);
    listing->num_records = 0;
    listing->page_bytes = 0;
    listing->page_classes = 0;
    listing->entry = dom_slice_of(NULL, 0);
    listing->job.run = scan_page;
    if (!dom_crew_push(&listing->turn.router->crew, listing->access.served, &listing->job)) {
        end_with(listing, DOM_RESOURCE, NULL, "too many scans at once");
    }
}

static void page_sent(struct dom_rpc_call *call, bool ok, void *arg)
{
    struct listing *listing = arg;

    (void)call;
    if (listing->pages_left != SIZE_MAX) {
        listing->pages_left--;
    }
    if (ok && !listing->at_end && listing->pages_left > 0) {
        next_page(listing);
        return;
    }
    cleanup(listing);
    dom_turn_release(&listing->turn);
    dom_rpc_call_finish(listing->turn.call);
}

static void send_page(struct listing *listing)
{
    char token[DOM_BASE64_LEN(TOKEN_BYTES_MAX) + 1];

    if (!listing->at_end) {
        (void)dom_base64_encode(token, dom_slice_of(listing->after, listing->after_len));
        dom_wire_str(&listing->page, 2, token);
    }
    size_t at = dom_wire_begin(&listing->page, 3);
    dom_answer_decision(&listing->page, &listing->access, NULL, NULL);
    dom_wire_end(&listing->page, at);
    if (listing->entry.len > 0) {
        at = dom_wire_begin(&listing->page, 4);
        dom_answer_receipt(&listing->page,
                           dom_store_log_origin(listing->turn.router->store, listing->access.served),
                           &listing->receipt);
        dom_wire_end(&listing->page, at);
    }
    if (listing->page.failed) {
        end_with(listing, DOM_RESOURCE, NULL, "out of memory");
        return;
    }
    dom_rpc_call_send(listing->turn.call, dom_buffer_slice(&listing->page), page_sent, listing);
}

static void entry_done(struct dom_async *async)
{
    struct listing *listing = async->owner;
    struct dom_turn *turn = &listing->turn;

    dom_limit_settle(&turn->router->limits, listing->access.served, listing->limit_keys,
                     listing->num_limit_keys, async->code == DOM_OK);
    listing->num_limit_keys = 0;
    if (async->code != DOM_OK) {
        end_with(listing, DOM_AUDIT_UNAVAILABLE, NULL,
                 "the access cannot be written to the audit log");
        return;
    }
    if (listing->refused) {
        cleanup(listing);
        dom_turn_refuse_decision(turn, &listing->access);
        return;
    }
    send_page(listing);
}

/* Counts every record of the page against the limits; on an error none is counted. */
static enum dom_code count_page(struct listing *listing, struct dom_error *err)
{
    struct dom_turn *turn = &listing->turn;
    enum dom_code rc = DOM_OK;

    if (listing->limit_keys == NULL) {
        dom_arena_init(&listing->limit_arena, NULL, 0, LIMIT_KEYS_BYTES_MAX);
        listing->limit_keys = calloc((size_t)DOM_PAGE_RECORDS_MAX * LIMITS_PER_RECORD,
                                     sizeof(*listing->limit_keys));
    }
    if (listing->limit_keys == NULL || listing->subjects.failed) {
        return DOM_FAIL(err, DOM_RESOURCE, "out of memory");
    }
    dom_arena_reset(&listing->limit_arena);
    listing->num_limit_keys = 0;
    for (size_t i = 0; i < listing->num_records && rc == DOM_OK; i++) {
        const char *subject = (const char *)listing->subjects.data + i * SUBJECT_BYTES;
        size_t num = 0;
        char access_id[17];
        uint8_t random[8];
        dom_policy_id rule = DOM_POLICY_NONE;
        dom_router_random(turn->router, random, sizeof(random));
        dom_hex_encode(access_id, dom_slice_of(random, sizeof(random)));
        rc = dom_limit_check(&turn->router->limits, turn->router->session, listing->access.served,
                             turn->snapshot->policy, listing->access.decision.cell,
                             dom_slice_str(subject), dom_slice_of(access_id, 16), turn->now_ms,
                             &listing->limit_arena, listing->limit_keys + listing->num_limit_keys,
                             &num, &rule, err);
        listing->num_limit_keys += num;
    }
    if (rc != DOM_OK) {
        dom_limit_settle(&turn->router->limits, listing->access.served, listing->limit_keys,
                         listing->num_limit_keys, false);
        listing->num_limit_keys = 0;
    }
    return rc;
}

static void page_scanned(struct dom_rpc_work *work)
{
    struct listing *listing = (struct listing *)((char *)work - offsetof(struct listing, work));
    struct dom_turn *turn = &listing->turn;
    struct dom_error err = {0};
    enum dom_code rc = DOM_OK;

    if (listing->scan_code != DOM_OK) {
        end_with(listing, listing->scan_code, NULL, listing->scan_error.message);
        return;
    }
    if (!listing->access.request.crosses) {
        send_page(listing);
        return;
    }
    turn->now_ms = dom_clock_wall_ms(turn->router->clock);
    rc = limited(listing) ? count_page(listing, &err) : DOM_OK;
    if (rc != DOM_OK && rc != DOM_LIMIT_REACHED) {
        end_with(listing, rc, NULL, err.message);
        return;
    }
    if (rc == DOM_LIMIT_REACHED) {
        listing->refused = true;
        dom_access_refuse(&listing->access, DOM_LIMIT_REACHED);
        (void)dom_refuse(&turn->refusal, DOM_LIMIT_REACHED, NULL, "%s", err.message);
        listing->page_bytes = 0;
        listing->num_records = 0;
    }
    struct dom_refusal kept = turn->refusal;
    rc = dom_turn_entry(turn, &listing->entry, &listing->access, "list",
                                      listing->kind_name, dom_slice_of(NULL, 0),
                                      listing->mask.names, listing->mask.num_names,
                                      listing->page_bytes, listing->num_records, 0);
    if (rc != DOM_OK) {
        dom_limit_settle(&turn->router->limits, listing->access.served, listing->limit_keys,
                         listing->num_limit_keys, false);
        cleanup(listing);
        dom_turn_refuse(turn);
        return;
    }
    turn->refusal = kept;
    memset(&listing->async, 0, sizeof(listing->async));
    listing->async.call = turn->call;
    listing->async.owner = listing;
    listing->async.done = entry_done;
    listing->async.late = entry_late;
    listing->async.op.type = DOM_STORE_APPEND;
    listing->async.op.region = listing->access.served;
    listing->async.op.deadline_us = dom_rpc_call_deadline_us(turn->call);
    listing->async.op.entries = &listing->entry;
    listing->async.op.num_entries = 1;
    listing->async.op.receipts = &listing->receipt;
    listing->async.op.limit_keys = listing->limit_keys;
    listing->async.op.num_limit_keys = listing->num_limit_keys;
    if (dom_async_submit(turn->router, turn->snapshot, &listing->async, &err) != DOM_OK) {
        dom_limit_settle(&turn->router->limits, listing->access.served, listing->limit_keys,
                         listing->num_limit_keys, false);
        end_with(listing, err.code, NULL, err.message);
    }
}

static bool take_page_token(struct listing *listing, struct dom_slice token)
{
    if (token.len == 0) {
        return true;
    }
    if (!dom_base64_decode(listing->after, sizeof(listing->after), &listing->after_len, token) ||
        listing->after_len < 16) {
        (void)dom_refuse(&listing->turn.refusal, DOM_INVALID, "page_token",
                         "not a token of an earlier answer");
        return false;
    }
    return true;
}

static bool take_request(struct listing *listing, const Domicile__V1__ListRecordsRequest *request)
{
    struct dom_turn *turn = &listing->turn;
    struct dom_refusal *refusal = &turn->refusal;
    struct dom_slice *names = dom_arena_alloc(turn->arena, request->n_fields * sizeof(*names));

    if (names == NULL) {
        return dom_refuse(refusal, DOM_RESOURCE, NULL, "the request needs too much memory") ==
               DOM_OK;
    }
    for (size_t i = 0; i < request->n_fields; i++) {
        names[i] = dom_pb_slice(request->fields[i]);
    }
    listing->kind_name = dom_pb_slice(request->kind);
    listing->kind = dom_policy_find_kind(turn->snapshot->policy, listing->kind_name);
    if (listing->kind == DOM_POLICY_NONE) {
        return dom_refuse(refusal, DOM_INVALID, "kind", "unknown kind") == DOM_OK;
    }
    if (dom_home_resolve(&listing->home, turn->snapshot, dom_pb_slice(request->home), "home",
                         refusal) != DOM_OK ||
        dom_purpose_resolve(&listing->purpose, turn->snapshot, dom_pb_slice(request->purpose),
                            refusal) != DOM_OK ||
        dom_mask_resolve(&listing->mask, turn->snapshot, listing->kind, names, request->n_fields,
                         turn->arena, refusal) != DOM_OK) {
        return false;
    }
    if (request->page_size > DOM_PAGE_RECORDS_MAX) {
        return dom_refuse(refusal, DOM_INVALID, "page_size", "at most %u",
                          DOM_PAGE_RECORDS_MAX) == DOM_OK;
    }
    listing->home_name = dom_policy_country_name(turn->snapshot->policy, listing->home);
    listing->page_size = request->page_size == 0 ? PAGE_DEFAULT : request->page_size;
    listing->pages_left = request->pages_max == 0 ? SIZE_MAX : request->pages_max;
    return take_page_token(listing, dom_pb_slice(request->page_token));
}

void dom_handle_list(struct dom_rpc_call *call, void *context)
{
    struct dom_turn probe = {.arena = dom_rpc_call_arena(call)};
    ProtobufCAllocator allocator = dom_turn_allocator(&probe);
    struct dom_slice bytes = dom_rpc_call_request(call);

    Domicile__V1__ListRecordsRequest *request =
        domicile__v1__list_records_request__unpack(&allocator, bytes.len, bytes.data);
    struct listing *listing = dom_arena_calloc(dom_rpc_call_arena(call), 1, sizeof(*listing));
    if (request == NULL || listing == NULL) {
        dom_call_undecodable(call);
        return;
    }
    struct dom_turn *turn = &listing->turn;
    if (!dom_turn_begin(turn, call, context)) {
        return;
    }
    if (!take_request(listing, request)) {
        dom_turn_refuse(turn);
        return;
    }
    const struct dom_policy_placement *placement =
        dom_policy_place(turn->snapshot->policy, listing->kind, listing->home, turn->now_ms);
    dom_store_region lead = dom_turn_log_region(turn, placement);
    bool crosses = dom_snapshot_jurisdiction(turn->snapshot, lead) != turn->caller.jurisdiction;
    dom_policy_set classes =
        listing->mask.num_names > 0
            ? listing->mask.classes
            : dom_policy_kind_classes(turn->snapshot->policy, listing->kind);
    dom_access_decide(&listing->access, turn->snapshot, &turn->caller, DOM_OP_LIST, listing->kind,
                      listing->home, listing->purpose, classes, lead, crosses, turn->now_ms);
    dom_turn_observe(&listing->access);
    if (listing->access.decision.effect == DOM_EFFECT_DENY) {
        dom_turn_deny(turn, &listing->access, "list", listing->kind_name, dom_slice_of(NULL, 0),
                      listing->mask.names, listing->mask.num_names, NULL);
        return;
    }
    if (dom_router_may_be_elsewhere(turn->router, turn->snapshot, listing->kind_name,
                                    listing->home_name, turn->now_ms)) {
        (void)dom_refuse(&turn->refusal, DOM_UNAVAILABLE, NULL,
                         "records of this home are on their way to another home region; try again");
        dom_turn_refuse(turn);
        return;
    }
    dom_arena_init(&listing->page_arena, NULL, 0, PAGE_ARENA_BYTES_MAX);
    dom_rpc_call_go_async(call);
    next_page(listing);
}
