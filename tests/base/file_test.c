/* Files read and written the careful way, in a folder of their own. */
#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/base/suite.h"

struct place {
    char dir[256];
    char path[512]; /* <dir>/file */
    struct dom_buffer out;
    struct dom_error err;
};

static int setup(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    const char *tmp = getenv("TEST_TMPDIR");

    assert_non_null(place);
    (void)snprintf(place->dir, sizeof(place->dir), "%s/dom-file-XXXXXX", tmp == NULL ? "/tmp" : tmp);
    assert_non_null(mkdtemp(place->dir));
    (void)snprintf(place->path, sizeof(place->path), "%s/file", place->dir);
    *state = place;
    return 0;
}

static size_t remove_all(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry = NULL;
    size_t num = 0;

    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL) {
        char inner[PATH_MAX];
        struct stat st;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        num++;
        (void)snprintf(inner, sizeof(inner), "%s/%s", path, entry->d_name);
        assert_int_equal(lstat(inner, &st), 0);
        if (S_ISDIR(st.st_mode)) {
            (void)remove_all(inner);
        } else {
            assert_int_equal(unlink(inner), 0);
        }
    }
    (void)closedir(dir);
    assert_int_equal(rmdir(path), 0);
    return num;
}

static int teardown(void **state)
{
    struct place *place = *state;

    (void)remove_all(place->dir);
    dom_buffer_cleanup(&place->out);
    free(place);
    return 0;
}

static void put(const struct place *place, const char *text, mode_t mode)
{
    int fd = open(place->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    (void)close(fd);
}

static mode_t mode_of(const char *path)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 07777;
}

/* P12 */
static void read_gives_a_file_of_exactly_the_limit(void **state)
{
    struct place *place = *state;

    put(place, "12345", 0644);
    assert_int_equal(dom_file_read(&place->out, place->path, 5, &place->err), DOM_OK);
    assert_true(dom_slice_eq_str(dom_buffer_slice(&place->out), "12345"));
}

/* P12 */
static void read_refuses_one_byte_over_the_limit(void **state)
{
    struct place *place = *state;

    put(place, "123456", 0644);
    assert_int_equal(dom_file_read(&place->out, place->path, 5, &place->err), DOM_TOO_LARGE);
    assert_non_null(strstr(place->err.message, "larger than 5 bytes"));
    assert_non_null(strstr(place->err.message, place->path)); /* P11: names the place */
}

static void read_forgets_what_the_buffer_held(void **state)
{
    struct place *place = *state;

    dom_buffer_append_str(&place->out, "old");
    put(place, "new", 0644);
    assert_int_equal(dom_file_read(&place->out, place->path, 5, &place->err), DOM_OK);
    assert_true(dom_slice_eq_str(dom_buffer_slice(&place->out), "new"));
}

static void read_refuses_a_file_that_is_not_there(void **state)
{
    struct place *place = *state;

    assert_int_equal(dom_file_read(&place->out, place->path, 5, &place->err), DOM_IO);
    assert_non_null(strstr(place->err.message, "No such file"));
}

static void read_refuses_a_folder(void **state)
{
    struct place *place = *state;

    assert_int_equal(dom_file_read(&place->out, place->dir, 5, &place->err), DOM_IO);
    assert_non_null(strstr(place->err.message, "not a regular file"));
}

static void read_refuses_a_pipe_without_waiting_for_its_writer(void **state)
{
    struct place *place = *state;

    assert_int_equal(mkfifo(place->path, 0600), 0);
    assert_int_equal(dom_file_read(&place->out, place->path, 5, &place->err), DOM_IO);
}

static void read_refuses_a_device(void **state)
{
    struct place *place = *state;

    assert_int_equal(dom_file_read(&place->out, "/dev/zero", 5, &place->err), DOM_IO);
}

static void secret_is_read_when_only_its_owner_may(void **state)
{
    struct place *place = *state;

    put(place, "key", 0600);
    assert_int_equal(dom_file_read_secret(&place->out, place->path, 5, &place->err), DOM_OK);
    put(place, "key", 0400);
    assert_int_equal(dom_file_read_secret(&place->out, place->path, 5, &place->err), DOM_OK);
    assert_true(dom_slice_eq_str(dom_buffer_slice(&place->out), "key"));
}

static void secret_is_refused_with_the_chmod_that_mends_it(void **state)
{
    struct place *place = *state;
    char want[640];

    put(place, "key", 0644);
    assert_int_equal(dom_file_read_secret(&place->out, place->path, 5, &place->err),
                     DOM_PERMISSION);
    assert_non_null(strstr(place->err.message, "0644"));
    (void)snprintf(want, sizeof(want), "chmod 600 %s", place->path);
    assert_non_null(strstr(place->err.message, want));
    assert_int_equal(place->out.len, 0);
}

