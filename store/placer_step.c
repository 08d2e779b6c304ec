/* One step of a pass: some rows read, what each needs, and that done. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "store/placer.h"
#include "store/replica/replicator.h"

/* A record that belongs to another home region, or is on its way already. */
struct move {
    struct dom_place_item item;
    const dom_store_set *gains;
    dom_store_region to;
    bool ready; /* not at home here any more */
    bool dropped;
};

struct step {
    struct dom_place_pass *pass;
    struct dom_region_host *host;
    dom_store_region number;
    dom_store_set self;
    struct dom_arena arena;
    size_t bytes;
    struct dom_place_item items[DOM_PLACE_ROWS_MAX];
    size_t num_items;
    struct move moves[DOM_PLACE_ROWS_MAX];
    size_t num_moves;
    struct dom_place_item batch[DOM_PLACE_ROWS_MAX]; /* of one job */
    struct dom_claim claims[DOM_PLACE_ROWS_MAX];
    struct dom_claim *claimed;
};

static dom_store_set bit(dom_store_region region)
{
    return (dom_store_set)1 << region;
}

static enum dom_code no_memory(struct dom_error *err)
{
    return DOM_FAIL(err, DOM_RESOURCE, "a step of placing needs more memory than it may have");
}

/* ---- what a row needs ----------------------------------------------------------------------- */

/* Per field: where it may lie now, and where it lies. */
struct view {
    const struct dom_region_row *row;
    dom_store_set *now; /* with the home region itself */
    dom_store_set *old; /* without */
    dom_store_region home;
    dom_store_set copies;
    bool known; /* `old` is what the row says, and not just that it may be */
};

static enum dom_code look(struct step *step, const struct dom_region_row *row, struct view *view,
                          struct dom_error *err)
{
    const struct dom_store_options *options = &step->host->options;
    size_t num = row->row.num_fields;
    bool stays = false;

    view->row = row;
    view->now = dom_arena_alloc(&step->arena, num * sizeof(*view->now));
    view->old = dom_arena_alloc(&step->arena, num * sizeof(*view->old));
    if (view->now == NULL || view->old == NULL) {
        return no_memory(err);
    }
    view->known = row->lies != NULL || num == 0;
    view->copies = dom_region_peers(step->pass->region, row->copies);
    view->home = options->home_region == NULL
                     ? step->number
                     : options->home_region(options->context, row->row.kind, row->row.home);
    stays = view->home == DOM_STORE_NO_REGION;
    size_t count = atomic_load(&step->host->num_regions);
    dom_store_set open = count >= 64 ? ~(dom_store_set)0 : bit((dom_store_region)count) - 1;
    for (size_t i = 0; i < num; i++) {
        view->now[i] = options->field_regions == NULL
                           ? 0
                           : options->field_regions(options->context, row->row.kind, row->row.home,
                                                    row->row.fields[i].name);
        view->now[i] &= open;
        view->old[i] = row->lies == NULL ? view->copies
                       : i > 0 && row->lies[i] == row->lies[i - 1]
                           ? view->old[i - 1]
                           : dom_region_peers(step->pass->region, row->lies[i]);
        stays = stays || (view->now[i] & bit(view->home)) == 0;
    }
    if (stays && options->home_region != NULL) {
        /* Some of it may lie nowhere. What has no legal place is neither thrown away nor carried
         * to one more place that it may not be in: it stays, and no read gives it out. */
        step->pass->without_place++;
        view->home = step->number;
    }
    return DOM_OK;
}

static enum dom_code add_entry(struct step *step, const struct view *view,
                               const dom_store_set *gains, dom_store_region new_home,
                               struct dom_slice *entryp, struct dom_error *err)
{
    const struct dom_store_options *options = &step->host->options;
    struct dom_buffer entry = {.limit = DOM_ENTRY_BYTES_MAX};
    char subject[64];
    enum dom_code rc = DOM_OK;

    *entryp = dom_slice_of(NULL, 0);
    if (options->transfer_entry == NULL) {
        return DOM_OK;
    }
    dom_region_subject_hash(step->pass->region, view->row->row.kind, view->row->row.id, subject);
    struct dom_store_transfer transfer = {.from = step->number,
                                          .row = &view->row->row,
                                          .subject_hash = subject,
                                          .gains = gains,
                                          .new_home = new_home};
    rc = options->transfer_entry(options->context, &transfer, &entry, err);
    if (rc == DOM_OK && entry.len > 0) {
        char *copy = dom_arena_dup(&step->arena, dom_buffer_slice(&entry));
        *entryp = dom_slice_of(copy, entry.len);
        rc = copy == NULL ? no_memory(err) : DOM_OK;
    }
    dom_buffer_cleanup(&entry);
    return rc;
}

