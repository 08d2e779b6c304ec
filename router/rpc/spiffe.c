#include "router/rpc/spiffe.h"

#include "base/limits.h"

#define TRUST_DOMAIN_BYTES_MAX 255U

static bool plain(struct dom_slice text, size_t len_max)
{
    if (text.len == 0 || text.len > len_max) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
              c == '.')) {
            return false;
        }
    }
    return true;
}

static bool is_name(struct dom_slice text)
{
    return plain(text, DOM_POLICY_NAME_BYTES_MAX) && !dom_slice_eq_str(text, ".") &&
           !dom_slice_eq_str(text, "..");
}

bool dom_spiffe_trust_domain_valid(struct dom_slice name)
{
    return plain(name, TRUST_DOMAIN_BYTES_MAX);
}

/* Takes up to the next '/', or the rest; false when there is nothing left to take. */
static bool next_segment(struct dom_slice *rest, struct dom_slice *out)
{
    if (rest->data == NULL) {
        return false;
    }
    const uint8_t *slash = rest->len == 0 ? NULL : memchr(rest->data, '/', rest->len);
    if (slash == NULL) {
        *out = *rest;
        *rest = dom_slice_of(NULL, 0);
        return true;
    }
    size_t len = (size_t)(slash - rest->data);
    *out = dom_slice_of(rest->data, len);
    *rest = dom_slice_of(slash + 1, rest->len - len - 1);
    return true;
}

bool dom_spiffe_parse(struct dom_spiffe_id *out, struct dom_slice uri)
{
    static const char scheme[] = "spiffe://";
    size_t scheme_len = sizeof(scheme) - 1;
    struct dom_slice word = {0};
    struct dom_slice other = {0};

    memset(out, 0, sizeof(*out));
    if (uri.len <= scheme_len || uri.len > DOM_SPIFFE_BYTES_MAX ||
        memcmp(uri.data, scheme, scheme_len) != 0) {
        return false;
    }
    struct dom_slice rest = dom_slice_of(uri.data + scheme_len, uri.len - scheme_len);
    bool ok = next_segment(&rest, &out->trust_domain) &&
              dom_spiffe_trust_domain_valid(out->trust_domain) && next_segment(&rest, &word) &&
              dom_slice_eq_str(word, "region") && next_segment(&rest, &out->region) &&
              is_name(out->region) && next_segment(&rest, &other) &&
              dom_slice_eq_str(other, "service") && next_segment(&rest, &out->service) &&
              is_name(out->service) && rest.data == NULL;
    if (!ok) {
        memset(out, 0, sizeof(*out));
    }
    return ok;
}