static void secret_is_refused_for_every_bit_of_group_or_others(void **state)
{
    struct place *place = *state;

    for (mode_t bit = 01; bit <= 040; bit = (mode_t)(bit << 1)) {
        put(place, "key", 0600 | bit);
        assert_int_equal(dom_file_read_secret(&place->out, place->path, 5, &place->err),
                         DOM_PERMISSION);
    }
}

static void secret_is_refused_when_another_user_owns_it(void **state)
{
    struct place *place = *state;

    put(place, "key", 0600);
    if (chown(place->path, geteuid() + 1, (gid_t)-1) != 0) {
        skip(); /* only root may give a file away */
    }
    enum dom_code rc = dom_file_read_secret(&place->out, place->path, 5, &place->err);
    assert_true(rc == DOM_PERMISSION || rc == DOM_IO);
}

static void write_makes_the_file_with_its_mode(void **state)
{
    struct place *place = *state;

    assert_int_equal(dom_file_write_atomic(place->path, DOM_SLICE_LIT("a\0b"), 0600, &place->err),
                     DOM_OK);
    assert_int_equal(mode_of(place->path), 0600);
    assert_int_equal(dom_file_read(&place->out, place->path, 5, &place->err), DOM_OK);
    assert_true(dom_slice_eq(dom_buffer_slice(&place->out), DOM_SLICE_LIT("a\0b")));
}

static void write_replaces_the_old_content_whole(void **state)
{
    struct place *place = *state;

    put(place, "a long old content", 0644);
    assert_int_equal(dom_file_write_atomic(place->path, DOM_SLICE_LIT("new"), 0600, &place->err),
                     DOM_OK);
    assert_int_equal(dom_file_read(&place->out, place->path, 50, &place->err), DOM_OK);
    assert_true(dom_slice_eq_str(dom_buffer_slice(&place->out), "new"));
    assert_int_equal(mode_of(place->path), 0600);
}

static void write_of_nothing_leaves_an_empty_file(void **state)
{
    struct place *place = *state;

    assert_int_equal(dom_file_write_atomic(place->path, dom_slice_of(NULL, 0), 0600, &place->err),
                     DOM_OK);
    assert_int_equal(dom_file_read(&place->out, place->path, 5, &place->err), DOM_OK);
    assert_int_equal(place->out.len, 0);
}

static void write_leaves_no_temporary_file_behind(void **state)
{
    struct place *place = *state;
    char inner[512];

    (void)snprintf(inner, sizeof(inner), "%s/sub", place->dir);
    assert_int_equal(mkdir(inner, 0700), 0);
    (void)snprintf(place->path, sizeof(place->path), "%s/sub/file", place->dir);
    assert_int_equal(dom_file_write_atomic(place->path, DOM_SLICE_LIT("x"), 0600, &place->err),
                     DOM_OK);
    assert_int_equal(remove_all(inner), 1);
}