/* Takes away where it may not lie, or adds where it may: the other way round is another pass. */
static enum dom_code plan_spread(struct step *step, const struct view *view, struct dom_error *err)
{
    size_t num = view->row->row.num_fields;
    bool widen = step->pass->widen;
    dom_store_set *lies = dom_arena_alloc(&step->arena, num * sizeof(*lies));
    dom_store_set *gains = dom_arena_alloc(&step->arena, num * sizeof(*gains));
    dom_store_set gained = 0;
    dom_store_set lost = view->known || widen ? 0 : view->copies;

    if (lies == NULL || gains == NULL) {
        return no_memory(err);
    }
    for (size_t i = 0; i < num; i++) {
        dom_store_set want = view->now[i] & ~step->self;
        gains[i] = want & ~view->old[i];
        gained |= gains[i];
        lost |= view->old[i] & ~want;
        lies[i] = widen ? want : want & view->old[i];
    }
    struct dom_place_item *item = &step->items[step->num_items];
    *item = (struct dom_place_item){.step = DOM_PLACE_SPREAD,
                                    .row = view->row,
                                    .lies = lies,
                                    .targets = lost | (widen ? gained : 0),
                                    .absent = dom_region_absent(step->pass->region,
                                                                view->row->copies)};
    if (num == 0 || (widen ? gained == 0 : lost == 0 && item->absent == 0 && view->known)) {
        return DOM_OK;
    }
    step->num_items++;
    return widen ? add_entry(step, view, gains, DOM_STORE_NO_REGION, &item->entry, err) : DOM_OK;
}

static enum dom_code plan_move(struct step *step, const struct view *view, struct dom_error *err)
{
    size_t num = view->row->row.num_fields;
    struct move *move = &step->moves[step->num_moves];
    dom_store_set *lies = dom_arena_alloc(&step->arena, num * sizeof(*lies));
    dom_store_set *gains = dom_arena_alloc(&step->arena, num * sizeof(*gains));
    dom_store_set told = view->copies | step->self;

    if (lies == NULL || gains == NULL) {
        return no_memory(err);
    }
    for (size_t i = 0; i < num; i++) {
        lies[i] = view->now[i] & ~bit(view->home);
        gains[i] = view->now[i] & ~(view->old[i] | step->self);
        told |= view->now[i];
    }
    *move = (struct move){.item = {.step = DOM_PLACE_ARRIVE,
                                   .row = view->row,
                                   .lies = lies,
                                   .targets = told & ~bit(view->home),
                                   .moves_to = view->home},
                          .gains = gains,
                          .to = view->home};
    step->num_moves++;
    /* One that is on its way already has its entry: unless it goes somewhere else now. */
    if (view->home == step->number || (view->row->moving && view->row->moves_to == view->home)) {
        move->ready = true;
        return DOM_OK;
    }
    return add_entry(step, view, gains, view->home, &move->item.entry, err);
}

/* As it is, to those that may not have it any more. */
static enum dom_code plan_reseed(struct step *step, const struct dom_region_row *row,
                                 struct dom_error *err)
{
    dom_store_set copies = dom_region_peers(step->pass->region, row->copies);
    dom_store_set *lies = dom_arena_alloc(&step->arena, row->row.num_fields * sizeof(*lies));

    if (lies == NULL) {
        return no_memory(err);
    }
    if (row->moving || (copies & step->pass->reseed) == 0) {
        return DOM_OK;
    }
    for (size_t i = 0; i < row->row.num_fields; i++) {
        lies[i] = row->lies == NULL ? copies : dom_region_peers(step->pass->region, row->lies[i]);
    }
    step->items[step->num_items++] =
        (struct dom_place_item){.step = DOM_PLACE_SPREAD,
                                .row = row,
                                .lies = lies,
                                .targets = copies & step->pass->reseed};
    return DOM_OK;
}

static enum dom_code plan_row(struct step *step, const struct dom_region_row *row,
                              struct dom_error *err)
{
    struct view view;

    step->pass->visited++;
    if (step->pass->reseed != 0) {
        return plan_reseed(step, row, err);
    }
    enum dom_code rc = look(step, row, &view, err);
    if (rc != DOM_OK) {
        return rc;
    }
    if (!row->moving && view.home == step->number) {
        return plan_spread(step, &view, err);
    }
    if (step->pass->widen) {
        step->pass->again = true; /* came in between */
        return DOM_OK;
    }
    return plan_move(step, &view, err);
}

/* ---- reading -------------------------------------------------------------------------------- */

