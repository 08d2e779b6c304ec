#include "store/audit/tile.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"

#define GROUP_DIGITS 3U
#define GROUPS_MAX   7U /* 21 digits hold any uint64 */

uint64_t dom_tile_level_size(uint64_t size, int level)
{
    DOM_ASSERT(level >= DOM_TILE_ENTRIES && level < (int)DOM_TILE_LEVELS);
    return level <= 0 ? size : size >> (8U * (unsigned)level);
}

unsigned dom_tile_width(uint64_t size, int level, uint64_t n)
{
    uint64_t hashes = dom_tile_level_size(size, level);
    uint64_t full = hashes / DOM_TILE_WIDTH;

    if (n < full) {
        return DOM_TILE_WIDTH;
    }
    return n == full ? (unsigned)(hashes % DOM_TILE_WIDTH) : 0;
}

uint64_t dom_tile_bundle_count(uint64_t size)
{
    return size / DOM_TILE_WIDTH + (size % DOM_TILE_WIDTH != 0 ? 1 : 0);
}

uint64_t dom_tile_count(uint64_t size)
{
    uint64_t count = 0;

    for (int level = 0; level < (int)DOM_TILE_LEVELS; level++) {
        count += dom_tile_bundle_count(dom_tile_level_size(size, level));
    }
    return count;
}

/* "x001/x234/067" */
static size_t put_number(char *out, size_t out_size, uint64_t n)
{
    unsigned groups[GROUPS_MAX];
    unsigned num_groups = 0;
    size_t len = 0;

    do {
        groups[num_groups++] = (unsigned)(n % 1000U);
        n /= 1000U;
    } while (n > 0);
    for (unsigned i = num_groups; i-- > 0;) {
        int put = snprintf(out + len, out_size - len, i > 0 ? "x%03u/" : "%03u", groups[i]);
        DOM_ASSERT(put > 0 && (size_t)put < out_size - len);
        len += (size_t)put;
    }
    return len;
}

char *dom_tile_path(char *out, struct dom_tile tile)
{
    int put = 0;

    DOM_ASSERT(tile.width >= 1 && tile.width <= DOM_TILE_WIDTH);
    DOM_ASSERT(tile.level >= DOM_TILE_ENTRIES && tile.level < (int)DOM_TILE_LEVELS);
    if (tile.level == DOM_TILE_ENTRIES) {
        put = snprintf(out, DOM_TILE_PATH_SIZE, "tile/entries/");
    } else {
        put = snprintf(out, DOM_TILE_PATH_SIZE, "tile/%d/", tile.level);
    }
    size_t len = (size_t)put;
    len += put_number(out + len, DOM_TILE_PATH_SIZE - len, tile.n);
    if (tile.width < DOM_TILE_WIDTH) {
        put = snprintf(out + len, DOM_TILE_PATH_SIZE - len, ".p/%u", tile.width);
        DOM_ASSERT(put > 0 && (size_t)put < DOM_TILE_PATH_SIZE - len);
    }
    return out;
}

static bool take_prefix(struct dom_slice *rest, struct dom_slice prefix)
{
    if (rest->len < prefix.len || memcmp(rest->data, prefix.data, prefix.len) != 0) {
        return false;
    }
    *rest = dom_slice_of(rest->data + prefix.len, rest->len - prefix.len);
    return true;
}

/* `len` digits; false when there are fewer. */
static bool take_digits(struct dom_slice *rest, size_t len, unsigned *value)
{
    *value = 0;
    if (rest->len < len) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (rest->data[i] < '0' || rest->data[i] > '9') {
            return false;
        }
        *value = *value * 10U + (unsigned)(rest->data[i] - '0');
    }
    *rest = dom_slice_of(rest->data + len, rest->len - len);
    return true;
}

static bool take_number(struct dom_slice *rest, uint64_t *n)
{
    unsigned group = 0;

    *n = 0;
    for (unsigned i = 0; i < GROUPS_MAX; i++) {
        bool more = rest->len > 0 && rest->data[0] == 'x';
        if (more && !take_prefix(rest, DOM_SLICE_LIT("x"))) {
            return false;
        }
        if (!take_digits(rest, GROUP_DIGITS, &group) ||
            __builtin_mul_overflow(*n, UINT64_C(1000), n) ||
            __builtin_add_overflow(*n, (uint64_t)group, n)) {
            return false;
        }
        if (i == 0 && more && group == 0) {
            return false; /* "x000/..." is a second spelling */
        }
        if (!more) {
            return true;
        }
        if (!take_prefix(rest, DOM_SLICE_LIT("/"))) {
            return false;
        }
    }
    return false;
}

/* ".p/<1..255>" and nothing more, or nothing at all. */
static bool take_width(struct dom_slice rest, unsigned *width)
{
    *width = DOM_TILE_WIDTH;
    if (rest.len == 0) {
        return true;
    }
    if (!take_prefix(&rest, DOM_SLICE_LIT(".p/")) || rest.len == 0 || rest.len > 3 ||
        rest.data[0] == '0') {
        return false;
    }
    return take_digits(&rest, rest.len, width) && *width < DOM_TILE_WIDTH;
}

bool dom_tile_path_parse(struct dom_slice path, struct dom_tile *tile)
{
    unsigned level = 0;

    memset(tile, 0, sizeof(*tile));
    if (take_prefix(&path, DOM_SLICE_LIT("tile/entries/"))) {
        tile->level = DOM_TILE_ENTRIES;
    } else {
        if (!take_prefix(&path, DOM_SLICE_LIT("tile/")) || !take_digits(&path, 1, &level) ||
            level >= DOM_TILE_LEVELS || !take_prefix(&path, DOM_SLICE_LIT("/"))) {
            return false;
        }
        tile->level = (int)level;
    }
    return take_number(&path, &tile->n) && take_width(path, &tile->width);
}
