/* From "host:port" to bound sockets. Names are resolved here, once, and grpc gets numbers: what
 * was checked to be loopback is what is bound. */
#include <arpa/inet.h>
#include <grpc/grpc.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "router/rpc/internal.h"

#define HOST_SIZE 256
#define PORT_SIZE 6
#define ADDRESSES_MAX 16

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

static enum dom_code bind_all(grpc_server *server, grpc_server_credentials *creds,
                              const struct addrinfo *list, unsigned port,
                              char bound[DOM_RPC_ADDRESS_SIZE], struct dom_error *err)
{
    for (const struct addrinfo *info = list; info != NULL; info = info->ai_next) {
        char text[DOM_RPC_ADDRESS_SIZE];
        if (seen_before(list, info)) {
            continue;
        }
        if (!format(info, port, text)) {
            return DOM_FAIL(err, DOM_INVALID, "an address is not of a family known here");
        }
        int got = grpc_server_add_http2_port(server, text, creds);
        if (got <= 0) {
            return DOM_FAIL(err, DOM_UNAVAILABLE, "cannot listen on %s: in use, or not ours", text);
        }
        if (info == list) {
            port = (unsigned)got; /* the other addresses share the port that 0 became */
            if (!format(info, port, bound)) {
                return DOM_FAIL(err, DOM_INTERNAL, "an address was readable only once");
            }
        }
    }
    return DOM_OK;
}

enum dom_code dom_rpc_listen(grpc_server *server, grpc_server_credentials *creds,
                             const char *listen, bool loopback_only,
                             char bound[DOM_RPC_ADDRESS_SIZE], struct dom_error *err)
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
        if (loopback_only && !is_loopback(info->ai_addr)) {
            code = DOM_FAIL(err, DOM_INVALID,
                            "`%s` is not loopback only: the insecure mode would let anybody on "
                            "the network claim to be any service",
                            host);
            goto out;
        }
        num++;
    }
    if (num > ADDRESSES_MAX) {
        code = DOM_FAIL(err, DOM_INVALID, "`%s` has more than %d addresses", host, ADDRESSES_MAX);
        goto out;
    }
    code = bind_all(server, creds, list, (unsigned)strtoul(port, NULL, 10), bound, err);
out:
    freeaddrinfo(list);
    return code;
}
