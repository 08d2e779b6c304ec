/* The operator's log: one event, one line, whatever is in it. */
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/base/suite.h"

/* What went to stderr between capture and captured. */
struct tap {
    int pipe[2];
    int kept;
    char text[8192];
};

static int setup(void **state)
{
    struct tap *tap = calloc(1, sizeof(*tap));

    assert_non_null(tap);
    assert_int_equal(pipe(tap->pipe), 0);
    tap->kept = dup(STDERR_FILENO);
    assert_true(tap->kept >= 0);
    assert_true(dup2(tap->pipe[1], STDERR_FILENO) >= 0);
    dom_log_set_level(DOM_LOG_INFO);
    *state = tap;
    return 0;
}

static const char *captured(struct tap *tap)
{
    size_t len = 0;

    assert_true(dup2(tap->kept, STDERR_FILENO) >= 0);
    (void)close(tap->pipe[1]);
    tap->pipe[1] = -1;
    for (;;) {
        ssize_t got = read(tap->pipe[0], tap->text + len, sizeof(tap->text) - 1 - len);
        if (got <= 0) {
            break;
        }
        len += (size_t)got;
    }
    tap->text[len] = '\0';
    return tap->text;
}

static int teardown(void **state)
{
    struct tap *tap = *state;

    assert_true(dup2(tap->kept, STDERR_FILENO) >= 0);
    (void)close(tap->kept);
    (void)close(tap->pipe[0]);
    if (tap->pipe[1] >= 0) {
        (void)close(tap->pipe[1]);
    }
    dom_log_set_level(DOM_LOG_INFO);
    free(tap);
    return 0;
}

static size_t count(const char *text, char c)
{
    size_t num = 0;

    for (; *text != '\0'; text++) {
        num += *text == c ? 1U : 0U;
    }
    return num;
}

static void event_is_one_line_with_time_level_and_name(void **state)
{
    struct tap *tap = *state;
    int64_t when = 0;

    dom_log(DOM_LOG_WARN, "policy.loaded", "version=%d rules=%u", 7, 2U);
    const char *line = captured(tap);
    assert_int_equal(strncmp(line, "time=", 5), 0);
    assert_true(dom_time_parse(dom_slice_of(line + 5, 24), false, &when));
    assert_string_equal(line + 29, " level=warn event=policy.loaded version=7 rules=2\n");
}

/* P11: what a peer sent must not forge a line. */
static void control_characters_become_spaces(void **state)
{
    struct tap *tap = *state;

    dom_log(DOM_LOG_INFO, "x", "text=\"%s\"", "a\nlevel=error event=forged\r\t\x1B[2J\x7F");
    const char *line = captured(tap);
    assert_int_equal(count(line, '\n'), 1);
    for (const char *at = line; *at != '\n'; at++) {
        assert_true((unsigned char)*at >= 0x20 && *at != 0x7F);
    }
    assert_non_null(strstr(line, "text=\"a level=error event=forged   [2J \""));
}

static void long_event_is_cut_at_1024_bytes_and_still_ends(void **state)
{
    struct tap *tap = *state;
    char text[3000];

    memset(text, 'x', sizeof(text));
    text[2999] = '\0';
    dom_log(DOM_LOG_INFO, "x", "text=%s", text);
    dom_log(DOM_LOG_INFO, "y", "after=1");
    const char *line = captured(tap);
    assert_int_equal(count(line, '\n'), 2);
    assert_true((size_t)(strchr(line, '\n') - line) < 1024);
    assert_non_null(strstr(line, "event=y after=1\n"));
}

static void events_below_the_level_are_dropped(void **state)
{
    struct tap *tap = *state;

    dom_log(DOM_LOG_DEBUG, "a", "n=1");
    dom_log_set_level(DOM_LOG_ERROR);
    dom_log(DOM_LOG_INFO, "b", "n=2");
    dom_log(DOM_LOG_WARN, "c", "n=3");
    dom_log(DOM_LOG_ERROR, "d", "n=4");
    const char *line = captured(tap);
    assert_int_equal(count(line, '\n'), 1);
    assert_non_null(strstr(line, "level=error event=d n=4\n"));
}

static void lower_level_lets_debug_through(void **state)
{
    struct tap *tap = *state;

    dom_log_set_level(DOM_LOG_DEBUG);
    dom_log(DOM_LOG_DEBUG, "a", "n=1");
    assert_non_null(strstr(captured(tap), "level=debug event=a n=1\n"));
}

static void text_beyond_ascii_stays(void **state)
{
    struct tap *tap = *state;

    dom_log(DOM_LOG_INFO, "x", "text=\"%s\"", "caf\xC3\xA9");
    assert_non_null(strstr(captured(tap), "caf\xC3\xA9"));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(event_is_one_line_with_time_level_and_name),
        T(control_characters_become_spaces),
        T(long_event_is_cut_at_1024_bytes_and_still_ends),
        T(events_below_the_level_are_dropped),
        T(lower_level_lets_debug_through),
        T(text_beyond_ascii_stays),
    };

    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
