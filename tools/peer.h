/* Talking to a router from the command line: where it is, who we say we are, and how a failure is
 * told. Thread contract: one thread. */
#ifndef DOM_TOOLS_PEER_H
#define DOM_TOOLS_PEER_H

#include <stdbool.h>
#include <stdio.h>

#include "router/rpc/client.h"

struct dom_peer {
    const char *verb;    /* for messages */
    const char *address; /* --address or DOMICILE_ADDRESS, else 127.0.0.1:7443 */
    const char *service; /* --service or DOMICILE_SERVICE: what we say we are */
    const char *region;  /* --region or DOMICILE_REGION */
    /* mTLS: --cert, --key (--tls-key), --ca, --server-name or DOMICILE_CERT, _KEY, _CA, _SERVER_NAME. */
    const char *cert;
    const char *key;
    const char *ca;
    const char *server_name;
    uint64_t timeout_ms; /* --timeout-ms, else 10,000; 0: as long as it takes */
    bool json;           /* --format json */
    struct dom_rpc_client *client;
};

/* Long options of every verb that calls a router; give them to getopt_long with these values. */
enum {
    DOM_PEER_OPT_ADDRESS = 1000,
    DOM_PEER_OPT_SERVICE,
    DOM_PEER_OPT_REGION,
    DOM_PEER_OPT_CERT,
    DOM_PEER_OPT_KEY,
    DOM_PEER_OPT_CA,
    DOM_PEER_OPT_SERVER_NAME,
    DOM_PEER_OPT_TIMEOUT,
    DOM_PEER_OPT_FORMAT
};
/* Who asks, and how long it waits. --tls-key is everywhere; verbs with a --key of another meaning
 * have no other word for it. */
#define DOM_PEER_WHO_OPTIONS                                               \
    {"address", required_argument, NULL, DOM_PEER_OPT_ADDRESS},            \
        {"service", required_argument, NULL, DOM_PEER_OPT_SERVICE},        \
        {"region", required_argument, NULL, DOM_PEER_OPT_REGION},          \
        {"cert", required_argument, NULL, DOM_PEER_OPT_CERT},              \
        {"tls-key", required_argument, NULL, DOM_PEER_OPT_KEY},            \
        {"ca", required_argument, NULL, DOM_PEER_OPT_CA},                  \
        {"server-name", required_argument, NULL, DOM_PEER_OPT_SERVER_NAME}, \
        {"timeout-ms", required_argument, NULL, DOM_PEER_OPT_TIMEOUT}
#define DOM_PEER_OPTIONS                                   \
    DOM_PEER_WHO_OPTIONS,                                  \
        {"key", required_argument, NULL, DOM_PEER_OPT_KEY}, \
        {"format", required_argument, NULL, DOM_PEER_OPT_FORMAT}
/* True when the option was one of these and has been taken. For one of them with a value that it
 * cannot have, says so on stderr, and false. */
bool dom_peer_option(struct dom_peer *peer, int option, const char *value);
bool dom_peer_is_option(int option);

/* The values of the environment, and below them those of the context file,
 * $XDG_CONFIG_HOME/domicile/context.cfg (else ~/.config/domicile/context.cfg): libconfig with the
 * texts address, service, region, cert, key, ca and server_name; relative paths are taken from its
 * folder. False after having said on stderr what is wrong with the file. */
bool dom_peer_init(struct dom_peer *peer, const char *verb);
/* Connects lazily. False after having said on stderr what is missing. */
bool dom_peer_open(struct dom_peer *peer, const char *verb);
void dom_peer_close(struct dom_peer *peer);

/* Prints the failure, its reason and its details on stderr, and returns the exit code. */
int dom_peer_failed(const struct dom_peer *peer, const char *verb, struct dom_rpc_result *result);

#endif
