#include "router/rpc/handshakes.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/assert.h"
#include "base/log.h"

#define REASON_SIZE 200U

static const char s_handshake[] = "Handshake failed";
static atomic_uint_fast64_t s_refused;

/* Of this thread's last refused handshake, until its socket is known; "": none. */
static _Thread_local char s_reason[REASON_SIZE];

static bool is_due(const char *source)
{
    static atomic_llong s_seconds[DOM_HANDSHAKE_SOURCES];
    struct timespec now;
    unsigned hash = 0;

    for (const char *c = source; *c != '\0'; c++) {
        hash = hash * 31 + (unsigned char)*c;
    }
    (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    long long second = (long long)now.tv_sec + 1; /* never the 0 of a slot that nobody used yet */
    return atomic_exchange(&s_seconds[hash % DOM_HANDSHAKE_SOURCES], second) != second;
}

static void log_refused(const char *source, const char *reason)
{
    if (is_due(source)) {
        dom_log(DOM_LOG_WARN, "tls.handshake_refused", "source=%s text=\"%s\" refused=%llu", source,
                reason, (unsigned long long)dom_rpc_handshakes_refused());
    }
}

bool dom_rpc_handshake_note(const char *message)
{
    if (strstr(message, s_handshake) == NULL) {
        return false;
    }
    (void)atomic_fetch_add_explicit(&s_refused, 1, memory_order_relaxed);
    const char *why = strrchr(message, ':');
    why = why == NULL || why[1] == '\0' ? message : why + 1;
    (void)snprintf(s_reason, sizeof(s_reason), "%s", why);
    if (!dom_rpc_handshakes_have_sources()) {
        log_refused("unknown", s_reason);
        s_reason[0] = '\0';
    }
    return true;
}

uint64_t dom_rpc_handshakes_refused(void)
{
    return atomic_load_explicit(&s_refused, memory_order_relaxed);
}

/* The address without its port: one source has many ports. */
static void name_source(int fd, char out[INET6_ADDRSTRLEN])
{
    struct sockaddr_storage peer = {0};
    socklen_t len = sizeof(peer);
    const char *name = NULL;

    if (getpeername(fd, (struct sockaddr *)&peer, &len) == 0) {
        const void *at = &peer;
        if (peer.ss_family == AF_INET) {
            const struct sockaddr_in *in = at;
            name = inet_ntop(AF_INET, &in->sin_addr, out, INET6_ADDRSTRLEN);
        } else if (peer.ss_family == AF_INET6) {
            const struct sockaddr_in6 *in6 = at;
            bool v4 = IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr) != 0; /* ::ffff:192.0.2.1 */
            name = v4 ? inet_ntop(AF_INET, in6->sin6_addr.s6_addr + 12, out, INET6_ADDRSTRLEN)
                      : inet_ntop(AF_INET6, &in6->sin6_addr, out, INET6_ADDRSTRLEN);
        }
    }
    if (name == NULL) {
        (void)snprintf(out, INET6_ADDRSTRLEN, "unknown"); /* it has gone already */
    }
}

static int (*real_shutdown(void))(int, int)
{
    union {
        void *symbol;
        int (*function)(int, int);
    } real = {.symbol = dlsym(RTLD_NEXT, "shutdown")};

    DOM_ASSERT(real.symbol != NULL);
    return real.function;
}

/* shutdown(2), for every library of this program. */
int shutdown(int fd, int how)
{
    static _Atomic(int (*)(int, int)) s_real;

    if (s_reason[0] != '\0') {
        char source[INET6_ADDRSTRLEN];
        name_source(fd, source);
        log_refused(source, s_reason);
        s_reason[0] = '\0';
    }
    int (*real)(int, int) = atomic_load_explicit(&s_real, memory_order_relaxed);
    if (real == NULL) {
        real = real_shutdown();
        atomic_store_explicit(&s_real, real, memory_order_relaxed);
    }
    return real(fd, how);
}

bool dom_rpc_handshakes_have_sources(void)
{
    union {
        void *symbol;
        int (*function)(int, int);
    } seen = {.symbol = dlsym(RTLD_DEFAULT, "shutdown")};

    return seen.function == shutdown;
}
