/* Any bytes at all as a request: decoded into a bounded arena, resolved against a policy, its
 * fields packed and read back. What is accepted is within every limit. The first byte chooses the
 * message. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "domicile/v1/audit.pb-c.h"
#include "domicile/v1/record.pb-c.h"
#include "router/core/request.h"
#include "router/core/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ARENA_BYTES_MAX (4U << 20)

static const char s_policy[] =
    "policy = { schema = 1; name = \"fuzz\"; version = 1L; expires = \"2030-01-01T00:00:00Z\"; };\n"
    "defaults = { uncovered_field = \"redact\"; };\n"
    "jurisdictions = { EEA = { countries = (\"DE\", \"FR\"); }; US = { countries = (\"US\"); }; };\n"
    "regions = { eu-1 = { country = \"DE\"; }; us-1 = { country = \"US\"; }; };\n"
    "data_classes = { public = { rank = 0; }; identifier = { rank = 1; personal = true; }; };\n"
    "purposes = { serve = {}; };\n"
    "services = { feed = { kinds = (\"*\"); ops = (\"*\"); purposes = (\"*\"); }; };\n"
    "kinds = { live_room = { fields = { title = \"public\"; owner = \"identifier\"; }; };\n"
    "  open = { fields = { a = \"public\"; }; unknown_field = \"identifier\"; }; };\n"
    "placement = ( { id = \"eea\"; home = (\"EEA\"); classes = (\"*\"); regions = (\"EEA\"); },\n"
    "  { id = \"us\"; home = (\"US\"); classes = (\"*\"); regions = (\"US\"); } );\n"
    "rules = ();\n";

static struct dom_snapshot *s_snapshot;
static struct dom_arena s_arena;

static void no_post(void *context, struct dom_store_op *first, struct dom_store_op *last)
{
    (void)context;
    (void)first;
    (void)last;
    abort(); /* nothing is ever submitted */
}

/* A snapshot over a store without regions: requests are resolved against the policy alone. */
static void set_up(void)
{
    static char dir[] = "/tmp/domicile-fuzz-XXXXXX";
    struct dom_policy_load_options load = {.name = "fuzz", .now_ms = INT64_C(1795341600000)};
    struct dom_findings findings = {0};
    struct dom_policy *policy = NULL;
    struct dom_store *store = NULL;
    struct dom_error err = {0};

    DOM_ASSERT(mkdtemp(dir) != NULL);
    struct dom_store_options options = {.data_dir = dir, .audit_origin = "fuzz.example", .post = no_post};
    DOM_ASSERT(dom_policy_compile(&policy, &findings, dom_slice_str(s_policy), &load, &err) ==
               DOM_OK);
    if (dom_store_new(&store, &options, &err) != DOM_OK) {
        (void)fprintf(stderr, "%s\n", err.message);
        abort();
    }
    s_snapshot = dom_snapshot_new(policy, store, 1);
    dom_store_destroy(store);
    dom_findings_cleanup(&findings);
    dom_arena_init(&s_arena, NULL, 0, ARENA_BYTES_MAX);
}

static void *arena_alloc(void *context, size_t size)
{
    return dom_arena_alloc(context, size);
}

static void arena_free(void *context, void *memory)
{
    (void)context;
    (void)memory;
}

static struct dom_slice slice(ProtobufCBinaryData data)
{
    return dom_slice_of(data.data, data.len);
}

static void resolve_key(ProtobufCBinaryData kind, ProtobufCBinaryData id, ProtobufCBinaryData home)
{
    struct dom_refusal refusal = {0};
    struct dom_key key;

    enum dom_code rc = dom_key_resolve(&key, s_snapshot, slice(kind), slice(id), slice(home), "",
                                       &s_arena, &refusal);
    DOM_ASSERT((rc == DOM_OK) == (refusal.error.code == DOM_OK));
    if (rc == DOM_OK) {
        DOM_ASSERT(key.id.len >= 1 && key.id.len <= DOM_ID_BYTES_MAX);
        DOM_ASSERT(dom_utf8_valid(key.id));
        DOM_ASSERT(memchr(key.id.data, 0, key.id.len) == NULL);
    } else {
        DOM_ASSERT(refusal.path != NULL);
    }
}

