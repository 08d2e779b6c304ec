/* Any bytes as an index file: asked for every key, it says something or that it cannot be used,
 * and never that a bundle which it does not tell of needs no reading. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/file.h"
#include "store/audit/index.h"

static const char *folder(void)
{
    static char s_dir[] = "/tmp/domicile-fuzz-XXXXXX";
    static bool s_made;
    char path[64];

    if (!s_made) {
        DOM_ASSERT(mkdtemp(s_dir) != NULL);
        (void)snprintf(path, sizeof(path), "%s/index", s_dir);
        DOM_ASSERT(dom_dir_make(path, 0700, NULL) == DOM_OK);
        s_made = true;
    }
    return s_dir;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dom_index_mask mask;
    struct dom_export_filter filter;
    char path[64];
    unsigned width = 0;

    (void)snprintf(path, sizeof(path), "%s/index/000", folder());
    FILE *out = fopen(path, "wbe");
    DOM_ASSERT(out != NULL);
    DOM_ASSERT(fwrite(data, 1, size, out) == size);
    DOM_ASSERT(fclose(out) == 0);
    for (unsigned key = 0; key < DOM_EXPORT_KEY_COUNT; key++) {
        dom_export_filter_init(&filter);
        filter.from_ms = key % 2 == 0 ? 0 : 5;
        filter.where[0].key = (enum dom_export_key)key;
        filter.where[0].value = DOM_SLICE_LIT("US");
        filter.num_where = 1;
        enum dom_code rc = dom_index_select(folder(), 0, &filter, &mask, &width, NULL);
        DOM_ASSERT(rc == DOM_OK ? width > 0 && width <= DOM_INDEX_GROUP : width == 0);
        for (unsigned i = width; i < DOM_INDEX_GROUP; i++) {
            DOM_ASSERT(dom_index_mask_has(&mask, i));
        }
    }
    (void)unlink(path);
    return 0;
}
