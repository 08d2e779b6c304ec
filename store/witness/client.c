#include "store/witness/client.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

#define URL_BYTES_MAX 1200U

struct dom_witness_client {
    CURL *curl; /* keeps connections between exchanges */
    char error[CURL_ERROR_SIZE];
};

static pthread_once_t s_once = PTHREAD_ONCE_INIT;
static bool s_ready;

static void start_library(void)
{
    s_ready = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
}

static size_t take_body(char *bytes, size_t one, size_t len, void *context)
{
    struct dom_buffer *out = context;

    dom_buffer_append(out, bytes, one * len);
    return out->failed ? 0 : one * len; /* 0 ends the exchange */
}

static bool set_all(struct dom_witness_client *client, const char *ca_file, uint64_t timeout_ms)
{
    CURL *curl = client->curl;
    bool good = curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, client->error) == CURLE_OK;

    good = good && curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK;
    good = good && curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)timeout_ms) == CURLE_OK;
    good = good && curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK;
    good = good && curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK;
    good = good && curl_easy_setopt(curl, CURLOPT_PROXY, "") == CURLE_OK;
    good = good && curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body) == CURLE_OK;
    good = good && curl_easy_setopt(curl, CURLOPT_USERAGENT, "domicile") == CURLE_OK;
    if (ca_file != NULL) {
        good = good && curl_easy_setopt(curl, CURLOPT_CAINFO, ca_file) == CURLE_OK;
    }
    return good;
}

enum dom_code dom_witness_client_new(struct dom_witness_client **clientp, const char *ca_file,
                                     uint64_t timeout_ms, struct dom_error *err)
{
    *clientp = NULL;
    if (timeout_ms < 1 || timeout_ms > DOM_WITNESS_TIMEOUT_MS_MAX) {
        return DOM_FAIL(err, DOM_INVALID, "a witness's timeout is 1 to %u ms",
                        DOM_WITNESS_TIMEOUT_MS_MAX);
    }
    (void)pthread_once(&s_once, start_library);
    struct dom_witness_client *client = calloc(1, sizeof(*client));
    DOM_ASSERT(client != NULL);
    client->curl = s_ready ? curl_easy_init() : NULL;
    if (client->curl == NULL || !set_all(client, ca_file, timeout_ms)) {
        dom_witness_client_destroy(client);
        return DOM_FAIL(err, DOM_RESOURCE, "libcurl cannot be set up");
    }
    *clientp = client;
    return DOM_OK;
}

void dom_witness_client_destroy(struct dom_witness_client *client)
{
    if (client != NULL) {
        curl_easy_cleanup(client->curl);
        free(client);
    }
}

bool dom_witness_url_valid(const char *url)
{
    const char *host = strncmp(url, "http://", 7) == 0    ? url + 7
                       : strncmp(url, "https://", 8) == 0 ? url + 8
                                                          : NULL;

    return host != NULL && host[0] != '\0' && host[0] != '/' &&
           strlen(url) < URL_BYTES_MAX - sizeof("/add-checkpoint");
}

enum dom_code dom_witness_client_add_checkpoint(struct dom_witness_client *client,
                                                const char *prefix, struct dom_slice body,
                                                unsigned *statusp, struct dom_buffer *out,
                                                struct dom_error *err)
{
    CURL *curl = client->curl;
    char url[URL_BYTES_MAX];
    long status = 0;

    *statusp = 0;
    dom_buffer_clear(out);
    if (!dom_witness_url_valid(prefix)) {
        return DOM_FAIL(err, DOM_INVALID, "%.200s: not an http or https address", prefix);
    }
    size_t len = strlen(prefix);
    (void)snprintf(url, sizeof(url), "%s%sadd-checkpoint", prefix,
                   prefix[len - 1] == '/' ? "" : "/");
    struct dom_buffer answer;
    dom_buffer_init(&answer, DOM_WITNESS_ANSWER_BYTES_MAX);
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: text/plain; charset=utf-8");
    DOM_ASSERT(headers != NULL);
    client->error[0] = '\0';
    (void)curl_easy_setopt(curl, CURLOPT_URL, url);
    (void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len);
    (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.data);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
    CURLcode code = curl_easy_perform(curl);
    (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    (void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, NULL);
    (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, NULL);
    curl_slist_free_all(headers);
    enum dom_code rc = DOM_OK;
    if (answer.failed) {
        rc = DOM_FAIL(err, DOM_TOO_LARGE, "%s: the answer is over %u bytes", url,
                      DOM_WITNESS_ANSWER_BYTES_MAX);
    } else if (code != CURLE_OK) {
        rc = DOM_FAIL(err, DOM_UNAVAILABLE, "%s: %s", url,
                      client->error[0] != '\0' ? client->error : curl_easy_strerror(code));
    } else {
        *statusp = (unsigned)status;
        dom_buffer_append_slice(out, dom_buffer_slice(&answer));
    }
    dom_buffer_cleanup(&answer);
    return rc;
}