static enum dom_code take_row(struct step *step, struct dom_slice key, struct dom_slice value,
                              struct dom_error *err)
{
    struct dom_place_pass *pass = step->pass;
    struct dom_row_header header;

    enum dom_code rc = dom_row_header_parse(&header, value, err);
    if (rc != DOM_OK || (header.flags & (DOM_ROW_HOME | DOM_ROW_MOVING)) == 0) {
        return rc;
    }
    struct dom_region_row *row = dom_arena_alloc(&step->arena, sizeof(*row));
    if (row == NULL) {
        return no_memory(err);
    }
    step->bytes += value.len;
    rc = dom_region_open_row(pass->region, &pass->placer->ciphers[step->number], key, value,
                             &step->arena, row, err);
    return rc == DOM_OK ? plan_row(step, row, err) : rc;
}

static bool is_full(const struct step *step, size_t looked_at)
{
    size_t items_max = step->pass->widen ? DOM_PLACE_WIDEN_MAX : DOM_PLACE_ROWS_MAX;

    return step->num_items == items_max || step->num_moves == DOM_PLACE_ROWS_MAX ||
           looked_at == DOM_PLACE_VISITED_MAX || step->bytes >= DOM_PLACE_BYTES_MAX;
}

/* Goes on from `after`; says in `last` how far it came, for when all of it is done. */
static enum dom_code read_rows(struct step *step, struct dom_row_key *last, struct dom_error *err)
{
    struct dom_place_pass *pass = step->pass;
    struct dom_slice after = dom_slice_of(pass->after, pass->after_len);
    enum dom_code rc = DOM_OK;
    rocksdb_iterator_t *iter = dom_db_iter(dom_region_db(pass->region), DOM_DB_ROWS);

    rocksdb_iter_seek(iter, (const char *)after.data, after.len);
    if (after.len > 0 && rocksdb_iter_valid(iter) && dom_slice_eq(dom_db_iter_key(iter), after)) {
        rocksdb_iter_next(iter);
    }
    for (size_t i = 0; rc == DOM_OK && rocksdb_iter_valid(iter) && !is_full(step, i); i++) {
        struct dom_slice key = dom_db_iter_key(iter);
        rc = take_row(step, key, dom_db_iter_value(iter), err);
        if (dom_code_category(rc) == DOM_CAT_CORRUPT) {
            /* One damaged row must not hold up all that come after it; nobody can read it. */
            dom_log(DOM_LOG_ERROR, "store.place_skipped", "region=%s reason=\"%s\"",
                    dom_region_name(pass->region), err->message);
            rc = DOM_OK;
        }
        DOM_ASSERT(key.len <= sizeof(last->bytes));
        memcpy(last->bytes, key.data, key.len);
        last->len = key.len;
        rocksdb_iter_next(iter);
    }
    if (rc == DOM_OK && !rocksdb_iter_valid(iter)) {
        rc = dom_db_iter_check(iter, err);
        pass->at_end = rc == DOM_OK;
    }
    rocksdb_iter_destroy(iter);
    return rc;
}

/* ---- doing ---------------------------------------------------------------------------------- */

static enum dom_code run_places(struct step *step, struct dom_region *region,
                                struct dom_place_item *items, size_t num, struct dom_error *err)
{
    struct dom_region_job job = {.type = DOM_JOB_PLACE,
                                 .places = items,
                                 .num_items = num,
                                 .num_bytes = step->bytes};

    return num == 0 ? DOM_OK : dom_region_run_job(region, &job, err);
}

static enum dom_code spread(struct step *step, struct dom_error *err)
{
    enum dom_code rc =
        run_places(step, step->pass->region, step->items, step->num_items, err);

    for (size_t i = 0; i < step->num_items && rc == DOM_OK; i++) {
        step->pass->changed += step->items[i].done ? 1 : 0;
    }
    return rc;
}

/* Whether the record has arrived somewhere: then only its home's outbox has yet to clean up here. */
static enum dom_code find_arrived(struct step *step, struct move *move, struct dom_error *err)
{
    size_t count = atomic_load(&step->host->num_regions);
    const struct dom_store_row *row = &move->item.row->row;

    if (move->item.row->moves_to == DOM_STORE_NO_REGION) {
        move->dropped = true; /* where it may be is not open: nobody can tell */
        step->pass->again = true;
    }
    for (size_t i = 0; i < count && !move->dropped; i++) {
        struct dom_region_peek peek;
        enum dom_code rc = dom_region_peek(atomic_load(&step->host->regions[i]), row->kind, row->id,
                                           &peek, err);
        if (rc != DOM_OK) {
            return rc;
        }
        move->dropped = (peek.live && peek.home) || (!peek.live && peek.floor > row->version);
    }
    return DOM_OK;
}