static void resolve_mask(const ProtobufCBinaryData *fields, size_t num)
{
    struct dom_refusal refusal = {0};
    struct dom_mask mask;
    struct dom_slice *names = dom_arena_alloc(&s_arena, num * sizeof(*names));

    for (size_t i = 0; names != NULL && i < num; i++) {
        names[i] = slice(fields[i]);
    }
    if (names != NULL &&
        dom_mask_resolve(&mask, s_snapshot, 0, names, num, &s_arena, &refusal) == DOM_OK) {
        DOM_ASSERT(mask.num_names <= DOM_FIELDS_MAX);
    }
}

/* What is stored of a field reads back as the field. */
static void round_trip(const Domicile__V1__Field *field)
{
    struct dom_field_view view;
    size_t len = domicile__v1__field__get_packed_size(field);
    uint8_t *bytes = dom_arena_alloc(&s_arena, len);

    if (bytes == NULL) {
        return;
    }
    DOM_ASSERT(domicile__v1__field__pack(field, bytes) == len);
    if (field->base.n_unknown_fields > 0) {
        (void)dom_field_parse(dom_slice_of(bytes, len), &view);
        return;
    }
    bool read = dom_field_parse(dom_slice_of(bytes, len), &view);
    DOM_ASSERT(read == (field->name.len > 0));
    if (read) {
        DOM_ASSERT(dom_slice_eq(view.name, slice(field->name)));
        DOM_ASSERT((unsigned)view.type == (unsigned)field->value_case);
    }
}

static void put(ProtobufCAllocator *allocator, const uint8_t *data, size_t size)
{
    Domicile__V1__PutRecordRequest *request =
        domicile__v1__put_record_request__unpack(allocator, size, data);

    if (request != NULL) {
        resolve_key(request->kind, request->id, request->home);
        for (size_t i = 0; i < request->n_fields; i++) {
            round_trip(request->fields[i]);
        }
    }
}

static void get(ProtobufCAllocator *allocator, const uint8_t *data, size_t size)
{
    Domicile__V1__GetRecordRequest *request =
        domicile__v1__get_record_request__unpack(allocator, size, data);

    if (request != NULL) {
        resolve_key(request->kind, request->id, request->home);
        resolve_mask(request->fields, request->n_fields);
    }
}

static void batch(ProtobufCAllocator *allocator, const uint8_t *data, size_t size)
{
    Domicile__V1__BatchGetRecordsRequest *request =
        domicile__v1__batch_get_records_request__unpack(allocator, size, data);

    for (size_t i = 0; request != NULL && i < request->n_keys; i++) {
        resolve_key(request->keys[i]->kind, request->keys[i]->id, request->keys[i]->home);
    }
}

static void list(ProtobufCAllocator *allocator, const uint8_t *data, size_t size)
{
    Domicile__V1__ListRecordsRequest *request =
        domicile__v1__list_records_request__unpack(allocator, size, data);
    struct dom_refusal refusal = {0};
    dom_policy_id home = DOM_POLICY_NONE;

    if (request != NULL) {
        enum dom_code rc =
            dom_home_resolve(&home, s_snapshot, slice(request->home), "home", &refusal);
        DOM_ASSERT((rc == DOM_OK) == (home != DOM_POLICY_NONE));
        resolve_mask(request->fields, request->n_fields);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (s_snapshot == NULL) {
        set_up();
    }
    if (size == 0) {
        return 0;
    }
    ProtobufCAllocator allocator = {
        .alloc = arena_alloc, .free = arena_free, .allocator_data = &s_arena};
    struct dom_field_view view;
    switch (data[0] % 7) {
    case 0:
        put(&allocator, data + 1, size - 1);
        break;
    case 1:
        get(&allocator, data + 1, size - 1);
        break;
    case 2:
        batch(&allocator, data + 1, size - 1);
        break;
    case 3:
        list(&allocator, data + 1, size - 1);
        break;
    case 4:
        (void)domicile__v1__delete_record_request__unpack(&allocator, size - 1, data + 1);
        break;
    case 5:
        (void)domicile__v1__list_entries_request__unpack(&allocator, size - 1, data + 1);
        break;
    default:
        (void)dom_field_parse(dom_slice_of(data + 1, size - 1), &view);
        break;
    }
    dom_arena_reset(&s_arena);
    return 0;
}
