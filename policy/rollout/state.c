/* The state on disk: lines "key value", in one order, every key there. */
#include <stdio.h>
#include <string.h>

#include "base/encode.h"
#include "policy/rollout/rollout.h"

#define HEADER "domicile-rollout-state/v1"

static void put_version(struct dom_buffer *out, const char *key,
                        const struct dom_rollout_version *version)
{
    char hex[65];

    dom_hex_encode(hex, dom_slice_of(version->sha256, sizeof(version->sha256)));
    dom_buffer_printf(out, "%s %lld %s\n", key, (long long)version->version, hex);
}

void dom_rollout_encode(const struct dom_rollout *rollout, struct dom_slice name,
                        struct dom_buffer *out)
{
    char file[65];

    dom_hex_encode(file, dom_slice_of(rollout->file_sha256, sizeof(rollout->file_sha256)));
    dom_buffer_append_str(out, HEADER "\nname ");
    dom_buffer_append_slice(out, name);
    dom_buffer_append_char(out, '\n');
    put_version(out, "enforced", &rollout->enforced);
    put_version(out, "candidate", &rollout->candidate);
    dom_buffer_printf(out, "highest %lld\n", (long long)rollout->highest);
    dom_buffer_printf(out, "file %s\n", file);
    dom_buffer_printf(out, "phase %s\n", dom_rollout_phase_name(rollout->phase));
    dom_buffer_printf(out, "paused %s\n", dom_rollout_phase_name(rollout->paused));
    dom_buffer_printf(out, "change %s\n", dom_rollout_change_name(rollout->change));
    dom_buffer_printf(out, "step %zu\n", rollout->at);
    dom_buffer_printf(out, "since %lld\n", (long long)rollout->since_ms);
    dom_buffer_printf(out, "held %lld\n", (long long)rollout->held_ms);
    dom_buffer_printf(out, "reason %s\n", rollout->reason);
    dom_buffer_printf(out, "frozen %d\n", rollout->frozen ? 1 : 0);
    dom_buffer_printf(out, "frozen_reason %s\n", rollout->frozen_reason);
    dom_buffer_printf(out, "order %lld\n", (long long)rollout->order_ms);
}

struct lines {
    struct dom_slice rest;
    unsigned line;
    bool failed;
};

/* The value of the next line, which must have this key. */
static struct dom_slice next(struct lines *lines, const char *key)
{
    size_t key_len = strlen(key);
    const uint8_t *end =
        lines->rest.len == 0 ? NULL : memchr(lines->rest.data, '\n', lines->rest.len);

    if (lines->failed) {
        return dom_slice_of(NULL, 0);
    }
    lines->line++;
    size_t len = end == NULL ? 0 : (size_t)(end - lines->rest.data);
    if (end == NULL || len < key_len + 1 || memcmp(lines->rest.data, key, key_len) != 0 ||
        lines->rest.data[key_len] != ' ') {
        lines->failed = true;
        return dom_slice_of(NULL, 0);
    }
    struct dom_slice value = dom_slice_of(lines->rest.data + key_len + 1, len - key_len - 1);
    lines->rest = dom_slice_of(end + 1, lines->rest.len - len - 1);
    return value;
}

/* Decimal, no sign, no leading zero. */
static bool parse_number(struct dom_slice text, int64_t *out)
{
    *out = 0;
    if (text.len == 0 || (text.len > 1 && text.data[0] == '0')) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9' ||
            __builtin_mul_overflow(*out, INT64_C(10), out) ||
            __builtin_add_overflow(*out, (int64_t)(text.data[i] - '0'), out)) {
            return false;
        }
    }
    return true;
}

static int64_t next_number(struct lines *lines, const char *key)
{
    int64_t out = 0;
    struct dom_slice value = next(lines, key);

    lines->failed = lines->failed || !parse_number(value, &out);
    return out;
}

