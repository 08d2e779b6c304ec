/* The stored records, held against the placements of the new policy. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "tools/impact.h"

/* How a kind of the policy looks in rows. */
struct dom_impact_kind {
    uint8_t tag[4];
    dom_policy_id unknown; /* class of fields that it does not declare */
    size_t num_fields;
    uint32_t hash[DOM_FIELDS_MAX];
    dom_policy_id data_class[DOM_FIELDS_MAX];
};

static void fill_kind(struct dom_impact_kind *kind, const struct dom_policy *policy,
                      dom_policy_id id)
{
    dom_census_kind_tag(kind->tag, dom_slice_str(dom_policy_kind_name(policy, id)));
    /* No policy can declare a field of this name: what is said of it is said of every other. */
    (void)dom_policy_field_class(policy, id, DOM_SLICE_LIT("?"), &kind->unknown);
    kind->num_fields = dom_policy_kind_num_fields(policy, id);
    for (size_t i = 0; i < kind->num_fields; i++) {
        struct dom_slice name = dom_slice_str(dom_policy_kind_field_name(policy, id, i));
        kind->hash[i] = dom_census_name_hash(name);
        (void)dom_policy_field_class(policy, id, name, &kind->data_class[i]);
    }
}

void dom_impact_records_init(struct dom_impact_records *records, const struct dom_policy *policy,
                             int64_t time_ms)
{
    memset(records, 0, sizeof(*records));
    records->policy = policy;
    records->time_ms = time_ms;
    records->kinds = calloc(dom_policy_num_kinds(policy) + 1, sizeof(*records->kinds));
    records->places = calloc(DOM_IMPACT_PLACES_MAX, sizeof(struct dom_impact_place *));
    DOM_ASSERT(records->kinds != NULL);
    DOM_ASSERT(records->places != NULL);
    for (size_t i = 0; i < dom_policy_num_kinds(policy); i++) {
        fill_kind(&records->kinds[i], policy, (dom_policy_id)i);
    }
}

void dom_impact_records_cleanup(struct dom_impact_records *records)
{
    for (size_t i = 0; i < records->num_places; i++) {
        free(records->places[i]);
    }
    free(records->places);
    free(records->copies);
    free(records->kinds);
    memset(records, 0, sizeof(*records));
}

void dom_impact_records_region(struct dom_impact_records *records, const char *name)
{
    records->region_name = name;
    records->region = dom_policy_find_region(records->policy, dom_slice_str(name));
}

/* ---- one row ---- */

static dom_policy_id kind_of(const struct dom_impact_records *records, const uint8_t tag[4])
{
    for (size_t i = 0; i < dom_policy_num_kinds(records->policy); i++) {
        if (memcmp(records->kinds[i].tag, tag, 4) == 0) {
            return (dom_policy_id)i;
        }
    }
    return DOM_POLICY_NONE;
}

/* The place of this row's kind and home in the region being counted; NULL when there are more than
 * a policy could have. The rows of one region come sorted by kind: the newest places come first. */
static struct dom_impact_place *place_of(struct dom_impact_records *records,
                                         const struct dom_census_row *row)
{
    dom_policy_id kind = kind_of(records, row->kind_tag);

    for (size_t i = records->num_places; i > 0; i--) {
        struct dom_impact_place *place = records->places[i - 1];
        if (place->region_name != records->region_name) {
            break; /* of a region before */
        }
        if (place->kind == kind && memcmp(place->home_name, row->home_country, 2) == 0) {
            return place;
        }
    }
    if (records->num_places == DOM_IMPACT_PLACES_MAX) {
        return NULL;
    }
    struct dom_impact_place *place = calloc(1, sizeof(*place));
    DOM_ASSERT(place != NULL);
    place->kind = kind;
    place->home = dom_policy_find_country(records->policy, dom_slice_str(row->home_country));
    place->region = records->region;
    place->region_name = records->region_name;
    memcpy(place->home_name, row->home_country, sizeof(place->home_name));
    records->places[records->num_places++] = place;
    return place;
}

/* The class of a field by its name's hash: that of the declared field, else that of fields which
 * are not declared. */
static dom_policy_id class_of(const struct dom_impact_kind *kind, uint32_t hash)
{
    for (size_t i = 0; i < kind->num_fields; i++) {
        if (kind->hash[i] == hash) {
            return kind->data_class[i];
        }
    }
    return kind->unknown;
}

static bool may_lie(const struct dom_policy_placement *placement, dom_policy_id data_class,
                    dom_policy_id region)
{
    return placement != NULL && region != DOM_POLICY_NONE && data_class != DOM_POLICY_NONE &&
           placement->lead != DOM_POLICY_NONE &&
           ((placement->storable >> data_class) & 1U) != 0 &&
           ((placement->regions[data_class] >> region) & 1U) != 0;
}

static bool may_lie_somewhere(const struct dom_policy_placement *placement,
                              dom_policy_id data_class)
{
    return placement != NULL && data_class != DOM_POLICY_NONE &&
           placement->lead != DOM_POLICY_NONE &&
           ((placement->storable >> data_class) & 1U) != 0;
}