/* A temporary file that a killed process left, readable by all: the secret must not go into it. */
static void write_does_not_use_a_stale_temporary_file(void **state)
{
    struct place *place = *state;
    char stale[640];

    for (unsigned i = 0; i < 64; i++) { /* whatever number the next write will have */
        (void)snprintf(stale, sizeof(stale), "%s.tmp-%ld-%u", place->path, (long)getpid(), i);
        int fd = open(stale, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(fchmod(fd, 0666), 0);
        (void)close(fd);
    }
    assert_int_equal(
        dom_file_write_atomic(place->path, DOM_SLICE_LIT("secret"), 0600, &place->err), DOM_OK);
    assert_int_equal(mode_of(place->path), 0600);
}

/* P11: the last good one stays. The target cannot be replaced: it is a folder that is not empty. */
static void write_that_cannot_replace_keeps_what_was_there(void **state)
{
    struct place *place = *state;
    char inner[640];

    assert_int_equal(mkdir(place->path, 0700), 0);
    (void)snprintf(inner, sizeof(inner), "%s/kept", place->path);
    assert_int_equal(dom_file_write_atomic(inner, DOM_SLICE_LIT("old"), 0600, &place->err), DOM_OK);
    assert_int_equal(dom_file_write_atomic(place->path, DOM_SLICE_LIT("new"), 0600, &place->err),
                     DOM_IO);
    assert_int_equal(dom_file_read(&place->out, inner, 5, &place->err), DOM_OK);
    assert_true(dom_slice_eq_str(dom_buffer_slice(&place->out), "old"));
    assert_int_equal(remove_all(place->path), 1);
    (void)snprintf(place->path, sizeof(place->path), "%s/again", place->dir);
    assert_int_equal(remove_all(place->dir), 0); /* nor a temporary file beside it */
    assert_int_equal(mkdir(place->dir, 0700), 0);
}

static void write_into_a_folder_that_may_not_be_written_keeps_the_old_content(void **state)
{
    struct place *place = *state;

    bool root = geteuid() == 0; /* who may write everywhere, so becomes another user */

    put(place, "old", 0600);
    assert_int_equal(chmod(place->dir, root ? 0555 : 0500), 0);
    assert_true(!root || seteuid(65534) == 0);
    enum dom_code rc =
        dom_file_write_atomic(place->path, DOM_SLICE_LIT("new"), 0600, &place->err);
    assert_true(!root || seteuid(0) == 0);
    assert_int_equal(chmod(place->dir, 0700), 0);
    assert_int_equal(rc, DOM_IO);
    assert_int_equal(dom_file_read(&place->out, place->path, 5, &place->err), DOM_OK);
    assert_true(dom_slice_eq_str(dom_buffer_slice(&place->out), "old"));
}

static void write_refuses_a_folder_that_is_not_there(void **state)
{
    struct place *place = *state;

    (void)snprintf(place->path, sizeof(place->path), "%s/no/file", place->dir);
    assert_int_equal(dom_file_write_atomic(place->path, DOM_SLICE_LIT("x"), 0600, &place->err),
                     DOM_IO);
    assert_non_null(strstr(place->err.message, "No such file"));
}

static void write_refuses_a_path_that_is_too_long(void **state)
{
    struct place *place = *state;
    char path[PATH_MAX + 8];

    memset(path, 'a', sizeof(path));
    path[sizeof(path) - 1] = '\0';
    assert_int_equal(dom_file_write_atomic(path, DOM_SLICE_LIT("x"), 0600, &place->err), DOM_IO);
    assert_int_equal(dom_dir_make(path, 0700, &place->err), DOM_IO);
}

static void dir_make_makes_every_missing_folder_with_its_mode(void **state)
{
    struct place *place = *state;
    char path[512];

    (void)snprintf(path, sizeof(path), "%s/a/b/c", place->dir);
    assert_int_equal(dom_dir_make(path, 0700, &place->err), DOM_OK);
    assert_int_equal(mode_of(path), 0700);
    assert_int_equal(dom_dir_make(path, 0700, &place->err), DOM_OK); /* again: fine */
    (void)snprintf(path, sizeof(path), "%s/a//d/", place->dir);
    assert_int_equal(dom_dir_make(path, 0750, &place->err), DOM_OK);
    assert_int_equal(mode_of(path), 0750);
}

static void dir_make_refuses_a_file_in_the_way(void **state)
{
    struct place *place = *state;
    char path[640];

    put(place, "x", 0600);
    assert_int_equal(dom_dir_make(place->path, 0700, &place->err), DOM_IO);
    assert_non_null(strstr(place->err.message, "not a folder"));
    (void)snprintf(path, sizeof(path), "%s/below", place->path);
    assert_int_equal(dom_dir_make(path, 0700, &place->err), DOM_IO);
}

static void dir_make_refuses_an_empty_name(void **state)
{
    struct place *place = *state;

    assert_int_equal(dom_dir_make("", 0700, &place->err), DOM_IO);
}

static void dir_sync_refuses_what_is_no_folder(void **state)
{
    struct place *place = *state;

    put(place, "x", 0600);
    assert_int_equal(dom_dir_sync(place->path, &place->err), DOM_IO);
    assert_int_equal(dom_dir_sync("/no/such/folder", &place->err), DOM_IO);
    assert_int_equal(dom_dir_sync(place->dir, &place->err), DOM_OK);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(read_gives_a_file_of_exactly_the_limit),
        T(read_refuses_one_byte_over_the_limit),
        T(read_forgets_what_the_buffer_held),
        T(read_refuses_a_file_that_is_not_there),
        T(read_refuses_a_folder),
        T(read_refuses_a_pipe_without_waiting_for_its_writer),
        T(read_refuses_a_device),
        T(secret_is_read_when_only_its_owner_may),
        T(secret_is_refused_with_the_chmod_that_mends_it),
        T(secret_is_refused_for_every_bit_of_group_or_others),
        T(secret_is_refused_when_another_user_owns_it),
        T(write_makes_the_file_with_its_mode),
        T(write_replaces_the_old_content_whole),
        T(write_of_nothing_leaves_an_empty_file),
        T(write_leaves_no_temporary_file_behind),
        T(write_does_not_use_a_stale_temporary_file),
        T(write_that_cannot_replace_keeps_what_was_there),
        T(write_into_a_folder_that_may_not_be_written_keeps_the_old_content),
        T(write_refuses_a_folder_that_is_not_there),
        T(write_refuses_a_path_that_is_too_long),
        T(dir_make_makes_every_missing_folder_with_its_mode),
        T(dir_make_refuses_a_file_in_the_way),
        T(dir_make_refuses_an_empty_name),
        T(dir_sync_refuses_what_is_no_folder),
    };

    return cmocka_run_group_tests_name("file", tests, NULL, NULL);
}