static void next_version(struct lines *lines, const char *key, struct dom_rollout_version *out)
{
    struct dom_slice value = next(lines, key);
    const uint8_t *space = value.len == 0 ? NULL : memchr(value.data, ' ', value.len);

    if (lines->failed || space == NULL) {
        lines->failed = true;
        return;
    }
    size_t len = (size_t)(space - value.data);
    lines->failed =
        !parse_number(dom_slice_of(value.data, len), &out->version) ||
        !dom_hex_decode(out->sha256, 32, dom_slice_of(space + 1, value.len - len - 1));
}

static int next_word(struct lines *lines, const char *key, const char *(*name)(int), int num)
{
    struct dom_slice value = next(lines, key);

    for (int i = 0; !lines->failed && i < num; i++) {
        if (dom_slice_eq_str(value, name(i))) {
            return i;
        }
    }
    lines->failed = true;
    return 0;
}

static const char *phase_name(int i)
{
    return dom_rollout_phase_name((enum dom_rollout_phase)i);
}

static const char *change_name(int i)
{
    return dom_rollout_change_name((enum dom_rollout_change)i);
}

static void next_text(struct lines *lines, const char *key, char out[DOM_ROLLOUT_REASON_SIZE])
{
    struct dom_slice value = next(lines, key);

    lines->failed = lines->failed || !dom_slice_to_cstr(value, out, DOM_ROLLOUT_REASON_SIZE);
}

/* What the state machine holds for true of itself. */
static bool is_sound(const struct dom_rollout *r)
{
    bool active = dom_rollout_active(r);
    enum dom_rollout_phase effective = dom_rollout_effective(r);

    if (r->enforced.version < 1 || r->highest < r->enforced.version ||
        (active && r->candidate.version <= r->enforced.version) ||
        r->candidate.version > r->highest || r->at >= DOM_ROLLOUT_STEPS_MAX) {
        return false;
    }
    if (active && (effective < DOM_PHASE_SHADOW || effective > DOM_PHASE_REGIONS)) {
        return false;
    }
    return !(active && effective == DOM_PHASE_CANARY && r->change == DOM_CHANGE_LOOSENS);
}

enum dom_code dom_rollout_decode(struct dom_rollout *rollout, struct dom_slice *name,
                                 struct dom_slice bytes, struct dom_error *err)
{
    struct dom_slice header = DOM_SLICE_LIT(HEADER "\n");
    struct lines lines = {.line = 1};

    memset(rollout, 0, sizeof(*rollout));
    *name = dom_slice_of(NULL, 0);
    if (bytes.len < header.len || memcmp(bytes.data, header.data, header.len) != 0) {
        return DOM_FAIL(err, DOM_FORMAT, "the state does not begin with " HEADER);
    }
    lines.rest = dom_slice_of(bytes.data + header.len, bytes.len - header.len);
    *name = next(&lines, "name");
    next_version(&lines, "enforced", &rollout->enforced);
    next_version(&lines, "candidate", &rollout->candidate);
    rollout->highest = next_number(&lines, "highest");
    struct dom_slice file = next(&lines, "file");
    lines.failed = lines.failed || !dom_hex_decode(rollout->file_sha256, 32, file);
    rollout->phase =
        (enum dom_rollout_phase)next_word(&lines, "phase", phase_name, DOM_PHASE_COUNT);
    rollout->paused =
        (enum dom_rollout_phase)next_word(&lines, "paused", phase_name, DOM_PHASE_COUNT);
    rollout->change = (enum dom_rollout_change)next_word(&lines, "change", change_name, 2);
    rollout->at = (size_t)next_number(&lines, "step");
    rollout->since_ms = next_number(&lines, "since");
    rollout->held_ms = next_number(&lines, "held");
    next_text(&lines, "reason", rollout->reason);
    int64_t frozen = next_number(&lines, "frozen");
    rollout->frozen = frozen == 1;
    next_text(&lines, "frozen_reason", rollout->frozen_reason);
    rollout->order_ms = next_number(&lines, "order");
    if (lines.failed || frozen > 1 || lines.rest.len != 0 || !is_sound(rollout)) {
        memset(rollout, 0, sizeof(*rollout));
        return DOM_FAIL(err, DOM_CORRUPT, "the roll-out's state is damaged near line %u",
                        lines.line);
    }
    return DOM_OK;
}
