#include "router/rpc/library.h"

#include <dlfcn.h>
#include <grpc/grpc.h>
#include <grpc/support/log.h>
#include <openssl/conf.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "base/log.h"
#include "router/rpc/handshakes.h"

static pthread_once_t s_once = PTHREAD_ONCE_INIT;

/* A peer can make grpc complain at will (a compressed message is one line): one line a second
 * is passed on as a warning, the rest only to who asked for everything. */
static void to_our_log(gpr_log_func_args *args)
{
    static atomic_llong s_last_second;
    struct timespec now;

    if (dom_rpc_handshake_note(args->message)) {
        return;
    }
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

/* gRPC's C interface sets TLS 1.2 as the least version and offers no other. OpenSSL's own settings
 * for every context that a process makes can take 1.2 away: gRPC does not touch that one. */
static void only_tls13(void)
{
    static const char settings[] = "openssl_conf = dom\n"
                                   "[dom]\nssl_conf = ssl\n"
                                   "[ssl]\nsystem_default = tls\n"
                                   "[tls]\nProtocol = -ALL, TLSv1.3\n";
    long line = -1;

    DOM_ASSERT(OPENSSL_init_ssl(OPENSSL_INIT_LOAD_CONFIG, NULL) == 1);
    BIO *bio = BIO_new_mem_buf(settings, (int)sizeof(settings) - 1);
    CONF *conf = NCONF_new(NULL);
    DOM_ASSERT(bio != NULL && conf != NULL);
    DOM_ASSERT(NCONF_load_bio(conf, bio, &line) == 1);
    DOM_ASSERT(CONF_modules_load(conf, NULL, 0) == 1);
    /* Looked at where it counts: a context made now must know no other version. */
    SSL_CTX *probe = SSL_CTX_new(TLS_method());
    DOM_ASSERT(probe != NULL);
    DOM_ASSERT((SSL_CTX_get_options(probe) & SSL_OP_NO_TLSv1_2) != 0);
    DOM_ASSERT((SSL_CTX_get_options(probe) & SSL_OP_NO_TLSv1_3) == 0);
    SSL_CTX_free(probe);
    NCONF_free(conf);
    (void)BIO_free(bio);
    ERR_clear_error();
}

static void once(void)
{
    only_tls13();
    gpr_set_log_function(to_our_log);
    quiet_mutexes();
}

void dom_rpc_library_ref(void)
{
    (void)pthread_once(&s_once, once);
    grpc_init();
    if (gpr_should_log(GPR_LOG_SEVERITY_ERROR) == 0) {
        /* GRPC_VERBOSITY=NONE would also silence what the refused handshakes are counted by. */
        gpr_set_log_verbosity(GPR_LOG_SEVERITY_ERROR);
    }
}

void dom_rpc_library_unref(void)
{
    grpc_shutdown();
}
