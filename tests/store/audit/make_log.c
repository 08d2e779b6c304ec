/* make_log DIR SIZE [STEP [mixed|varied|wide]]: a log of SIZE valid entries below DIR, published
 * every STEP entries, signed with a fixed test key. With "mixed" the entries are of every type,
 * with "varied" most have a record of their own too. For tests that look at a log from outside.
 *
 * "wide" makes a log too large to be written out: its full bundles are names of the same 32
 * bundles, but for the last one, and the checkpoint's root is no root of it. It serves to measure
 * queries, nothing else. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "store/audit/checkpoint.h"
#include "store/audit/tiledir.h"
#include "tests/store/audit/testing.h"

#define WIDE_BUNDLES 32U

static void path_of(char *out, const char *dir, uint64_t n)
{
    char relative[DOM_TILE_PATH_SIZE];

    (void)snprintf(
        out, PATH_MAX, "%s/%s", dir,
        dom_tile_path(relative, (struct dom_tile){
                                    .level = DOM_TILE_ENTRIES, .n = n, .width = DOM_TILE_WIDTH}));
}

/* The log has WIDE_BUNDLES + 1 bundles: the last becomes the last of `size`. */
static void widen(struct testing_log *log, const char *dir, uint64_t size)
{
    struct dom_buffer note = {0};
    struct dom_tree_head head = {.size = size};
    struct dom_error err;
    char from[PATH_MAX];
    char to[PATH_MAX];
    char folder[PATH_MAX];
    uint64_t last = size / DOM_TILE_WIDTH - 1;

    path_of(from, dir, WIDE_BUNDLES);
    for (uint64_t n = last; n >= WIDE_BUNDLES; n--) {
        path_of(to, dir, n);
        memcpy(folder, to, sizeof(folder));
        *strrchr(folder, '/') = '\0';
        if (dom_dir_make(folder, 0700, &err) != DOM_OK || (n == WIDE_BUNDLES && unlink(to) != 0) ||
            link(from, to) != 0) {
            (void)fprintf(stderr, "make_log: %s: cannot link\n", to);
            exit(1);
        }
        path_of(from, dir, n % WIDE_BUNDLES);
    }
    assert_int_equal(dom_checkpoint_sign(&log->signer, &head, &note, &err), DOM_OK);
    (void)snprintf(to, sizeof(to), "%s/checkpoint", dir);
    assert_int_equal(dom_file_write_atomic(to, dom_buffer_slice(&note), 0600, &err), DOM_OK);
    dom_buffer_cleanup(&note);
}

int main(int argc, char **argv)
{
    struct testing_log log;
    uint64_t published = 0;
    void (*fill)(struct testing_log * log, uint64_t count) = testing_log_fill;

    if (argc < 3) {
        (void)fprintf(stderr, "usage: make_log DIR SIZE [STEP [mixed|varied|wide]]\n");
        return 3;
    }
    const char *what = argc > 4 ? argv[4] : "";
    uint64_t wanted = strtoull(argv[2], NULL, 10);
    bool wide = strcmp(what, "wide") == 0;
    uint64_t size = wide ? (WIDE_BUNDLES + 1) * DOM_TILE_WIDTH : wanted;
    uint64_t step = argc > 3 ? strtoull(argv[3], NULL, 10) : size;
    if (strcmp(what, "mixed") == 0) {
        fill = testing_log_fill_mixed;
    } else if (wide || strcmp(what, "varied") == 0) {
        fill = testing_log_fill_varied;
    }
    testing_log_init(&log);
    do {
        uint64_t next = step == 0 || published + step > size ? size : published + step;
        fill(&log, next);
        testing_log_publish(&log, argv[1], published);
        published = next;
    } while (published < size);
    if (wide) {
        widen(&log, argv[1], wanted / DOM_TILE_WIDTH * DOM_TILE_WIDTH);
    }
    testing_log_cleanup(&log);
    return 0;
}
