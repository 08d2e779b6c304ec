/* The table of codes, and how an error is set and gets its place on the way up. */
#include "base/error.h"

#include <string.h>

#include "tests/base/suite.h"

static const enum dom_code s_codes[] = {
#define X(name, number, cat, grpc, reason, text) DOM_##name,
    DOM_CODES(X)
#undef X
};

static void every_code_has_a_status_that_grpc_knows(void **state)
{
    (void)state;
    for (size_t i = 0; i < DOM_ARRAY_LEN(s_codes); i++) {
        assert_in_range(dom_code_grpc_status(s_codes[i]), 0, 16);
        /* Only success is OK on the wire: an error must never look like an answer. */
        assert_int_equal(dom_code_grpc_status(s_codes[i]) == 0, s_codes[i] == DOM_OK);
        assert_int_equal(dom_code_category(s_codes[i]) == DOM_CAT_NONE, s_codes[i] == DOM_OK);
    }
}

/* AIP-193: [A-Z][A-Z0-9_]+[A-Z0-9], at most 63 characters. */
static void every_reason_is_upper_snake(void **state)
{
    (void)state;
    for (size_t i = 0; i < DOM_ARRAY_LEN(s_codes); i++) {
        const char *reason = dom_code_reason(s_codes[i]);
        assert_in_range(strlen(reason), 2, 63);
        assert_int_equal(strspn(reason, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_"), strlen(reason));
        assert_int_not_equal(reason[0], '_');
        assert_true(strlen(dom_code_text(s_codes[i])) > 0);
    }
}

static void no_two_codes_share_a_number_or_a_reason(void **state)
{
    (void)state;
    for (size_t i = 0; i < DOM_ARRAY_LEN(s_codes); i++) {
        for (size_t k = 0; k < i; k++) {
            assert_int_not_equal(s_codes[i], s_codes[k]);
            assert_string_not_equal(dom_code_reason(s_codes[i]), dom_code_reason(s_codes[k]));
        }
    }
}

/* Stable for ever: clients switch on these. */
static void reasons_that_clients_know_stay(void **state)
{
    (void)state;
    assert_string_equal(dom_code_reason(DOM_NO_PERMIT), "NO_PERMIT");
    assert_string_equal(dom_code_reason(DOM_FORBIDDEN), "FORBIDDEN");
    assert_string_equal(dom_code_reason(DOM_BASIS_EXPIRED), "BASIS_EXPIRED");
    assert_string_equal(dom_code_reason(DOM_AUDIT_UNAVAILABLE), "AUDIT_UNAVAILABLE");
    assert_int_equal(dom_code_grpc_status(DOM_NO_PERMIT), 7);
    assert_int_equal(dom_code_grpc_status(DOM_LIMIT_REACHED), 8);
    assert_int_equal(dom_code_grpc_status(DOM_AUDIT_UNAVAILABLE), 14);
    assert_int_equal(dom_code_grpc_status(DOM_UNAUTHENTICATED), 16);
    assert_int_equal(DOM_NO_PERMIT, 20);
    assert_int_equal(DOM_INTERNAL, 99);
}

/* P12: over a limit is told as such, with the status that clients back off on. */
static void limits_are_resource_exhausted(void **state)
{
    (void)state;
    assert_int_equal(dom_code_grpc_status(DOM_RESOURCE), 8);
    assert_string_equal(dom_code_reason(DOM_RESOURCE), "RESOURCE_EXHAUSTED");
    assert_int_equal(dom_code_category(DOM_RESOURCE), DOM_CAT_BUSY);
}

/* P2: what nobody knows is an error. */
static void unknown_code_reads_as_internal(void **state)
{
    (void)state;
    assert_int_equal(dom_code_category((enum dom_code)77), DOM_CAT_INTERNAL);
    assert_int_equal(dom_code_grpc_status((enum dom_code)77), 13);
    assert_string_equal(dom_code_reason((enum dom_code)77), "INTERNAL");
    assert_int_equal(dom_code_grpc_status((enum dom_code)-1), 13);
}

static void fail_returns_the_code_and_keeps_the_place(void **state)
{
    struct dom_error err = {0};

    (void)state;
    enum dom_code rc = DOM_FAIL(&err, DOM_INVALID, "port %d is out of range", 70000);
    int line = __LINE__ - 1;
    assert_int_equal(rc, DOM_INVALID);
    assert_int_equal(err.code, DOM_INVALID);
    assert_string_equal(err.message, "port 70000 is out of range");
    assert_int_equal(err.line, line);
    assert_non_null(strstr(err.file, "error_test.c"));
}

static void fail_without_an_error_still_returns_the_code(void **state)
{
    (void)state;
    assert_int_equal(DOM_FAIL(NULL, DOM_IO, "x"), DOM_IO);
}

static void message_is_cut_at_511_bytes(void **state)
{
    struct dom_error err = {0};
    char text[600];

    (void)state;
    memset(text, 'm', sizeof(text));
    text[599] = '\0';
    (void)DOM_FAIL(&err, DOM_INVALID, "%s", text);
    assert_int_equal(strlen(err.message), 511);
}

static void message_may_quote_the_error_itself(void **state)
{
    struct dom_error err = {0};

    (void)state;
    (void)DOM_FAIL(&err, DOM_IO, "cannot read");
    (void)DOM_FAIL(&err, DOM_CORRUPT, "log: %s", err.message);
    assert_string_equal(err.message, "log: cannot read");
    assert_int_equal(err.code, DOM_CORRUPT);
}

static void prefix_keeps_code_and_message(void **state)
{
    struct dom_error err = {0};

    (void)state;
    (void)DOM_FAIL(&err, DOM_IO, "cannot read");
    assert_int_equal(dom_error_prefix(&err, "region %s", "eu-1"), DOM_IO);
    assert_string_equal(err.message, "region eu-1: cannot read");
}

static void prefix_that_fills_the_message_is_cut(void **state)
{
    struct dom_error err = {0};
    char text[600];

    (void)state;
    memset(text, 'p', sizeof(text));
    text[599] = '\0';
    (void)DOM_FAIL(&err, DOM_IO, "cannot read");
    assert_int_equal(dom_error_prefix(&err, "%s", text), DOM_IO);
    assert_int_equal(strlen(err.message), 511);
    text[508] = '\0'; /* room for the colon and one character */
    (void)DOM_FAIL(&err, DOM_IO, "cannot read");
    assert_int_equal(dom_error_prefix(&err, "%s", text), DOM_IO);
    assert_string_equal(err.message + 508, ": c");
}

static void prefix_of_no_error_is_internal(void **state)
{
    (void)state;
    assert_int_equal(dom_error_prefix(NULL, "x"), DOM_INTERNAL);
}

static void clear_leaves_nothing_behind(void **state)
{
    struct dom_error err = {0};

    (void)state;
    (void)DOM_FAIL(&err, DOM_IO, "cannot read");
    dom_error_clear(&err);
    dom_error_clear(NULL);
    assert_int_equal(err.code, DOM_OK);
    assert_string_equal(err.message, "");
    assert_null(err.file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_has_a_status_that_grpc_knows),
        cmocka_unit_test(every_reason_is_upper_snake),
        cmocka_unit_test(no_two_codes_share_a_number_or_a_reason),
        cmocka_unit_test(reasons_that_clients_know_stay),
        cmocka_unit_test(limits_are_resource_exhausted),
        cmocka_unit_test(unknown_code_reads_as_internal),
        cmocka_unit_test(fail_returns_the_code_and_keeps_the_place),
        cmocka_unit_test(fail_without_an_error_still_returns_the_code),
        cmocka_unit_test(message_is_cut_at_511_bytes),
        cmocka_unit_test(message_may_quote_the_error_itself),
        cmocka_unit_test(prefix_keeps_code_and_message),
        cmocka_unit_test(prefix_that_fills_the_message_is_cut),
        cmocka_unit_test(prefix_of_no_error_is_internal),
        cmocka_unit_test(clear_leaves_nothing_behind),
    };

    return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
