/* Placing a home row anew, on the commit thread: other regions hold other parts of it, or it is at
 * home elsewhere from now on. The record itself stays as it is. */
#include <string.h>

#include "base/assert.h"
#include "store/region/region_internal.h"

/* A row as it is going to be: `lies` is filled in by peer numbers. */
struct draft {
    struct dom_row_header header;
    struct dom_row_body body;
    uint64_t lies[DOM_FIELDS_MAX];
    uint64_t targets;
};

static enum dom_code begin_draft(struct draft *draft, struct dom_region *region,
                                 const struct dom_place_item *item, struct dom_error *err)
{
    const struct dom_store_row *row = &item->row->row;

    draft->header = (struct dom_row_header){.flags = DOM_ROW_HOME | DOM_ROW_COMPLETE,
                                            .version = row->version};
    draft->body = (struct dom_row_body){.kind = row->kind,
                                        .id = row->id,
                                        .create_time_ms = row->create_time_ms,
                                        .update_time_ms = row->update_time_ms,
                                        .moves_to = DOM_ROW_NO_PEER,
                                        .fields = row->fields,
                                        .lies = draft->lies,
                                        .num_fields = row->num_fields};
    memcpy(draft->body.home, row->home, sizeof(draft->body.home));
    draft->body.copies = 0;
    enum dom_code rc = dom_stage_peers(region, item->targets, &draft->targets, err);
    draft->targets |= item->absent;
    for (size_t i = 0; i < row->num_fields && rc == DOM_OK; i++) {
        rc = dom_stage_peers(region, item->lies[i], &draft->lies[i], err);
        draft->body.copies |= draft->lies[i];
    }
    return rc;
}

/* Entry first, then the row, then what is owed: all in the group's one batch. */
static enum dom_code put_draft(struct draft *draft, struct dom_region *region,
                               const struct dom_place_item *item, struct dom_row_state *state,
                               struct dom_error *err)
{
    enum dom_code rc = draft->targets == 0 ? DOM_OK : dom_stage_outbox_room(region, err);

    if (rc == DOM_OK) {
        rc = dom_stage_entries(region, &item->entry, item->entry.len == 0 ? 0 : 1, NULL, err);
    }
    if (rc != DOM_OK) {
        return rc;
    }
    /* Its size was checked when it was written; an entry without its row must not be. */
    DOM_ASSERT(dom_stage_row(region, state, &draft->header, &draft->body, err) == DOM_OK);
    if (draft->targets != 0) {
        struct dom_outbox_entry owed = {.type = DOM_OUTBOX_PLACE,
                                        .version = draft->header.version,
                                        .targets = draft->targets,
                                        .key = state->key};
        (void)dom_stage_outbox(region, &owed);
    }
    state->live = true;
    state->home = (draft->header.flags & DOM_ROW_HOME) != 0;
    state->moving = (draft->header.flags & DOM_ROW_MOVING) != 0;
    state->complete = true;
    state->version = draft->header.version;
    state->create_time_ms = draft->body.create_time_ms;
    state->update_time_ms = draft->body.update_time_ms;
    state->copies = draft->body.copies;
    state->num_fields = draft->body.num_fields;
    state->names = dom_stage_names(draft->body.fields, draft->body.num_fields);
    memcpy(state->home_country, draft->body.home, sizeof(state->home_country));
    return DOM_OK;
}

static enum dom_code spread(struct dom_region *region, struct dom_place_item *item,
                            struct dom_row_state *state, struct dom_error *err)
{
    struct draft draft;

    if (!state->live || !state->home || state->version != item->row->row.version) {
        return DOM_OK;
    }
    enum dom_code rc = begin_draft(&draft, region, item, err);
    if (rc == DOM_OK) {
        rc = put_draft(&draft, region, item, state, err);
    }
    item->done = rc == DOM_OK;
    return rc;
}

/* From here on nobody commits a write of the record until it has arrived: no two homes, ever. */
static enum dom_code depart(struct dom_region *region, struct dom_place_item *item,
                            struct dom_row_state *state, struct dom_error *err)
{
    struct draft draft;

    if (!state->live || !(state->home || state->moving) ||
        state->version != item->row->row.version) {
        return DOM_OK;
    }
    enum dom_code rc = begin_draft(&draft, region, item, err);
    int peer = dom_region_peer_of(region, item->moves_to);
    if (rc == DOM_OK && peer < 0) {
        rc = DOM_FAIL(err, DOM_RESOURCE, "region %s has %u peers already", region->name,
                      DOM_PEERS_MAX);
    }
    if (rc != DOM_OK) {
        return rc;
    }
    draft.header.flags = DOM_ROW_MOVING | DOM_ROW_COMPLETE;
    draft.body.moves_to = (uint8_t)peer;
    draft.body.copies = item->row->copies;
    draft.body.lies = item->row->lies; /* what lies where does not change yet */
    draft.targets = 0;
    rc = put_draft(&draft, region, item, state, err);
    item->done = rc == DOM_OK;
    if (rc == DOM_OK) {
        uint8_t departed[8];
        dom_put_u64be(departed, (uint64_t)region->group.wall_ms);
        dom_db_batch_put(region->db, region->group.batch, DOM_DB_META, DOM_SLICE_LIT("departed"),
                         dom_slice_of(departed, sizeof(departed)));
        atomic_store(&region->departed_ms, region->group.wall_ms);
    }
    return rc;
}

