/* Timestamps (there is nothing newer) and orders (freeze, unfreeze). */
#include <string.h>

#include "base/clock.h"
#include "base/encode.h"
#include "policy/bundle/bundle_internal.h"

#define TIMESTAMP_HEADER "domicile-policy-timestamp/v1"
#define ORDER_HEADER     "domicile-policy-order/v1"
#define REASON_BYTES_MAX 160U

void dom_timestamp_text(const struct dom_timestamp *timestamp, const char *name,
                        struct dom_buffer *out)
{
    char time[DOM_RFC3339_SIZE];
    char expires[DOM_RFC3339_SIZE];
    char hash[65];

    dom_time_format(time, timestamp->time_ms, false);
    dom_time_format(expires, timestamp->expires_ms, false);
    dom_hex_encode(hash, dom_slice_of(timestamp->policy, 32));
    dom_buffer_printf(
        out, TIMESTAMP_HEADER "\nname %s\nversion %lld\npolicy %s\ntime %s\nexpires %s\n", name,
        (long long)timestamp->version, hash, time, expires);
}

enum dom_bundle_fault dom_timestamp_open(struct dom_timestamp *timestamp, struct dom_slice bytes,
                                         const struct dom_root *root, int64_t now_ms,
                                         struct dom_error *err)
{
    struct dom_note note;
    struct dom_lines lines;
    struct dom_error why = {0};
    size_t num = 0;

    memset(timestamp, 0, sizeof(*timestamp));
    if (bytes.len > DOM_BUNDLE_NOTE_BYTES_MAX || dom_note_parse(&note, bytes, &why) != DOM_OK) {
        return dom_bundle_refuse(err, DOM_BUNDLE_TIMESTAMP_BAD, "%s", why.message);
    }
    if (dom_root_check(root, DOM_ROLE_TIMESTAMP, root->thresholds[DOM_ROLE_TIMESTAMP], &note, &num,
                       NULL, 0, &why) != DOM_BUNDLE_NONE) {
        return dom_bundle_refuse(err, DOM_BUNDLE_TIMESTAMP_BAD, "%s", why.message);
    }
    dom_lines_init(&lines, note.text);
    dom_lines_header(&lines, TIMESTAMP_HEADER);
    struct dom_slice name = dom_lines_value(&lines, "name");
    timestamp->version = dom_lines_number(&lines, "version");
    dom_lines_hash(&lines, "policy", timestamp->policy);
    timestamp->time_ms = dom_lines_time(&lines, "time");
    timestamp->expires_ms = dom_lines_time(&lines, "expires");
    if (!dom_lines_done(&lines)) {
        return dom_bundle_refuse(err, DOM_BUNDLE_TIMESTAMP_BAD, "line %u does not fit", lines.bad);
    }
    if (!dom_slice_eq_str(name, root->name)) {
        return dom_bundle_refuse(err, DOM_BUNDLE_NAME, "the timestamp's");
    }
    if (now_ms >= timestamp->expires_ms ||
        timestamp->time_ms > now_ms + DOM_BUNDLE_SKEW_MS) {
        return dom_bundle_refuse(err, DOM_BUNDLE_TIMESTAMP_EXPIRED, "make a new one");
    }
    return DOM_BUNDLE_NONE;
}

enum dom_code dom_order_text(const struct dom_order *order, const char *name,
                             struct dom_buffer *out, struct dom_error *err)
{
    char time[DOM_RFC3339_SIZE];

    if (order->reason.len == 0 || order->reason.len > REASON_BYTES_MAX ||
        memchr(order->reason.data, '\n', order->reason.len) != NULL) {
        return DOM_FAIL(err, DOM_INVALID, "a reason is one line of 1 to %u bytes",
                        REASON_BYTES_MAX);
    }
    dom_time_format(time, order->time_ms, false);
    dom_buffer_printf(out, ORDER_HEADER "\nname %s\norder %s\ntime %s\nreason %.*s\n", name,
                      order->freeze ? "freeze" : "unfreeze", time, (int)order->reason.len,
                      (const char *)order->reason.data);
    return out->failed ? DOM_FAIL(err, DOM_RESOURCE, "out of memory for an order") : DOM_OK;
}

static enum dom_bundle_fault read_order(struct dom_order *order, struct dom_slice text,
                                        const struct dom_root *root, struct dom_error *err)
{
    struct dom_lines lines;

    dom_lines_init(&lines, text);
    dom_lines_header(&lines, ORDER_HEADER);
    struct dom_slice name = dom_lines_value(&lines, "name");
    struct dom_slice word = dom_lines_value(&lines, "order");
    order->time_ms = dom_lines_time(&lines, "time");
    order->reason = dom_lines_value(&lines, "reason");
    order->freeze = dom_slice_eq_str(word, "freeze");
    if (!dom_lines_done(&lines) || order->reason.len > REASON_BYTES_MAX ||
        (!order->freeze && !dom_slice_eq_str(word, "unfreeze"))) {
        return dom_bundle_refuse(err, DOM_BUNDLE_FORMAT, "line %u of the order does not fit",
                                 lines.bad);
    }
    if (!dom_slice_eq_str(name, root->name)) {
        return dom_bundle_refuse(err, DOM_BUNDLE_NAME, "the order's");
    }
    return DOM_BUNDLE_NONE;
}

enum dom_bundle_fault dom_order_open(struct dom_order *order, struct dom_slice bytes,
                                     const struct dom_root *root, int64_t now_ms, int64_t last_ms,
                                     struct dom_error *err)
{
    struct dom_note note;
    struct dom_error why = {0};
    size_t num = 0;

    memset(order, 0, sizeof(*order));
    if (bytes.len > DOM_BUNDLE_NOTE_BYTES_MAX || dom_note_parse(&note, bytes, &why) != DOM_OK) {
        return dom_bundle_refuse(err, DOM_BUNDLE_FORMAT, "%s", why.message);
    }
    /* One key stops everything; what the threshold guards is letting data out again. */
    enum dom_bundle_fault fault =
        dom_root_check(root, DOM_ROLE_POLICY, 1, &note, &num, NULL, 0, err);
    if (fault == DOM_BUNDLE_NONE) {
        fault = read_order(order, note.text, root, err);
    }
    if (fault != DOM_BUNDLE_NONE) {
        return fault;
    }
    if (!order->freeze && num < root->thresholds[DOM_ROLE_POLICY]) {
        return dom_bundle_refuse(err, DOM_BUNDLE_THRESHOLD, "%zu of %u to unfreeze", num,
                                 root->thresholds[DOM_ROLE_POLICY]);
    }
    if (order->time_ms > now_ms + DOM_BUNDLE_SKEW_MS) {
        return dom_bundle_refuse(err, DOM_BUNDLE_NOT_YET, "the order's time");
    }
    if (order->time_ms < now_ms - DOM_BUNDLE_SKEW_MS) {
        return dom_bundle_refuse(err, DOM_BUNDLE_EXPIRED, "orders live for ten minutes");
    }
    if (order->time_ms <= last_ms) {
        return dom_bundle_refuse(err, DOM_BUNDLE_VERSION_OLDER, "an order was taken since");
    }
    return DOM_BUNDLE_NONE;
}
