#include "router/core/request.h"

#include <stdarg.h>
#include <stdio.h>

enum dom_code dom_refuse(struct dom_refusal *refusal, enum dom_code code, const char *path,
                         const char *fmt, ...)
{
    va_list args;

    refusal->error.code = code;
    refusal->error.file = __FILE__;
    refusal->error.line = __LINE__;
    refusal->path = path;
    va_start(args, fmt);
    (void)vsnprintf(refusal->error.message, sizeof(refusal->error.message), fmt, args);
    va_end(args);
    return code;
}

/* A peer's text for an error message: cut, and with anything unprintable as '?'. */
struct shown {
    char text[72];
};

static struct shown show(struct dom_slice bytes)
{
    struct shown out;
    size_t len = bytes.len < sizeof(out.text) - 4 ? bytes.len : sizeof(out.text) - 4;

    for (size_t i = 0; i < len; i++) {
        uint8_t c = bytes.data[i];
        out.text[i] = c >= 0x20 && c < 0x7F ? (char)c : '?';
    }
    memcpy(out.text + len, bytes.len > len ? "..." : "", bytes.len > len ? 4 : 1);
    return out;
}

enum dom_code dom_caller_resolve(struct dom_caller *caller, const struct dom_snapshot *snapshot,
                                 struct dom_slice subject, struct dom_slice service,
                                 struct dom_slice region, struct dom_refusal *refusal)
{
    const struct dom_policy *policy = snapshot->policy;

    memset(caller, 0, sizeof(*caller));
    caller->subject = subject;
    caller->service_name = service;
    caller->region_name = region;
    caller->service = dom_policy_find_service(policy, service);
    caller->region = dom_policy_find_region(policy, region);
    if (caller->region == DOM_POLICY_NONE) {
        return dom_refuse(refusal, DOM_UNAUTHENTICATED, NULL,
                          "the caller's region \"%s\" is not in the policy in force",
                          show(region).text);
    }
    caller->country = dom_policy_region_country(policy, caller->region);
    caller->jurisdiction = dom_policy_country_jurisdiction(policy, caller->country);
    caller->store_region = snapshot->store_of[caller->region];
    return DOM_OK;
}

static const char *path_of(struct dom_arena *arena, const char *prefix, const char *name)
{
    if (prefix[0] == '\0') {
        return name;
    }
    const char *path = dom_arena_printf(arena, "%s%s", prefix, name);
    return path == NULL ? name : path;
}

enum dom_code dom_home_resolve(dom_policy_id *homep, const struct dom_snapshot *snapshot,
                               struct dom_slice home, const char *path,
                               struct dom_refusal *refusal)
{
    *homep = DOM_POLICY_NONE;
    if (home.len == 0) {
        return dom_refuse(refusal, DOM_INVALID, path,
                          "home is missing: give the country whose law follows the record");
    }
    *homep = dom_policy_find_country(snapshot->policy, home);
    if (*homep != DOM_POLICY_NONE) {
        return DOM_OK;
    }
    const char *hint = "give an ISO 3166-1 alpha-2 code that the policy lists";
    if (dom_slice_eq_str(home, "UK")) {
        hint = "the ISO 3166-1 code of the United Kingdom is GB";
    } else if (dom_slice_eq_str(home, "EL")) {
        hint = "the ISO 3166-1 code of Greece is GR";
    }
    return dom_refuse(refusal, DOM_INVALID, path, "unknown country \"%s\": %s", show(home).text,
                      hint);
}

enum dom_code dom_key_resolve(struct dom_key *key, const struct dom_snapshot *snapshot,
                              struct dom_slice kind, struct dom_slice id, struct dom_slice home,
                              const char *prefix, struct dom_arena *arena,
                              struct dom_refusal *refusal)
{
    memset(key, 0, sizeof(*key));
    key->kind_name = kind;
    key->id = id;
    key->home = DOM_POLICY_NONE;
    key->kind = dom_policy_find_kind(snapshot->policy, kind);
    if (key->kind == DOM_POLICY_NONE) {
        return dom_refuse(refusal, DOM_INVALID, path_of(arena, prefix, "kind"),
                          "unknown kind \"%s\"", show(kind).text);
    }
    if (id.len == 0 || id.len > DOM_ID_BYTES_MAX) {
        return dom_refuse(refusal, DOM_INVALID, path_of(arena, prefix, "id"),
                          "id has %zu bytes; it must have 1 to %u", id.len, DOM_ID_BYTES_MAX);
    }
    if (memchr(id.data, 0, id.len) != NULL || !dom_utf8_valid(id)) {
        return dom_refuse(refusal, DOM_INVALID, path_of(arena, prefix, "id"),
                          "id is not valid UTF-8 without NUL");
    }
    if (home.len == 0) {
        return DOM_OK;
    }
    return dom_home_resolve(&key->home, snapshot, home, path_of(arena, prefix, "home"), refusal);
}

enum dom_code dom_purpose_resolve(dom_policy_id *purposep, const struct dom_snapshot *snapshot,
                                  struct dom_slice purpose, struct dom_refusal *refusal)
{
    *purposep = DOM_POLICY_NONE;
    if (purpose.len == 0) {
        return DOM_OK;
    }
    *purposep = dom_policy_find_purpose(snapshot->policy, purpose);
    if (*purposep == DOM_POLICY_NONE) {
        return dom_refuse(refusal, DOM_INVALID, "purpose", "unknown purpose \"%s\"",
                          show(purpose).text);
    }
    return DOM_OK;
}

enum dom_code dom_mask_resolve(struct dom_mask *mask, const struct dom_snapshot *snapshot,
                               dom_policy_id kind, const struct dom_slice *names, size_t num_names,
                               struct dom_arena *arena, struct dom_refusal *refusal)
{
    memset(mask, 0, sizeof(*mask));
    if (num_names > DOM_FIELDS_MAX) {
        return dom_refuse(refusal, DOM_INVALID, "fields", "%zu field names; at most %u", num_names,
                          DOM_FIELDS_MAX);
    }
    mask->names = names;
    mask->num_names = num_names;
    for (size_t i = 0; i < num_names; i++) {
        dom_policy_id data_class = DOM_POLICY_NONE;
        bool known = dom_policy_field_name_valid(names[i]) &&
                     dom_policy_field_class(snapshot->policy, kind, names[i], &data_class) !=
                         DOM_FIELD_REFUSED;
        if (!known) {
            const char *path = dom_arena_printf(arena, "fields[%zu]", i);
            return dom_refuse(refusal, DOM_INVALID, path == NULL ? "fields" : path,
                              "unknown field \"%s\"", show(names[i]).text);
        }
        mask->classes |= UINT64_C(1) << data_class;
    }
    if (num_names == 0) {
        size_t num_classes = dom_policy_num_classes(snapshot->policy);
        mask->classes = num_classes >= 64 ? UINT64_MAX : (UINT64_C(1) << num_classes) - 1;
    }
    return DOM_OK;
}

bool dom_mask_has(const struct dom_mask *mask, struct dom_slice name)
{
    if (mask->num_names == 0) {
        return true;
    }
    for (size_t i = 0; i < mask->num_names; i++) {
        if (dom_slice_eq(mask->names[i], name)) {
            return true;
        }
    }
    return false;
}
