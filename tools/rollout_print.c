#include "tools/rollout_print.h"

#include <jansson.h>
#include <stdio.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/encode.h"

static const char *phase_name(Domicile__V1__RolloutPhase phase)
{
    static const char *const names[] = {"?",      "enforced", "shadow", "canary",
                                        "regions", "paused",  "aborted"};

    return (unsigned)phase < sizeof(names) / sizeof(names[0]) ? names[phase] : "?";
}

static const char *change_name(Domicile__V1__PolicyChange change)
{
    static const char *const names[] = {"", "tightening", "loosening"};

    return (unsigned)change < sizeof(names) / sizeof(names[0]) ? names[change] : "";
}

static bool active(const Domicile__V1__Rollout *r)
{
    return r->phase >= DOMICILE__V1__ROLLOUT_PHASE__ROLLOUT_PHASE_SHADOW &&
           r->phase <= DOMICILE__V1__ROLLOUT_PHASE__ROLLOUT_PHASE_PAUSED;
}

static void put_version(struct dom_buffer *out, const char *label,
                        const Domicile__V1__PolicyVersion *version)
{
    char hex[65] = "";

    if (version == NULL) {
        dom_buffer_printf(out, "%-12s none\n", label);
        return;
    }
    if (version->sha256.len == 32) {
        dom_hex_encode(hex, dom_slice_of(version->sha256.data, 32));
    }
    dom_buffer_printf(out, "%-12s %lld  %s\n", label, (long long)version->version, hex);
}

static void put_bytes(struct dom_buffer *out, const char *label, ProtobufCBinaryData text)
{
    if (text.len > 0) {
        dom_buffer_printf(out, "%-12s ", label);
        dom_buffer_append(out, text.data, text.len);
        dom_buffer_append_char(out, '\n');
    }
}

static void put_time(struct dom_buffer *out, const char *label, int64_t ms)
{
    char text[DOM_RFC3339_SIZE];

    dom_time_format(text, ms, false);
    dom_buffer_printf(out, "%-12s %s\n", label, text);
}

static void put_hold(struct dom_buffer *out, const Domicile__V1__Rollout *r)
{
    int64_t now = dom_clock_wall_ms(dom_clock_system());

    put_time(out, "since", r->since_time_ms);
    if (r->due_time_ms != 0) {
        int64_t left = r->due_time_ms > now ? r->due_time_ms - now : 0;
        dom_buffer_printf(out, "%-12s %lld s, %lld s to go%s\n", "hold",
                          (long long)(r->hold_ms / 1000), (long long)((left + 999) / 1000),
                          r->inconclusive ? "; inconclusive: too few requests" : "");
    }
}

static void put_step(struct dom_buffer *out, const Domicile__V1__Rollout *r)
{
    double ratio = r->requests == 0 ? 0.0 : (double)r->new_denies / (double)r->requests;

    dom_buffer_printf(out, "%-12s %s", "stage", phase_name(r->phase));
    if (r->paused_phase != 0) {
        dom_buffer_printf(out, " (%s)", phase_name(r->paused_phase));
    }
    dom_buffer_printf(out, "  %u/%u  %s", r->step, r->steps, change_name(r->change));
    if (r->percent > 0) {
        dom_buffer_printf(out, "  %u %% of the records", r->percent);
    }
    dom_buffer_append_char(out, '\n');
    for (size_t i = 0; i < r->n_regions; i++) {
        put_bytes(out, i == 0 ? "regions" : "", r->regions[i]);
    }
    put_hold(out, r);
    dom_buffer_printf(out,
                      "\n    requests  disagreements  new denies  new allows  errors  denied anew\n"
                      "%12llu %14llu %11llu %11llu %7llu %11.4f%%\n\n",
                      (unsigned long long)r->requests, (unsigned long long)r->disagreements,
                      (unsigned long long)r->new_denies, (unsigned long long)r->new_allows,
                      (unsigned long long)r->eval_errors, ratio * 100.0);
}

