#include "tools/bench_bare.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "router/rpc/load.h"

/* What the client asks for: one byte; the answer is the same byte. */
#define ASK_PLAIN  'p'
#define ASK_SYNCED 's'
#define ASK_END    'e'

struct bare {
    int fds[2]; /* the client's end, the server's */
    int file;
    uint8_t *bytes;
    size_t len;
    atomic_bool failed; /* the file could not be written */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    char asked; /* for the writing thread; 0: nothing */
};

/* ---- the server --------------------------------------------------------------------------- */

static void *write_and_answer(void *arg)
{
    struct bare *bare = arg;

    for (;;) {
        DOM_ASSERT(pthread_mutex_lock(&bare->lock) == 0);
        while (bare->asked == 0) {
            DOM_ASSERT(pthread_cond_wait(&bare->wake, &bare->lock) == 0);
        }
        char asked = bare->asked;
        bare->asked = 0;
        DOM_ASSERT(pthread_mutex_unlock(&bare->lock) == 0);
        if (asked == ASK_END) {
            return NULL;
        }
        if (write(bare->file, bare->bytes, bare->len) != (ssize_t)bare->len ||
            fdatasync(bare->file) != 0) {
            atomic_store(&bare->failed, true); /* the client looks after the answer */
        }
        if (send(bare->fds[1], &asked, 1, 0) != 1) {
            return NULL;
        }
    }
}

static void hand_over(struct bare *bare, char asked)
{
    DOM_ASSERT(pthread_mutex_lock(&bare->lock) == 0);
    bare->asked = asked;
    DOM_ASSERT(pthread_mutex_unlock(&bare->lock) == 0);
    DOM_ASSERT(pthread_cond_signal(&bare->wake) == 0);
}

static void *receive(void *arg)
{
    struct bare *bare = arg;
    char asked = 0;

    while (recv(bare->fds[1], &asked, 1, 0) == 1) {
        if (asked == ASK_SYNCED) {
            hand_over(bare, asked);
        } else if (send(bare->fds[1], &asked, 1, 0) != 1) {
            break;
        }
    }
    hand_over(bare, ASK_END);
    return NULL;
}

/* ---- the client --------------------------------------------------------------------------- */

static bool ask(struct bare *bare, char what, uint64_t run_ms, double *p50_us)
{
    static struct dom_rpc_histogram histogram;
    const struct dom_clock *clock = dom_clock_system();
    char answer = 0;
    bool ok = true;

    memset(&histogram, 0, sizeof(histogram));
    uint64_t begin = dom_clock_monotonic_us(clock);
    uint64_t before = begin;
    while (ok && before - begin < run_ms * 1000) {
        ok = send(bare->fds[0], &what, 1, 0) == 1 && recv(bare->fds[0], &answer, 1, 0) == 1 &&
             answer == what && !atomic_load(&bare->failed);
        uint64_t after = dom_clock_monotonic_us(clock);
        dom_rpc_histogram_add(&histogram, (after - before) * 1000);
        before = after;
    }
    *p50_us = (double)dom_rpc_histogram_quantile(&histogram, 500) / 1e3;
    return ok;
}

/* ---- both --------------------------------------------------------------------------------- */

static int loopback_listener(struct sockaddr_in *address)
{
    socklen_t len = sizeof(*address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    *address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (fd >= 0 && (bind(fd, (struct sockaddr *)address, len) != 0 || listen(fd, 1) != 0 ||
                    getsockname(fd, (struct sockaddr *)address, &len) != 0)) {
        (void)close(fd);
        fd = -1;
    }
    return fd;
}

/* As a caller of the router is connected: TCP over loopback, nothing held back. */
static bool join_ends(int fds[2])
{
    struct sockaddr_in address;
    const int on = 1;
    int listener = loopback_listener(&address);

    fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok = listener >= 0 && fds[0] >= 0 &&
              connect(fds[0], (struct sockaddr *)&address, sizeof(address)) == 0;
    fds[1] = ok ? accept(listener, NULL, NULL) : -1;
    ok = ok && fds[1] >= 0;
    for (int i = 0; ok && i < 2; i++) {
        ok = setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0;
    }
    if (listener >= 0) {
        (void)close(listener);
    }
    return ok;
}

static bool run(struct bare *bare, uint64_t run_ms, double *added_us)
{
    pthread_t receiver;
    pthread_t writer;
    double plain = 0;
    double synced = 0;

    if (pthread_create(&receiver, NULL, receive, bare) != 0) {
        return false;
    }
    bool ok = pthread_create(&writer, NULL, write_and_answer, bare) == 0;
    bool has_writer = ok;
    ok = ok && ask(bare, ASK_PLAIN, run_ms, &plain) && ask(bare, ASK_SYNCED, run_ms, &synced);
    *added_us = synced - plain;
    (void)shutdown(bare->fds[0], SHUT_RDWR); /* the receiver ends, and ends the writer */
    DOM_ASSERT(pthread_join(receiver, NULL) == 0);
    if (has_writer) {
        DOM_ASSERT(pthread_join(writer, NULL) == 0);
    }
    return ok;
}

bool dom_bench_bare(const char *folder, size_t len, uint64_t run_ms, double *added_us)
{
    struct bare bare = {.fds = {-1, -1},
                        .lock = PTHREAD_MUTEX_INITIALIZER,
                        .wake = PTHREAD_COND_INITIALIZER,
                        .len = len};
    char path[300];

    (void)snprintf(path, sizeof(path), "%s/bare", folder);
    bare.bytes = malloc(len);
    DOM_ASSERT(bare.bytes != NULL);
    memset(bare.bytes, 0xA5, len);
    bare.file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    bool ok = bare.file >= 0 && join_ends(bare.fds) && run(&bare, run_ms, added_us);
    if (!ok) {
        (void)fprintf(stderr, "domicile bench: %s, or a socket: %s\n", path, strerror(errno));
    }
    for (int i = 0; i < 2; i++) {
        if (bare.fds[i] >= 0) {
            (void)close(bare.fds[i]);
        }
    }
    if (bare.file >= 0) {
        (void)close(bare.file);
        (void)unlink(path);
    }
    free(bare.bytes);
    return ok;
}
