#include "tools/bench_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/file.h"

extern char **environ;

static enum dom_code write_config(struct dom_bench_server *server, const char *policy,
                                  const char *identity, char *path, size_t path_size,
                                  struct dom_error *err)
{
    struct dom_buffer text = {0};
    char *absolute = realpath(policy, NULL);

    if (absolute == NULL) {
        return DOM_FAIL(err, DOM_IO, "%s: %s", policy, strerror(errno));
    }
    dom_buffer_printf(&text,
                      "listen = \"127.0.0.1:0\";\n%s\n"
                      "metrics = \"127.0.0.1:0\";\ndata = \"%s/data\";\npolicy = \"%s\";\n"
                      "log = \"warn\";\nbench_echo = true;\n"
                      /* A load that fills the queue is to be measured, not refused. */
                      "audit = { wait_ms = 10000; };\n",
                      identity, server->folder, absolute);
    free(absolute);
    (void)snprintf(path, path_size, "%s/domicile.cfg", server->folder);
    enum dom_code rc = dom_file_write_atomic(path, dom_buffer_slice(&text), 0600, err);
    dom_buffer_cleanup(&text);
    return rc;
}

/* The lines that serve prints until it is ready. */
static enum dom_code read_ready(struct dom_bench_server *server, int fd, struct dom_error *err)
{
    FILE *out = fdopen(fd, "r");
    char line[256];

    while (out != NULL && fgets(line, sizeof(line), out) != NULL) {
        (void)sscanf(line, "metrics on port %u", &server->metrics_port);
        if (sscanf(line, "listening on %63s", server->address) == 1) {
            (void)fclose(out);
            return DOM_OK;
        }
    }
    if (out != NULL) {
        (void)fclose(out);
    }
    return DOM_FAIL(err, DOM_UNAVAILABLE, "the router did not start");
}

/* The environment of the server: this one's, and the counting library. */
static char **make_environment(struct dom_bench_server *server, const char *count_lib,
                               char *preload, char *counts, size_t size)
{
    static char *environment[512];
    size_t num = 0;

    for (char **one = environ; *one != NULL && num < 500; one++) {
        environment[num++] = *one;
    }
    if (count_lib != NULL) {
        char path[300];
        (void)snprintf(path, sizeof(path), "%s/counts", server->folder);
        (void)snprintf(preload, size, "LD_PRELOAD=%s", count_lib);
        (void)snprintf(counts, size, "DOMICILE_COUNTS=%s", path);
        environment[num++] = preload;
        environment[num++] = counts;
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (fd >= 0 && ftruncate(fd, 4096) == 0) {
            void *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
            server->counts = map == MAP_FAILED ? NULL : map;
        }
        if (fd >= 0) {
            (void)close(fd);
        }
    }
    environment[num] = NULL;
    return environment;
}

enum dom_code dom_bench_server_start(struct dom_bench_server *server, const char *policy,
                                     const char *scratch, const char *count_lib,
                                     struct dom_error *err)
{
    return dom_bench_server_start_as(server, policy, scratch, count_lib,
                                     "identity = \"insecure-loopback\";", err);
}

enum dom_code dom_bench_server_start_as(struct dom_bench_server *server, const char *policy,
                                        const char *scratch, const char *count_lib,
                                        const char *identity, struct dom_error *err)
{
    char config[300];
    char preload[600];
    char counts[600];
    int ends[2];
    posix_spawn_file_actions_t actions;

    memset(server, 0, sizeof(*server));
    if (scratch == NULL) {
        scratch = getenv("TMPDIR") == NULL ? "/tmp" : getenv("TMPDIR");
    }
    (void)snprintf(server->folder, sizeof(server->folder), "%s/domicile-bench-XXXXXX", scratch);
    if (mkdtemp(server->folder) == NULL || pipe(ends) != 0) {
        return DOM_FAIL(err, DOM_IO, "%s: %s", server->folder, strerror(errno));
    }
    enum dom_code rc = write_config(server, policy, identity, config, sizeof(config), err);
    if (rc != DOM_OK) {
        return rc;
    }
    char *argv[] = {(char[]){"domicile"}, (char[]){"serve"}, (char[]){"--config"}, config, NULL};
    char **environment = make_environment(server, count_lib, preload, counts, sizeof(preload));
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    (void)posix_spawn_file_actions_addclose(&actions, ends[0]);
    int failed = posix_spawn(&server->pid, "/proc/self/exe", &actions, NULL, argv, environment);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)close(ends[1]);
    if (failed != 0) {
        (void)close(ends[0]);
        return DOM_FAIL(err, DOM_IO, "cannot start the router: %s", strerror(failed));
    }
    return read_ready(server, ends[0], err);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void dom_bench_server_stop(struct dom_bench_server *server)
{
    if (server->pid > 0) {
        (void)kill(server->pid, SIGTERM);
        (void)waitpid(server->pid, NULL, 0);
        server->pid = 0;
    }
    if (server->folder[0] != '\0') {
        (void)nftw(server->folder, remove_one, 32, FTW_DEPTH | FTW_PHYS);
        server->folder[0] = '\0';
    }
}

uint64_t dom_bench_server_cpu_ns(const struct dom_bench_server *server)
{
    clockid_t clock;
    struct timespec ts = {0};

    if (clock_getcpuclockid(server->pid, &clock) != 0 || clock_gettime(clock, &ts) != 0) {
        return 0;
    }
    return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

uint64_t dom_bench_server_rss_bytes(const struct dom_bench_server *server)
{
    char path[64];
    char line[256];
    uint64_t kib = 0;

    (void)snprintf(path, sizeof(path), "/proc/%ld/status", (long)server->pid);
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (sscanf(line, "VmRSS: %" SCNu64, &kib) == 1) {
            break;
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return kib * 1024;
}

static bool fetch(const struct dom_bench_server *server, struct dom_buffer *page)
{
    static const char request[] = "GET /metrics HTTP/1.0\r\n\r\n";
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)server->metrics_port)};
    char chunk[8192];
    ssize_t got = 0;

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0 &&
              write(fd, request, sizeof(request) - 1) == (ssize_t)sizeof(request) - 1;
    while (ok && (got = read(fd, chunk, sizeof(chunk))) > 0) {
        dom_buffer_append(page, chunk, (size_t)got);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return ok && !page->failed;
}

uint64_t dom_bench_server_metric(const struct dom_bench_server *server, const char *name)
{
    struct dom_buffer page = {0};
    uint64_t sum = 0;
    size_t len = strlen(name);

    if (fetch(server, &page)) {
        const char *at = dom_buffer_cstr(&page);
        while (at != NULL && (at = strstr(at, name)) != NULL) {
            bool line_start = at[-1] == '\n';
            char next = at[len];
            const char *space = strchr(at, ' ');
            if (line_start && (next == ' ' || next == '{') && space != NULL) {
                sum += strtoull(space + 1, NULL, 10);
            }
            at += len;
        }
    }
    dom_buffer_cleanup(&page);
    return sum;
}
