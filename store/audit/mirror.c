#include "store/audit/mirror.h"

#include <stdlib.h>

#include "base/encode.h"
#include "store/audit/event.h"
#include "store/crypto/sha256.h"

/* One mirror, and what the source's entries give for its range. */
struct kept {
    uint64_t index; /* in the mirroring log */
    uint64_t first, end, count;
    uint8_t digest[DOM_SHA256_SIZE];
    uint64_t found;
    struct dom_sha256_stream stream;
};

struct comparer {
    struct dom_mirror_check *check;
    struct dom_buffer kept;  /* struct kept end to end */
    size_t low;              /* mirrors before this one end at or before the entry at hand */
    int64_t latest_ms;       /* of the source's entries */
    struct dom_buffer times; /* of the missing, for the grace: index and time, the last few */
};

static bool detail_number(const struct dom_audit_event *e, const char *name, uint64_t *value)
{
    for (size_t i = 0; i < e->num_details; i++) {
        const struct dom_audit_detail *d = &e->details[i];
        if (dom_slice_eq_str(d->name, name) && d->is_integer && d->integer >= 0) {
            *value = (uint64_t)d->integer;
            return true;
        }
    }
    return false;
}

static struct dom_slice detail_text(const struct dom_audit_event *e, const char *name)
{
    for (size_t i = 0; i < e->num_details; i++) {
        if (dom_slice_eq_str(e->details[i].name, name)) {
            return e->details[i].text;
        }
    }
    return dom_slice_of(NULL, 0);
}

enum dom_code dom_audit_mirror_parse(struct dom_audit_mirror *mirror, struct dom_slice entry,
                                     struct dom_error *err)
{
    struct dom_audit_event_doc doc;

    enum dom_code rc = dom_audit_event_parse(&doc, entry, err);
    if (rc != DOM_OK) {
        return rc;
    }
    const struct dom_audit_event *e = &doc.event;
    struct dom_slice origin = detail_text(e, "origin");
    if (e->type != DOM_AUDIT_MIRROR || !detail_number(e, "first", &mirror->first) ||
        !detail_number(e, "end", &mirror->end) || !detail_number(e, "count", &mirror->count) ||
        mirror->end <= mirror->first || mirror->count == 0 ||
        !dom_hex_decode(mirror->digest, sizeof(mirror->digest), detail_text(e, "digest")) ||
        origin.len == 0) {
        rc = DOM_FAIL(err, DOM_INVALID, "detail: it is no mirror");
    } else {
        /* The text lies in the document; the same bytes lie in the entry. */
        const uint8_t *at = memmem(entry.data, entry.len, origin.data, origin.len);
        mirror->origin = dom_slice_of(at, at == NULL ? 0 : origin.len);
        if (at == NULL) {
            rc = DOM_FAIL(err, DOM_INVALID, "detail.origin: escapes in an origin");
        }
    }
    dom_audit_event_doc_cleanup(&doc);
    return rc;
}

static struct kept *mirrors(const struct comparer *c, size_t *num)
{
    *num = c->kept.len / sizeof(struct kept);
    return (struct kept *)(void *)c->kept.data;
}

static enum dom_code keep_mirror(void *arg, uint64_t index, struct dom_slice entry,
                                 const struct dom_entry_head *head, struct dom_error *err)
{
    struct comparer *c = arg;
    struct dom_audit_mirror said;
    struct kept kept = {.index = index};

    (void)head;
    enum dom_code rc = dom_audit_mirror_parse(&said, entry, err);
    if (rc != DOM_OK) {
        return dom_error_prefix(err, "index %llu", (unsigned long long)index);
    }
    if (!dom_slice_eq(said.origin, c->check->source_origin)) {
        return DOM_OK;
    }
    if (c->check->num_mirrors++ == DOM_MIRRORS_MAX) {
        return DOM_FAIL(err, DOM_RESOURCE, "over %u mirrors: ask for a shorter time",
                        DOM_MIRRORS_MAX);
    }
    kept.first = said.first;
    kept.end = said.end;
    kept.count = said.count;
    memcpy(kept.digest, said.digest, sizeof(kept.digest));
    dom_sha256_init(&kept.stream);
    dom_buffer_append(&c->kept, &kept, sizeof(kept));
    return c->kept.failed ? DOM_FAIL(err, DOM_RESOURCE, "out of memory for mirrors") : DOM_OK;
}