static enum dom_code claim_moves(struct step *step, struct dom_error *err)
{
    enum dom_code rc = DOM_OK;

    for (size_t i = 0; i < step->num_moves && rc == DOM_OK; i++) {
        struct move *move = &step->moves[i];
        const struct dom_store_row *row = &move->item.row->row;
        move->dropped = !dom_claims_take(step->host->claims, &step->claims[i], row->kind, row->id,
                                         DOM_CLAIM_MOVER, &step->claimed);
        step->pass->again = step->pass->again || move->dropped;
        if (!move->dropped && move->item.row->moving) {
            rc = find_arrived(step, move, err);
        }
    }
    return rc;
}

/* Ends their being at home here; each that crosses a border has its entry in the same batch. */
static enum dom_code depart(struct step *step, struct dom_error *err)
{
    struct move *of[DOM_PLACE_ROWS_MAX];
    size_t num = 0;

    for (size_t i = 0; i < step->num_moves; i++) {
        struct move *move = &step->moves[i];
        if (!move->dropped && !move->ready) {
            of[num] = move;
            step->batch[num] = move->item;
            step->batch[num++].step = DOM_PLACE_DEPART;
        }
    }
    enum dom_code rc = run_places(step, step->pass->region, step->batch, num, err);
    for (size_t i = 0; i < num && rc == DOM_OK; i++) {
        of[i]->ready = step->batch[i].done;
        of[i]->dropped = !step->batch[i].done;
        of[i]->item.entry = dom_slice_of(NULL, 0);
        step->pass->again = step->pass->again || of[i]->dropped;
    }
    /* What was read of the rows while they were at home must not overtake what the new home sends:
     * a region that is to hold nothing any more would get it back. */
    if (rc == DOM_OK && num > 0 &&
        !dom_replicator_barrier(atomic_load(&step->pass->placer->replicators[step->number]))) {
        rc = DOM_FAIL(err, DOM_UNAVAILABLE, "the store is stopping");
    }
    return rc;
}

static enum dom_code arrive_at(struct step *step, dom_store_region to, struct dom_error *err)
{
    size_t num = 0;

    for (size_t i = 0; i < step->num_moves; i++) {
        struct move *move = &step->moves[i];
        if (!move->dropped && move->ready && move->to == to) {
            step->batch[num++] = move->item;
        }
    }
    enum dom_code rc =
        run_places(step, atomic_load(&step->host->regions[to]), step->batch, num, err);
    for (size_t i = 0; i < num && rc == DOM_OK; i++) {
        DOM_ASSERT(step->batch[i].done);
        step->pass->changed++;
        step->pass->rehomed += to == step->number ? 0 : 1;
    }
    return rc;
}

static enum dom_code move_all(struct step *step, struct dom_error *err)
{
    size_t count = atomic_load(&step->host->num_regions);

    if (step->num_moves == 0) {
        return DOM_OK;
    }
    enum dom_code rc = claim_moves(step, err);
    if (rc == DOM_OK) {
        rc = depart(step, err);
    }
    for (size_t i = 0; i < count && rc == DOM_OK; i++) {
        rc = arrive_at(step, (dom_store_region)i, err);
    }
    dom_claims_release(step->host->claims, &step->claimed);
    return rc;
}

enum dom_code dom_place_step(struct dom_place_pass *pass, struct dom_error *err)
{
    struct step *step = calloc(1, sizeof(*step));
    struct dom_row_key last = {.len = 0};

    DOM_ASSERT(step != NULL);
    step->pass = pass;
    step->host = pass->placer->host;
    step->number = dom_region_number(pass->region);
    step->self = bit(step->number);
    dom_arena_init(&step->arena, NULL, 0, DOM_PLACE_ARENA_MAX);
    pass->visited = 0;
    pass->changed = 0;
    pass->rehomed = 0;
    pass->without_place = 0;
    pass->again = false;
    enum dom_code rc = DOM_FAIL(err, DOM_IO, "region %s: its database is not open",
                                dom_region_name(pass->region));
    if (dom_db_enter(dom_region_db(pass->region))) {
        rc = read_rows(step, &last, err);
        dom_db_leave(dom_region_db(pass->region));
    }
    if (rc == DOM_OK) {
        rc = spread(step, err);
    }
    if (rc == DOM_OK) {
        rc = move_all(step, err);
    }
    if (rc == DOM_OK && last.len > 0) {
        memcpy(pass->after, last.bytes, last.len);
        pass->after_len = last.len;
    }
    pass->at_end = pass->at_end && rc == DOM_OK;
    dom_arena_cleanup(&step->arena);
    free(step);
    return rc;
}
