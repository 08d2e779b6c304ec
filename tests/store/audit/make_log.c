/* make_log DIR SIZE [STEP [mixed]]: a log of SIZE valid entries below DIR, published every STEP
 * entries, signed with a fixed test key. With "mixed" the entries are of every type. For tests
 * that look at a log from outside. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/store/audit/testing.h"

int main(int argc, char **argv)
{
    struct testing_log log;
    uint64_t published = 0;

    if (argc < 3) {
        (void)fprintf(stderr, "usage: make_log DIR SIZE [STEP [mixed]]\n");
        return 3;
    }
    uint64_t size = strtoull(argv[2], NULL, 10);
    uint64_t step = argc > 3 ? strtoull(argv[3], NULL, 10) : size;
    testing_log_init(&log);
    do {
        uint64_t next = step == 0 || published + step > size ? size : published + step;
        if (argc > 4) {
            testing_log_fill_mixed(&log, next);
        } else {
            testing_log_fill(&log, next);
        }
        testing_log_publish(&log, argv[1], published);
        published = next;
    } while (published < size);
    testing_log_cleanup(&log);
    return 0;
}
