#include "policy/text.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/macros.h"

static bool is_letter(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

bool dom_identifier_valid(struct dom_slice name)
{
    if (name.len == 0 || name.len > DOM_POLICY_NAME_BYTES_MAX || !is_letter(name.data[0])) {
        return false;
    }
    for (size_t i = 1; i < name.len; i++) {
        uint8_t c = name.data[i];
        if (!is_letter(c) && !is_digit(c) && c != '_' && c != '-') {
            return false;
        }
    }
    return true;
}

bool dom_label_valid(struct dom_slice label)
{
    if (label.len == 0 || label.len > DOM_POLICY_NAME_BYTES_MAX ||
        (!is_letter(label.data[0]) && !is_digit(label.data[0]))) {
        return false;
    }
    for (size_t i = 1; i < label.len; i++) {
        uint8_t c = label.data[i];
        if (!is_letter(c) && !is_digit(c) && (c == 0 || strchr("_.:/-", c) == NULL)) {
            return false;
        }
    }
    return true;
}

struct duration_reader {
    struct dom_slice text;
    size_t at;
    bool in_time;
    int last_unit; /* units must fall: Y M W D H M S are 0 to 6 */
};

/* Reads one number and its unit; false at the first byte that does not fit. */
static bool duration_part(struct duration_reader *reader, struct dom_duration *out)
{
    static const char date_units[] = "YMWD";
    static const char time_units[] = "HMS";
    static const int64_t unit_ms[] = {0, 0, 7 * DOM_MS_PER_DAY, DOM_MS_PER_DAY, 3600000, 60000,
                                      1000};
    uint32_t number = 0;
    size_t digits = 0;

    while (reader->at < reader->text.len && is_digit(reader->text.data[reader->at])) {
        if (++digits > 6) {
            return false;
        }
        number = number * 10 + (uint32_t)(reader->text.data[reader->at++] - '0');
    }
    if (digits == 0 || reader->at >= reader->text.len) {
        return false;
    }
    uint8_t c = reader->text.data[reader->at];
    const char *units = reader->in_time ? time_units : date_units;
    const char *found = c == 0 ? NULL : strchr(units, c);
    if (found == NULL) {
        return false;
    }
    int unit = (int)(found - units) + (reader->in_time ? 4 : 0);
    if (unit <= reader->last_unit) {
        return false;
    }
    reader->last_unit = unit;
    reader->at++;
    if (unit == 0) {
        out->years = number;
    } else if (unit == 1) {
        out->months = number;
    } else {
        out->ms += (int64_t)number * unit_ms[unit];
    }
    return true;
}

bool dom_duration_parse(struct dom_slice text, struct dom_duration *out, size_t *bad_at)
{
    struct duration_reader reader = {.text = text, .last_unit = -1};

    memset(out, 0, sizeof(*out));
    *bad_at = 0;
    if (text.len == 0 || text.data[0] != 'P') {
        return false;
    }
    reader.at = 1;
    while (reader.at < text.len) {
        if (text.data[reader.at] == 'T' && !reader.in_time) {
            reader.in_time = true;
            reader.at++;
            if (reader.at < text.len) {
                continue;
            }
            break;
        }
        if (!duration_part(&reader, out)) {
            *bad_at = reader.at;
            return false;
        }
    }
    *bad_at = text.len > 0 ? text.len - 1 : 0;
    if (text.data[text.len - 1] == 'T') {
        return false;
    }
    return out->years != 0 || out->months != 0 || out->ms != 0;
}

int64_t dom_duration_ms_longest(const struct dom_duration *duration)
{
    return duration->ms + (int64_t)duration->years * 366 * DOM_MS_PER_DAY +
           (int64_t)duration->months * 31 * DOM_MS_PER_DAY;
}

bool dom_date_parse(struct dom_slice text, int64_t *ms, size_t *bad_at)
{
    static const char form[] = "0000-00-00";

    *ms = 0;
    for (size_t i = 0; i < sizeof(form) - 1; i++) {
        *bad_at = i;
        if (i >= text.len || (form[i] == '0' ? !is_digit(text.data[i]) : text.data[i] != '-')) {
            return false;
        }
    }
    *bad_at = sizeof(form) - 1;
    if (text.len != sizeof(form) - 1) {
        return false;
    }
    if (dom_time_parse(text, true, ms)) {
        return true;
    }
    unsigned month = (unsigned)(text.data[5] - '0') * 10U + (unsigned)(text.data[6] - '0');
    *bad_at = month < 1 || month > 12 ? 5 : 8;
    return false;
}

/* Where a text leaves the form; its length when it has it. '0' stands for any digit. */
static size_t form_end(struct dom_slice text, const char *form)
{
    size_t i = 0;

    while (i < text.len && form[i] != '\0' &&
           (form[i] == '0' ? is_digit(text.data[i]) : text.data[i] == (uint8_t)form[i])) {
        i++;
    }
    return i;
}

bool dom_instant_parse(struct dom_slice text, int64_t *ms, size_t *bad_at)
{
    static const char form[] = "0000-00-00T00:00:00Z";
    static const struct {
        size_t at;
        unsigned max;
    } parts[] = {{11, 23}, {14, 59}, {17, 59}};

    if (dom_date_parse(text, ms, bad_at)) {
        return true;
    }
    struct dom_slice day = dom_slice_of(text.data, text.len < 10 ? text.len : 10);
    if (!dom_date_parse(day, ms, bad_at)) {
        return false;
    }
    *bad_at = form_end(text, form);
    for (size_t i = 0; i < DOM_ARRAY_LEN(parts) && *bad_at > parts[i].at + 1; i++) {
        const uint8_t *two = text.data + parts[i].at;
        if ((unsigned)(two[0] - '0') * 10U + (unsigned)(two[1] - '0') > parts[i].max) {
            *bad_at = parts[i].at;
            return false;
        }
    }
    return *bad_at == sizeof(form) - 1 && text.len == *bad_at && dom_time_parse(text, true, ms);
}

void dom_date_format(char *out, int64_t ms)
{
    char whole[DOM_RFC3339_SIZE];

    dom_time_format(whole, ms, false);
    (void)snprintf(out, DOM_DATE_SIZE, "%.10s", whole);
}

#define NEAR_BYTES_MAX 40U

size_t dom_edit_distance(struct dom_slice a, struct dom_slice b)
{
    size_t rows[3][NEAR_BYTES_MAX + 1];

    if (a.len > NEAR_BYTES_MAX || b.len > NEAR_BYTES_MAX) {
        return SIZE_MAX;
    }
    for (size_t j = 0; j <= b.len; j++) {
        rows[0][j] = j;
        rows[1][j] = 0;
        rows[2][j] = 0;
    }
    for (size_t i = 1; i <= a.len; i++) {
        size_t *now = rows[i % 3];
        const size_t *before = rows[(i - 1) % 3];
        const size_t *swapped = rows[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            size_t best = before[j - 1] + (a.data[i - 1] == b.data[j - 1] ? 0U : 1U);
            best = before[j] + 1 < best ? before[j] + 1 : best;
            best = now[j - 1] + 1 < best ? now[j - 1] + 1 : best;
            if (i > 1 && j > 1 && a.data[i - 1] == b.data[j - 2] &&
                a.data[i - 2] == b.data[j - 1] && swapped[j - 2] + 1 < best) {
                best = swapped[j - 2] + 1;
            }
            now[j] = best;
        }
    }
    return rows[a.len % 3][b.len];
}

bool dom_text_near(struct dom_slice a, struct dom_slice b, size_t *distance)
{
    size_t longer = a.len > b.len ? a.len : b.len;
    size_t allowed = longer <= 3 ? 1 : longer <= 8 ? 2 : 3;

    *distance = SIZE_MAX;
    if (a.len > b.len + allowed || b.len > a.len + allowed) {
        return false;
    }
    *distance = dom_edit_distance(a, b);
    return *distance <= allowed && *distance < longer;
}
