/* google.rpc.Status, the machine-readable half of an error. */
#include "google/protobuf/any.pb-c.h"
#include "google/protobuf/duration.pb-c.h"
#include "google/rpc/error_details.pb-c.h"
#include "google/rpc/status.pb-c.h"
#include "router/rpc/internal.h"

/* Details travel in a trailer, base64 encoded: 5.3 KB at most. With the message, 1.5 KB when every
 * byte of it is escaped, that stays below the 8 KB of metadata that peers accept by default. */
#define DETAILS_BYTES_MAX 4096U
#define PAIRS_MAX 32U
#define ANY_MAX 4
#define TYPE_PREFIX "type.googleapis.com/google.rpc."

static ProtobufCBinaryData binary(const char *text)
{
    return (ProtobufCBinaryData){.len = strlen(text), .data = (uint8_t *)(uintptr_t)text};
}

/* Text that any decoder takes: what is not UTF-8, or holds a NUL, is told by its length. */
static char *clean_text(struct dom_arena *arena, struct dom_slice text)
{
    bool ok = dom_utf8_valid(text) && (text.len == 0 || memchr(text.data, 0, text.len) == NULL);

    return ok ? dom_arena_dup(arena, text)
              : dom_arena_printf(arena, "(%zu bytes that are not text)", text.len);
}

static bool pack_any(struct dom_arena *arena, Google__Protobuf__Any *any, const char *type,
                     const ProtobufCMessage *message)
{
    size_t len = protobuf_c_message_get_packed_size(message);
    uint8_t *bytes = dom_arena_alloc(arena, len);

    if (bytes == NULL) {
        return false;
    }
    google__protobuf__any__init(any);
    any->type_url = binary(type);
    any->value.len = protobuf_c_message_pack(message, bytes);
    any->value.data = bytes;
    return true;
}

static bool pack_error_info(struct dom_arena *arena, Google__Protobuf__Any *any,
                            const struct dom_rpc_failure *failure, size_t num_pairs)
{
    Google__Rpc__ErrorInfo info = GOOGLE__RPC__ERROR_INFO__INIT;
    Google__Rpc__ErrorInfo__MetadataEntry entries[PAIRS_MAX];
    Google__Rpc__ErrorInfo__MetadataEntry *list[PAIRS_MAX];

    info.reason = binary(dom_code_reason(failure->code));
    info.domain = binary("domicile");
    for (size_t i = 0; i < num_pairs; i++) {
        google__rpc__error_info__metadata_entry__init(&entries[i]);
        entries[i].key = clean_text(arena, dom_slice_str(failure->pairs[i].key));
        entries[i].value = clean_text(arena, failure->pairs[i].value);
        if (entries[i].key == NULL || entries[i].value == NULL) {
            return false;
        }
        list[i] = &entries[i];
    }
    info.n_metadata = num_pairs;
    info.metadata = list;
    return pack_any(arena, any, TYPE_PREFIX "ErrorInfo", &info.base);
}

static bool pack_bad_request(struct dom_arena *arena, Google__Protobuf__Any *any,
                             const struct dom_rpc_failure *failure)
{
    Google__Rpc__BadRequest bad = GOOGLE__RPC__BAD_REQUEST__INIT;
    Google__Rpc__BadRequest__FieldViolation violation =
        GOOGLE__RPC__BAD_REQUEST__FIELD_VIOLATION__INIT;
    Google__Rpc__BadRequest__FieldViolation *list[1] = {&violation};
    char *field = clean_text(arena, dom_slice_str(failure->field));
    char *text = clean_text(arena, dom_slice_str(failure->message));

    if (field == NULL || text == NULL) {
        return false;
    }
    violation.field = binary(field);
    violation.description = binary(text);
    bad.n_field_violations = 1;
    bad.field_violations = list;
    return pack_any(arena, any, TYPE_PREFIX "BadRequest", &bad.base);
}

