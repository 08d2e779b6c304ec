#include "router/rpc/library.h"

#include <dlfcn.h>
#include <grpc/grpc.h>
#include <grpc/support/log.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

#include "base/log.h"

static pthread_once_t s_once = PTHREAD_ONCE_INIT;

/* A peer can make grpc complain at will (a compressed message is one line): one line a second
 * is passed on as a warning, the rest only to who asked for everything. */
static void to_our_log(gpr_log_func_args *args)
{
    static atomic_llong s_last_second;
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    bool first = atomic_exchange(&s_last_second, (long long)now.tv_sec) != (long long)now.tv_sec;
    dom_log(first && args->severity == GPR_LOG_SEVERITY_ERROR ? DOM_LOG_WARN : DOM_LOG_DEBUG,
            "grpc.message", "text=\"%.700s\"", args->message);
}

/* Debian builds abseil with its mutexes' deadlock detection on, which costs every call some
 * percent of CPU. The switch is a public function of abseil (SetMutexDeadlockDetectionMode, 0 =
 * ignore) but has only a C++ name; without it everything works, a little slower. */
static void quiet_mutexes(void)
{
    union {
        void *symbol;
        void (*set_mode)(int mode);
    } hook;

    hook.symbol = dlsym(RTLD_DEFAULT,
                        "_ZN4absl7debian329SetMutexDeadlockDetectionModeENS0_15OnDeadlockCycleE");
    if (hook.symbol != NULL) {
        hook.set_mode(0);
    }
}

static void once(void)
{
    gpr_set_log_function(to_our_log);
    quiet_mutexes();
}

void dom_rpc_library_ref(void)
{
    (void)pthread_once(&s_once, once);
    grpc_init();
}

void dom_rpc_library_unref(void)
{
    grpc_shutdown();
}
