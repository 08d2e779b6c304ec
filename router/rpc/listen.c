/* From "host:port" to bound sockets. Names are resolved here, once, and grpc gets numbers: what
 * was checked to be loopback is what is bound. */
#include <arpa/inet.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "router/rpc/internal.h"

#define HOST_SIZE 256
#define PORT_SIZE 6

/* "host:port", "[::1]:port"; the port is needed. */
static bool split(const char *listen, char host[HOST_SIZE], char port[PORT_SIZE])
{
    const char *colon = strrchr(listen, ':');
    const char *begin = listen;

    if (colon == NULL) {
        return false;
    }
    const char *end = colon;
    if (*begin == '[') {
        if (end == begin || end[-1] != ']') {
            return false;
        }
        begin++;
        end--;
    } else if (memchr(begin, ':', (size_t)(end - begin)) != NULL) {
        return false; /* "::1:80" could mean two things */
    }
    size_t port_len = strlen(colon + 1);
    if (end <= begin || port_len == 0 || strspn(colon + 1, "0123456789") != port_len) {
        return false;
    }
    return dom_slice_to_cstr(dom_slice_of(begin, (size_t)(end - begin)), host, HOST_SIZE) &&
           dom_slice_to_cstr(dom_slice_of(colon + 1, port_len), port, PORT_SIZE) &&
           strtoul(port, NULL, 10) <= UINT16_MAX;
}

static bool is_loopback(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)address;
        return (ntohl(in->sin_addr.s_addr) >> 24) == 127;
    }
    if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)address;
        return IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr) ||
               (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr) && in6->sin6_addr.s6_addr[12] == 127);
    }
    return false;
}

/* The numeric form that grpc takes and that people read. */
static bool format(const struct addrinfo *info, unsigned port, char out[DOM_RPC_ADDRESS_SIZE])
{
    char host[HOST_SIZE];

    if (getnameinfo(info->ai_addr, info->ai_addrlen, host, sizeof(host), NULL, 0, NI_NUMERICHOST) !=
        0) {
        return false;
    }
    int len = info->ai_family == AF_INET6
                  ? snprintf(out, DOM_RPC_ADDRESS_SIZE, "[%s]:%u", host, port)
                  : snprintf(out, DOM_RPC_ADDRESS_SIZE, "%s:%u", host, port);
    return len > 0 && len < DOM_RPC_ADDRESS_SIZE;
}

/* /etc/hosts may name one address twice; binding it again would fail. */
static bool seen_before(const struct addrinfo *list, const struct addrinfo *info)
{
    for (; list != info; list = list->ai_next) {
        if (list->ai_addrlen == info->ai_addrlen &&
            memcmp(list->ai_addr, info->ai_addr, info->ai_addrlen) == 0) {
            return true;
        }
    }
    return false;
}

static enum dom_code bind_one(struct dom_rpc_server *server, const char *text, int *portp,
                              struct dom_error *err)
{
    grpc_server_credentials *creds = NULL;

    enum dom_code code = server->identity->credentials(server, &creds, err);
    if (code != DOM_OK) {
        return code;
    }
    *portp = grpc_server_add_http2_port(server->server, text, creds);
    grpc_server_credentials_release(creds);
    return *portp > 0 ? DOM_OK
                      : DOM_FAIL(err, DOM_UNAVAILABLE,
                                 "cannot listen on %s: in use, or not ours", text);
}

static enum dom_code bind_all(struct dom_rpc_server *server, const struct addrinfo *list,
                              unsigned port, struct dom_error *err)
{
    for (const struct addrinfo *info = list; info != NULL; info = info->ai_next) {
        char text[DOM_RPC_ADDRESS_SIZE];
        int got = 0;
        if (seen_before(list, info)) {
            continue;
        }
        if (!format(info, port, text)) {
            return DOM_FAIL(err, DOM_INVALID, "an address is not of a family known here");
        }
        enum dom_code code = bind_one(server, text, &got, err);
        if (code != DOM_OK) {
            return code;
        }
        if (info == list) {
            port = (unsigned)got; /* the other addresses share the port that 0 became */
            if (!format(info, port, server->address)) {
                return DOM_FAIL(err, DOM_INTERNAL, "an address was readable only once");
            }
        }
    }
    return DOM_OK;
}

enum dom_code dom_rpc_listen(struct dom_rpc_server *server, const char *listen,
                             struct dom_error *err)
{
    char host[HOST_SIZE];
    char port[PORT_SIZE];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *list = NULL;
    enum dom_code code = DOM_OK;
    int num = 0;

    if (!split(listen, host, port)) {
        return DOM_FAIL(err, DOM_INVALID, "`%s` is not host:port (IPv6: [host]:port)", listen);
    }
    int rc = getaddrinfo(host, port, &hints, &list);
    if (rc != 0) {
        return DOM_FAIL(err, DOM_INVALID, "`%s` does not resolve: %s", host, gai_strerror(rc));
    }
    for (const struct addrinfo *info = list; info != NULL; info = info->ai_next) {
        if (server->identity->loopback_only && !is_loopback(info->ai_addr)) {
            code = DOM_FAIL(err, DOM_INVALID,
                            "`%s` is not loopback only: the insecure mode would let anybody on "
                            "the network claim to be any service",
                            host);
            goto out;
        }
        num++;
    }
    if (num > DOM_RPC_ADDRESSES_MAX) {
        code = DOM_FAIL(err, DOM_INVALID, "`%s` has more than %d addresses", host,
                        DOM_RPC_ADDRESSES_MAX);
        goto out;
    }
    code = bind_all(server, list, (unsigned)strtoul(port, NULL, 10), err);
out:
    freeaddrinfo(list);
    return code;
}