static void put_text(struct dom_buffer *out, const Domicile__V1__Rollout *r)
{
    put_bytes(out, "policy", r->policy);
    put_bytes(out, "process", r->instance);
    put_version(out, "in force", r->enforced);
    if (active(r)) {
        put_version(out, "candidate", r->candidate);
        put_step(out, r);
    } else {
        dom_buffer_printf(out, "%-12s %s\n", "stage", phase_name(r->phase));
        if (r->candidate != NULL) {
            put_version(out, "taken back", r->candidate);
        }
    }
    put_bytes(out, "aborted for", r->abort_reason);
    if (r->frozen) {
        dom_buffer_append_str(out, "FROZEN       nothing crosses a border\n");
        put_bytes(out, "because", r->frozen_reason);
    }
    if (r->fresh_until_time_ms != 0) {
        put_time(out, "fresh until", r->fresh_until_time_ms);
    }
    dom_buffer_printf(out, "%-12s %lld%s\n", "next version", (long long)r->highest_version + 1,
                      r->signed_only ? ", signed" : ", signed or not");
    if (r->bundles_refused > 0) {
        dom_buffer_printf(out, "%-12s %llu, the last one:\n", "refused",
                          (unsigned long long)r->bundles_refused);
        put_bytes(out, "", r->last_refusal);
    }
}

static json_t *text_of(ProtobufCBinaryData bytes)
{
    return json_stringn((const char *)bytes.data, bytes.len);
}

static void set_version(json_t *out, const char *key, const Domicile__V1__PolicyVersion *version)
{
    char hex[65] = "";

    if (version != NULL && version->sha256.len == 32) {
        dom_hex_encode(hex, dom_slice_of(version->sha256.data, 32));
        (void)json_object_set_new(out, key,
                                  json_pack("{s:I,s:s}", "version", (json_int_t)version->version,
                                            "sha256", hex));
    }
}

static void print_json(const Domicile__V1__Rollout *r)
{
    json_t *out = json_object();
    json_t *regions = json_array();

    (void)json_object_set_new(out, "policy", text_of(r->policy));
    (void)json_object_set_new(out, "instance", text_of(r->instance));
    set_version(out, "enforced", r->enforced);
    set_version(out, "candidate", r->candidate);
    (void)json_object_set_new(out, "phase", json_string(phase_name(r->phase)));
    (void)json_object_set_new(out, "change", json_string(change_name(r->change)));
    for (size_t i = 0; i < r->n_regions; i++) {
        (void)json_array_append_new(regions, text_of(r->regions[i]));
    }
    (void)json_object_set_new(out, "regions", regions);
    const struct {
        const char *key;
        uint64_t value;
    } numbers[] = {{"step", r->step},
                   {"steps", r->steps},
                   {"percent", r->percent},
                   {"since_time_ms", (uint64_t)r->since_time_ms},
                   {"hold_ms", (uint64_t)r->hold_ms},
                   {"due_time_ms", (uint64_t)r->due_time_ms},
                   {"requests", r->requests},
                   {"disagreements", r->disagreements},
                   {"new_denies", r->new_denies},
                   {"new_allows", r->new_allows},
                   {"eval_errors", r->eval_errors},
                   {"fresh_until_time_ms", (uint64_t)r->fresh_until_time_ms},
                   {"highest_version", (uint64_t)r->highest_version},
                   {"bundles_refused", r->bundles_refused}};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        (void)json_object_set_new(out, numbers[i].key,
                                  json_integer((json_int_t)numbers[i].value));
    }
    (void)json_object_set_new(out, "inconclusive", json_boolean(r->inconclusive));
    (void)json_object_set_new(out, "frozen", json_boolean(r->frozen));
    (void)json_object_set_new(out, "signed_only", json_boolean(r->signed_only));
    (void)json_object_set_new(out, "abort_reason", text_of(r->abort_reason));
    (void)json_object_set_new(out, "frozen_reason", text_of(r->frozen_reason));
    (void)json_object_set_new(out, "last_refusal", text_of(r->last_refusal));
    (void)json_dumpf(out, stdout, JSON_COMPACT);
    (void)fputc('\n', stdout);
    json_decref(out);
}

void dom_print_rollout(const Domicile__V1__Rollout *rollout, bool json, bool redraw)
{
    struct dom_buffer out = {0};

    if (json) {
        print_json(rollout);
    } else {
        if (redraw && isatty(STDOUT_FILENO) != 0) {
            dom_buffer_append_str(&out, "\033[H\033[2J");
        } else if (redraw) {
            dom_buffer_append_str(&out, "----\n");
        }
        put_text(&out, rollout);
        (void)fwrite(out.data, 1, out.len, stdout);
    }
    (void)fflush(stdout);
    dom_buffer_cleanup(&out);
}
