#include "base/thread.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define NAME_SIZE 16U /* with the NUL; pthread_setname_np(3) */

void dom_thread_name(const char *role, const char *what)
{
    char name[NAME_SIZE];
    size_t role_len = strlen(role);
    size_t what_len = what == NULL ? 0 : strlen(what);
    size_t room = role_len + 1 < NAME_SIZE ? NAME_SIZE - 2 - role_len : 0;

    if (what_len == 0 || room == 0) {
        (void)snprintf(name, sizeof(name), "%s", role);
    } else {
        const char *end = what_len > room ? what + (what_len - room) : what;
        (void)snprintf(name, sizeof(name), "%s:%s", role, end);
    }
    (void)pthread_setname_np(pthread_self(), name); /* a name is a comfort, not a need */
}
