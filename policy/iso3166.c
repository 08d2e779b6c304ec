#include "policy/iso3166.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static const struct {
    const char *alpha2;
    const char *alpha3;
    const char *name;
} s_countries[] = {
#define COUNTRY(alpha2, alpha3, name) {alpha2, alpha3, name},
#include "policy/iso3166.inc"
#undef COUNTRY
};

_Static_assert(sizeof(s_countries) / sizeof(s_countries[0]) == DOM_COUNTRIES_MAX,
               "the table holds every assigned code once");

const char *dom_iso3166_name(struct dom_slice code)
{
    size_t low = 0;
    size_t high = DOM_COUNTRIES_MAX;

    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = dom_slice_cmp(code, dom_slice_str(s_countries[middle].alpha2));
        if (order == 0) {
            return s_countries[middle].name;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}

bool dom_iso3166_known(struct dom_slice code)
{
    return dom_iso3166_name(code) != NULL;
}

/* Code points that look like a Latin capital: Cyrillic and Greek capitals. */
static const struct {
    uint32_t point;
    char latin;
} s_look_alikes[] = {
    {0x0410, 'A'}, {0x0412, 'B'}, {0x0421, 'C'}, {0x0415, 'E'}, {0x041D, 'H'}, {0x0406, 'I'},
    {0x0408, 'J'}, {0x041A, 'K'}, {0x041C, 'M'}, {0x041E, 'O'}, {0x0420, 'P'}, {0x0405, 'S'},
    {0x0422, 'T'}, {0x0425, 'X'}, {0x0423, 'Y'}, {0x04AE, 'Y'}, {0x0391, 'A'}, {0x0392, 'B'},
    {0x0395, 'E'}, {0x0396, 'Z'}, {0x0397, 'H'}, {0x0399, 'I'}, {0x039A, 'K'}, {0x039C, 'M'},
    {0x039D, 'N'}, {0x039F, 'O'}, {0x03A1, 'P'}, {0x03A4, 'T'}, {0x03A5, 'Y'}, {0x03A7, 'X'},
};

static uint32_t decode(const uint8_t *data, size_t step)
{
    if (step == 1) {
        return data[0];
    }
    if (step == 2) {
        return ((uint32_t)(data[0] & 0x1F) << 6) | (data[1] & 0x3F);
    }
    if (step == 3) {
        return ((uint32_t)(data[0] & 0x0F) << 12) | ((uint32_t)(data[1] & 0x3F) << 6) |
               (data[2] & 0x3F);
    }
    return 0;
}

static char latin_of(uint32_t point, bool *changed)
{
    if (point >= 0xFF21 && point <= 0xFF3A) {
        *changed = true;
        return (char)('A' + (point - 0xFF21));
    }
    for (size_t i = 0; i < sizeof(s_look_alikes) / sizeof(s_look_alikes[0]); i++) {
        if (s_look_alikes[i].point == point) {
            *changed = true;
            return s_look_alikes[i].latin;
        }
    }
    if (point == '0') {
        *changed = true;
        return 'O';
    }
    if (point >= 'a' && point <= 'z') {
        return (char)(point - 'a' + 'A');
    }
    return point < 0x80 ? (char)point : '\0';
}

/* Upper-cases, drops blanks and maps look-alikes; false when more than two letters are left. */
static bool fold(struct dom_slice code, char out[3], bool *look_alike)
{
    size_t len = 0;

    for (size_t i = 0; i < code.len;) {
        uint8_t lead = code.data[i];
        size_t step = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
        if (step > code.len - i) {
            return false;
        }
        uint32_t point = decode(code.data + i, step);
        i += step;
        if (point == ' ' || point == '\t' || point == 0xA0 || point == 0x200B) {
            continue;
        }
        char latin = latin_of(point, look_alike);
        if (latin == '\0' || len == 2) {
            return false;
        }
        out[len++] = latin;
    }
    out[len] = '\0';
    return len == 2;
}

void dom_iso3166_hint(struct dom_slice code, char *out, size_t out_size)
{
    char folded[3] = "";
    bool look_alike = false;

    out[0] = '\0';
    if (fold(code, folded, &look_alike)) {
        const char *meant = strcmp(folded, "UK") == 0   ? "GB"
                            : strcmp(folded, "EL") == 0 ? "GR"
                                                        : folded;
        if (dom_iso3166_known(dom_slice_str(meant))) {
            (void)snprintf(out, out_size, "did you mean \"%s\"?%s", meant,
                           look_alike ? " a letter here only looks like it" : "");
            return;
        }
        if (strcmp(folded, "EU") == 0) {
            (void)snprintf(out, out_size, "EU is no country: name a jurisdiction or a group");
        }
        return;
    }
    for (size_t i = 0; i < DOM_COUNTRIES_MAX; i++) {
        const char *name = s_countries[i].name;
        bool alpha3 = code.len == 3 && strncasecmp((const char *)code.data,
                                                   s_countries[i].alpha3, 3) == 0;
        bool named = code.len == strlen(name) &&
                     strncasecmp((const char *)code.data, name, code.len) == 0;
        if (alpha3 || named) {
            (void)snprintf(out, out_size, "did you mean \"%s\"?", s_countries[i].alpha2);
            return;
        }
    }
}
