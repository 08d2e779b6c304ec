#include <string.h>

#include "store/region/db.h"

struct prefix {
    const char *text;
    enum dom_code code;
};

/* rocksdb's Status::ToString() begins with the kind. Longer texts first. */
static const struct prefix s_prefixes[] = {
    {"IO error: lock ", DOM_LOCKED},
    {"IO error: While lock file", DOM_LOCKED},
    {"IO error: No space left", DOM_IO},
    {"IO error", DOM_IO},
    {"Corruption", DOM_CORRUPT},
    {"Invalid argument", DOM_FORMAT},
    {"Resource busy", DOM_UNAVAILABLE},
    {"Operation timed out", DOM_UNAVAILABLE},
    {"Shutdown in progress", DOM_UNAVAILABLE},
    {"Operation aborted", DOM_UNAVAILABLE},
};

enum dom_code dom_rocksdb_error(char *text, const char *what, struct dom_error *err)
{
    enum dom_code code = DOM_IO;

    if (text == NULL) {
        return DOM_OK;
    }
    for (size_t i = 0; i < DOM_ARRAY_LEN(s_prefixes); i++) {
        if (strncmp(text, s_prefixes[i].text, strlen(s_prefixes[i].text)) == 0) {
            code = s_prefixes[i].code;
            break;
        }
    }
    code = DOM_FAIL(err, code, "%s: %s", what, text);
    rocksdb_free(text);
    return code;
}