static bool pack_retry(struct dom_arena *arena, Google__Protobuf__Any *any, uint64_t after_ms)
{
    Google__Rpc__RetryInfo retry = GOOGLE__RPC__RETRY_INFO__INIT;
    Google__Protobuf__Duration delay = GOOGLE__PROTOBUF__DURATION__INIT;

    delay.seconds = (int64_t)(after_ms / 1000);
    delay.nanos = (int32_t)(after_ms % 1000) * 1000000;
    retry.retry_delay = &delay;
    return pack_any(arena, any, TYPE_PREFIX "RetryInfo", &retry.base);
}

static bool pack_explanation(struct dom_arena *arena, Google__Protobuf__Any *any,
                             const char *explanation)
{
    Google__Rpc__LocalizedMessage told = GOOGLE__RPC__LOCALIZED_MESSAGE__INIT;
    char *text = clean_text(arena, dom_slice_str(explanation));

    if (text == NULL) {
        return false;
    }
    told.locale = binary("en-US");
    told.message = binary(text);
    return pack_any(arena, any, TYPE_PREFIX "LocalizedMessage", &told.base);
}

/* False when it does not fit. */
static bool pack_status(struct dom_arena *arena, const struct dom_rpc_failure *failure,
                        size_t num_pairs, grpc_slice *out)
{
    Google__Rpc__Status status = GOOGLE__RPC__STATUS__INIT;
    Google__Protobuf__Any any[ANY_MAX];
    Google__Protobuf__Any *list[ANY_MAX] = {&any[0], &any[1], &any[2], &any[3]};
    char *message = clean_text(arena, dom_slice_str(failure->message));
    size_t n = 0;

    if (message == NULL || !pack_error_info(arena, &any[n++], failure, num_pairs)) {
        return false;
    }
    if (failure->field != NULL && !pack_bad_request(arena, &any[n++], failure)) {
        return false;
    }
    if (failure->retry_after_ms > 0 && !pack_retry(arena, &any[n++], failure->retry_after_ms)) {
        return false;
    }
    if (failure->explanation != NULL && !pack_explanation(arena, &any[n++], failure->explanation)) {
        return false;
    }
    status.code = dom_code_grpc_status(failure->code);
    status.message = binary(message);
    status.n_details = n;
    status.details = list;
    size_t len = google__rpc__status__get_packed_size(&status);
    if (len > DETAILS_BYTES_MAX) {
        return false;
    }
    *out = grpc_slice_malloc(len);
    (void)google__rpc__status__pack(&status, GRPC_SLICE_START_PTR(*out));
    return true;
}

size_t dom_rpc_message_len(const char *message)
{
    size_t len = strlen(message);

    if (len > DOM_RPC_MESSAGE_BYTES_MAX) {
        len = DOM_RPC_MESSAGE_BYTES_MAX;
        while (len > 0 && ((uint8_t)message[len] & 0xC0U) == 0x80U) {
            len--;
        }
    }
    return len;
}

grpc_slice dom_rpc_status_details(const struct dom_rpc_failure *failure)
{
    /* Memory of its own: the failure to tell may be that the call's arena is full. */
    _Alignas(16) uint8_t first[2 * DETAILS_BYTES_MAX];
    char message[DOM_RPC_MESSAGE_BYTES_MAX + 1];
    struct dom_rpc_failure cut = *failure;
    struct dom_arena arena;
    grpc_slice out = grpc_empty_slice();

    size_t message_len = dom_rpc_message_len(failure->message);
    memcpy(message, failure->message, message_len);
    message[message_len] = '\0';
    cut.message = message;
    dom_arena_init(&arena, first, sizeof(first), 8 * DETAILS_BYTES_MAX);
    size_t num_pairs = failure->num_pairs > PAIRS_MAX ? PAIRS_MAX : failure->num_pairs;
    /* Too large: no explanation, fewer pairs, then none, then a bare message; the reason always
     * gets through. */
    while (!pack_status(&arena, &cut, num_pairs, &out)) {
        dom_arena_reset(&arena);
        if (cut.explanation != NULL) {
            cut.explanation = NULL;
            continue;
        }
        if (num_pairs == 0) {
            cut.field = NULL;
            cut.message = "";
        }
        num_pairs /= 2;
    }
    dom_arena_cleanup(&arena);
    return out;
}