static int by_first(const void *a, const void *b)
{
    const struct kept *left = a;
    const struct kept *right = b;

    if (left->first != right->first) {
        return left->first < right->first ? -1 : 1;
    }
    return left->end < right->end ? -1 : left->end > right->end ? 1 : 0;
}

static enum dom_code find_mirror(void *arg, uint64_t index, struct dom_slice entry,
                                 const struct dom_entry_head *head, struct dom_error *err)
{
    struct comparer *c = arg;
    struct dom_hash leaf;
    size_t num = 0;
    struct kept *kept = mirrors(c, &num);
    bool found = false;

    c->check->num_entries++;
    dom_hash_leaf(&leaf, entry);
    c->latest_ms = head->time_ms > c->latest_ms ? head->time_ms : c->latest_ms;
    while (c->low < num && kept[c->low].end <= index) {
        c->low++;
    }
    /* A range may be told of twice, after a crash: they overlap, and each is compared. */
    for (size_t i = c->low; i < num && kept[i].first <= index; i++) {
        if (index < kept[i].end) {
            kept[i].found++;
            dom_sha256_update(&kept[i].stream, dom_hash_slice(&leaf));
            found = true;
        }
    }
    /* The mirroring log begins where it was pruned: what it said before is not there any more. */
    bool pruned = c->check->mirror->tiledir->first > 0 && (num == 0 || index < kept[0].first);
    if (!found && pruned) {
        c->check->num_unknown++;
    } else if (!found) {
        dom_buffer_append_u64be(&c->times, index);
        dom_buffer_append_u64be(&c->times, (uint64_t)head->time_ms);
    }
    return c->times.failed ? DOM_FAIL(err, DOM_RESOURCE, "too many entries without a mirror")
                           : DOM_OK;
}

static void conclude(struct comparer *c)
{
    struct dom_mirror_check *check = c->check;
    size_t num = 0;
    struct kept *kept = mirrors(c, &num);
    uint8_t digest[DOM_SHA256_SIZE];

    for (size_t i = 0; i < num; i++) {
        dom_sha256_final(&kept[i].stream, digest);
        if (kept[i].first < check->source->tiledir->first) {
            check->num_unknown++;
            continue;
        }
        if (kept[i].found != kept[i].count || memcmp(digest, kept[i].digest, sizeof(digest)) != 0) {
            if (check->num_differing++ == 0 || kept[i].index < check->first_differing) {
                check->first_differing = kept[i].index;
            }
        }
    }
    for (size_t at = 0; at + 16 <= c->times.len; at += 16) {
        uint64_t index = dom_get_u64be(c->times.data + at);
        int64_t time_ms = (int64_t)dom_get_u64be(c->times.data + at + 8);
        if (time_ms > c->latest_ms - check->grace_ms) {
            check->num_pending++;
        } else if (check->num_missing++ == 0) {
            check->first_missing = index;
        }
    }
}

enum dom_code dom_mirror_compare(struct dom_mirror_check *check, struct dom_error *err)
{
    struct comparer c = {.check = check};
    struct dom_export_filter to;
    struct dom_export_filter about;
    struct dom_log_walk source = *check->source;
    struct dom_log_walk mirror = *check->mirror;
    size_t num = 0;

    dom_buffer_init(&c.times, 16U * DOM_MIRRORS_MAX);
    dom_export_filter_init(&about);
    about.where[about.num_where++] =
        (struct dom_export_where){.key = DOM_EXPORT_type, .value = DOM_SLICE_LIT("mirror")};
    dom_export_filter_init(&to);
    to.where[to.num_where++] =
        (struct dom_export_where){.key = DOM_EXPORT_to_region, .value = check->region};
    source.filter = &to;
    mirror.filter = &about;
    enum dom_code rc = dom_log_walk(&mirror, keep_mirror, &c, err);
    if (rc == DOM_OK) {
        struct kept *kept = mirrors(&c, &num);
        if (num > 1) {
            qsort(kept, num, sizeof(*kept), by_first);
        }
        rc = dom_log_walk(&source, find_mirror, &c, err);
    }
    if (rc == DOM_OK) {
        conclude(&c);
    }
    dom_buffer_cleanup(&c.kept);
    dom_buffer_cleanup(&c.times);
    return rc;
}