/* Comes again after a crash: what has arrived, or was deleted since, stays as it is. */
static enum dom_code arrive(struct dom_region *region, struct dom_place_item *item,
                            struct dom_row_state *state, struct dom_error *err)
{
    uint64_t version = item->row->row.version;
    struct draft draft;

    if ((state->live && state->home) || (!state->live && state->floor > version)) {
        item->done = true;
        return DOM_OK;
    }
    enum dom_code rc = begin_draft(&draft, region, item, err);
    if (rc == DOM_OK) {
        uint64_t known = state->live ? state->version : state->floor;
        draft.header.version = (known > version ? known : version) + 1;
        rc = put_draft(&draft, region, item, state, err);
    }
    item->done = rc == DOM_OK;
    return rc;
}

enum dom_code dom_stage_places(struct dom_region *region, const struct dom_region_job *job,
                               struct dom_error *err)
{
    for (size_t i = 0; i < job->num_items; i++) {
        struct dom_place_item *item = &job->places[i];
        struct dom_row_state *state = NULL;
        enum dom_code rc =
            dom_stage_state(region, item->row->row.kind, item->row->row.id, &state, err);
        if (rc == DOM_OK) {
            switch (item->step) {
                case DOM_PLACE_SPREAD:
                    rc = spread(region, item, state, err);
                    break;
                case DOM_PLACE_DEPART:
                    rc = depart(region, item, state, err);
                    break;
                case DOM_PLACE_ARRIVE:
                    rc = arrive(region, item, state, err);
                    break;
            }
        }
        if (rc != DOM_OK) {
            return rc; /* what was put so far is right by itself; the rest comes again */
        }
    }
    return DOM_OK;
}

/* ---- writes across a change ----------------------------------------------------------------- */

static enum dom_code changed(struct dom_error *err)
{
    return DOM_FAIL(err, DOM_UNAVAILABLE,
                    "where the record may lie has changed meanwhile; try again");
}

enum dom_code dom_stage_check_placement(struct dom_region *region, const struct dom_store_op *op,
                                        struct dom_error *err)
{
    const struct dom_store_options *options = &region->host->options;

    if (op->placement_epoch == 0 || options->field_regions == NULL ||
        op->placement_epoch >= atomic_load(&region->host->placement_epoch)) {
        return DOM_OK;
    }
    if (options->home_region != NULL &&
        options->home_region(options->context, op->kind, op->home) != region->number) {
        return changed(err);
    }
    dom_store_set self = (dom_store_set)1 << region->number;
    for (size_t i = 0; i < op->num_fields; i++) {
        dom_store_set now =
            options->field_regions(options->context, op->kind, op->home, op->fields[i].name);
        dom_store_set then = op->field_regions == NULL ? op->targets : op->field_regions[i];
        if ((now & self) == 0 || (now & ~self) != then) {
            return changed(err);
        }
    }
    return DOM_OK;
}

int64_t dom_region_departed_ms(const struct dom_region *region)
{
    return atomic_load(&region->departed_ms);
}

/* ---- the placer's view ---------------------------------------------------------------------- */

enum dom_code dom_region_placed_by(struct dom_region *region,
                                   const struct dom_store_placement *placement, bool *placedp,
                                   struct dom_error *err)
{
    struct dom_db_value value;

    *placedp = false;
    DOM_ASSERT(pthread_mutex_lock(&region->purge_lock) == 0);
    region->placement = *placement;
    DOM_ASSERT(pthread_mutex_unlock(&region->purge_lock) == 0);
    if (!dom_db_enter(region->db)) {
        return DOM_FAIL(err, DOM_IO, "region %s: its database is not open", region->name);
    }
    enum dom_code rc = dom_db_get(region->db, DOM_DB_META, DOM_SLICE_LIT("placed"), &value, err);
    *placedp = rc == DOM_OK &&
               dom_slice_eq(value.bytes, dom_slice_of(placement->id, sizeof(placement->id)));
    dom_db_value_release(&value);
    dom_db_leave(region->db);
    return rc == DOM_NOT_FOUND ? DOM_OK : rc;
}

void dom_region_placing(struct dom_region *region, struct dom_store_placing *out)
{
    uint64_t tail = atomic_load(&region->tail);
    uint64_t done = atomic_load(&region->done_seq);

    out->purged = atomic_load(&region->num_placed_purged); /* first: it follows the other */
    out->unpurged = atomic_load(&region->num_placed_out) - out->purged;
    out->owed = tail > done ? tail - done : 0;
}
