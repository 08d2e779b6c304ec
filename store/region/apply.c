/* Rows that come from another region's outbox, and the store's own audit entries. */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "store/region/region_internal.h"

static void remove_row(struct dom_region *region, const struct dom_apply_item *item,
                       struct dom_row_state *state)
{
    if (!state->live) {
        return;
    }
    if (item->deleted) {
        dom_stage_tombstone(region, state->key, item->version, 0);
        state->floor = item->version;
    } else {
        /* It goes on elsewhere; here not even its key is to stay. What could bring it back comes
         * from its home alone, in order. */
        dom_stage_forget(region, state->key);
        state->floor = 0;
    }
    dom_stage_purge(region, state->key, item->placed);
    state->live = false;
    state->moving = false;
}

/* The very row is here already: after a crash, or when a placement took something from others. */
static bool is_here(const struct dom_apply_item *item, const struct dom_row_state *state)
{
    return state->live && !state->moving && !item->remove && item->version == state->version &&
           item->update_time_ms == state->update_time_ms && item->complete == state->complete &&
           dom_stage_names(item->fields, item->num_fields) == state->names;
}

static enum dom_code put_row(struct dom_region *region, const struct dom_apply_item *item,
                             struct dom_row_state *state, struct dom_error *err)
{
    struct dom_row_header header = {.flags = item->complete ? DOM_ROW_COMPLETE : 0,
                                    .version = item->version};
    struct dom_row_body body = {.moves_to = DOM_ROW_NO_PEER,
                                .kind = item->kind,
                                .id = item->id,
                                .create_time_ms = item->create_time_ms,
                                .update_time_ms = item->update_time_ms,
                                .fields = item->fields,
                                .num_fields = item->num_fields};

    memcpy(body.home, item->home, sizeof(body.home));
    enum dom_code rc = dom_stage_row(region, state, &header, &body, err);
    if (rc != DOM_OK) {
        return rc;
    }
    if (state->live && item->num_fields < state->num_fields) {
        dom_stage_purge(region, state->key, item->placed);
    }
    state->live = true;
    state->moving = false;
    state->complete = item->complete;
    state->version = item->version;
    state->update_time_ms = item->update_time_ms;
    state->num_fields = item->num_fields;
    state->names = dom_stage_names(item->fields, item->num_fields);
    return DOM_OK;
}

static enum dom_code apply_item(struct dom_region *region, const struct dom_apply_item *item,
                                struct dom_error *err)
{
    struct dom_row_state *state = NULL;

    enum dom_code rc = dom_stage_state(region, item->kind, item->id, &state, err);
    if (rc != DOM_OK) {
        return rc;
    }
    /* Older never overwrites newer; and a home row is nobody else's to write. */
    if ((state->live && (state->home || item->version < state->version)) ||
        (!state->live && item->version <= state->floor)) {
        return DOM_OK;
    }
    if (is_here(item, state)) {
        return DOM_OK;
    }
    region->group.num_applied++;
    if (item->remove) {
        remove_row(region, item, state);
        return DOM_OK;
    }
    return put_row(region, item, state, err);
}

static enum dom_code apply_all(struct dom_region *region, const struct dom_region_job *job,
                               struct dom_error *err)
{
    char key[8 + DOM_POLICY_NAME_BYTES_MAX];
    uint8_t mark[8];

    for (size_t i = 0; i < job->num_items; i++) {
        enum dom_code rc = apply_item(region, &job->items[i], err);
        if (rc != DOM_OK) {
            /* What was put so far stays in the batch: it is right by itself, and without the
             * watermark all of it comes again. */
            return rc;
        }
    }
    if (job->source == NULL) {
        return DOM_OK;
    }
    (void)snprintf(key, sizeof(key), "mark:%s", job->source);
    dom_put_u64be(mark, job->watermark);
    dom_db_batch_put(region->db, region->group.batch, DOM_DB_META, dom_slice_str(key),
                     dom_slice_of(mark, sizeof(mark)));
    return DOM_OK;
}

enum dom_code dom_stage_job(struct dom_region *region, const struct dom_region_job *job,
                            struct dom_error *err)
{
    switch (job->type) {
        case DOM_JOB_APPLY:
            return apply_all(region, job, err);
        case DOM_JOB_PLACE:
            return dom_stage_places(region, job, err);
        case DOM_JOB_FORGET:
            return dom_stage_forgets(region, job, err);
        case DOM_JOB_PLACED:
            dom_db_batch_put(region->db, region->group.batch, DOM_DB_META, DOM_SLICE_LIT("placed"),
                             dom_slice_of(job->placement_id, 32));
            return DOM_OK;
        case DOM_JOB_ENTRY:
            break;
    }
    if (job->purge_done) {
        dom_stage_purge_done(region);
    }
    return dom_stage_entries(region, &job->entry, job->entry.len == 0 ? 0 : 1, NULL, err);
}