static void judge(struct dom_impact_records *records, struct dom_impact_place *place,
                  const struct dom_census_row *row)
{
    const struct dom_impact_kind *kind =
        place->kind == DOM_POLICY_NONE ? NULL : &records->kinds[place->kind];
    const struct dom_policy_placement *placement =
        dom_policy_place(records->policy, place->kind, place->home, records->time_ms);
    dom_policy_set classes = 0;
    uint64_t leave = 0;
    uint64_t homeless = 0;
    bool leaves = false;
    bool is_homeless = false;

    for (size_t i = 0; i < row->num_fields; i++) {
        uint32_t hash = 0;
        uint32_t len = 0;
        dom_census_field(row, i, &hash, &len);
        dom_policy_id data_class = kind == NULL ? DOM_POLICY_NONE : class_of(kind, hash);
        dom_policy_set bit = data_class == DOM_POLICY_NONE ? 0 : UINT64_C(1) << data_class;
        place->bytes += len;
        if (bit != 0) {
            place->all.bytes[data_class] += len;
            place->at_home.bytes[data_class] += row->home ? len : 0U;
            classes |= bit;
        }
        if (row->home && !may_lie_somewhere(placement, data_class)) {
            is_homeless = true;
            homeless += len;
            place->homeless_classes |= bit;
        } else if (!may_lie(placement, data_class, place->region)) {
            leaves = true;
            leave += len;
            place->leave_classes |= bit;
        }
    }
    for (dom_policy_set left = classes; left != 0; left &= left - 1) {
        place->all.records[__builtin_ctzll(left)]++;
        place->at_home.records[__builtin_ctzll(left)] += row->home ? 1U : 0U;
    }
    place->num_leave += leaves ? 1U : 0U;
    place->leave_bytes += leave;
    place->num_homeless += is_homeless ? 1U : 0U;
    place->homeless_bytes += homeless;
}

void dom_impact_record(void *arg, const struct dom_census_row *row)
{
    struct dom_impact_records *records = arg;

    records->num_rows++;
    if (!row->labelled) {
        records->num_unlabelled++;
        records->unlabelled_bytes += row->bytes;
        return;
    }
    struct dom_impact_place *place = place_of(records, row);
    if (place == NULL) {
        records->num_unlabelled++;
        records->unlabelled_bytes += row->bytes;
        return;
    }
    place->num_rows++;
    place->num_home += row->home ? 1U : 0U;
    judge(records, place, row);
}

/* ---- what is to be copied ---- */

/* The records of one kind and home: those at home wherever that is, or (`region`) all that lie in
 * one region. */
static void sum_up(const struct dom_impact_records *records, const struct dom_impact_place *like,
                   dom_policy_id region, struct dom_impact_sum *sum)
{
    memset(sum, 0, sizeof(*sum));
    for (size_t i = 0; i < records->num_places; i++) {
        const struct dom_impact_place *place = records->places[i];
        const struct dom_impact_sum *from =
            region == DOM_POLICY_NONE ? &place->at_home : &place->all;
        if (place->kind != like->kind || place->home != like->home ||
            (region != DOM_POLICY_NONE && place->region != region)) {
            continue;
        }
        for (size_t c = 0; c < DOM_CLASSES_MAX; c++) {
            sum->records[c] += from->records[c];
            sum->bytes[c] += from->bytes[c];
        }
    }
}

static void add_copies(struct dom_impact_records *records, const struct dom_impact_place *like)
{
    const struct dom_policy_placement *placement =
        dom_policy_place(records->policy, like->kind, like->home, records->time_ms);
    struct dom_impact_sum home;
    struct dom_impact_sum there;

    if (placement == NULL || placement->lead == DOM_POLICY_NONE) {
        return;
    }
    sum_up(records, like, DOM_POLICY_NONE, &home);
    for (dom_policy_set left = placement->all; left != 0; left &= left - 1) {
        dom_policy_id region = (dom_policy_id)__builtin_ctzll(left);
        struct dom_impact_copy copy = {.kind = like->kind, .home = like->home, .region = region};
        sum_up(records, like, region, &there);
        for (size_t c = 0; c < dom_policy_num_classes(records->policy); c++) {
            if (!may_lie(placement, (dom_policy_id)c, region) ||
                home.records[c] <= there.records[c]) {
                continue;
            }
            uint64_t lacking = home.records[c] - there.records[c];
            copy.num_records = lacking > copy.num_records ? lacking : copy.num_records;
            copy.bytes += home.bytes[c] > there.bytes[c] ? home.bytes[c] - there.bytes[c] : 0;
        }
        if (copy.num_records > 0) {
            records->copies[records->num_copies++] = copy;
        }
    }
}

void dom_impact_records_finish(struct dom_impact_records *records)
{
    records->copies = calloc(records->num_places * DOM_REGIONS_MAX + 1, sizeof(*records->copies));
    DOM_ASSERT(records->copies != NULL);
    for (size_t i = 0; i < records->num_places; i++) {
        const struct dom_impact_place *place = records->places[i];
        bool first = place->num_home > 0 && place->kind != DOM_POLICY_NONE &&
                     place->home != DOM_POLICY_NONE;
        for (size_t before = 0; before < i && first; before++) {
            first = records->places[before]->num_home == 0 ||
                    records->places[before]->kind != place->kind ||
                    records->places[before]->home != place->home;
        }
        if (first) {
            add_copies(records, place);
        }
    }
}
