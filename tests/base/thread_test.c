#include "base/thread.h"

#include <pthread.h>

#include "tests/base/suite.h"

static void assert_name(const char *want)
{
    char name[32];

    assert_int_equal(pthread_getname_np(pthread_self(), name, sizeof(name)), 0);
    assert_string_equal(name, want);
}

static void names_keep_their_ends(void **state)
{
    (void)state;
    dom_thread_name("keeper", NULL);
    assert_name("keeper");
    dom_thread_name("commit", "eu-west-1");
    assert_name("commit:u-west-1");
    dom_thread_name("commit", "in-1");
    assert_name("commit:in-1");
    dom_thread_name("a-role-that-is-too-long", "region");
    assert_name("a-role-that-is-");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_keep_their_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
