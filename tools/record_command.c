/* `domicile record`: records over gRPC from the shell. */
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "base/limits.h"
#include "tools/command.h"
#include "tools/peer.h"
#include "tools/record_print.h"

static const char s_help[] =
    "NAME\n"
    "    domicile record - put, get, delete and list records\n"
    "\n"
    "SYNOPSIS\n"
    "    domicile record put KIND ID --home CC --field NAME=TEXT... [--json FILE]\n"
    "    domicile record get KIND ID [--fields A,B] [--strong]\n"
    "    domicile record delete KIND ID\n"
    "    domicile record list KIND --home CC [--fields A,B]\n"
    "\n"
    "WHO ASKS\n"
    "    --address HOST:PORT   the router (DOMICILE_ADDRESS; 127.0.0.1:7443)\n"
    "    --cert FILE           our certificate (DOMICILE_CERT)\n"
    "    --key FILE            its key, 0600 (DOMICILE_KEY); --tls-key says the same\n"
    "    --ca FILE             who issued the router's (DOMICILE_CA)\n"
    "    --server-name NAME    the name in it (DOMICILE_SERVER_NAME; the host)\n"
    "    --service NAME        instead, for a router in insecure-loopback mode: the\n"
    "    --region NAME         service that asks and where it runs (DOMICILE_SERVICE,\n"
    "                          DOMICILE_REGION); beside a certificate only a claim\n"
    "                          All may be kept in ~/.config/domicile/context.cfg\n"
    "    --purpose NAME        why it asks; needed across a border\n"
    "\n"
    "OPTIONS\n"
    "    --home CC             ISO 3166-1 alpha-2: whose law follows the record\n"
    "    --field NAME=TEXT     a text field; may be repeated\n"
    "    --json FILE           fields as a JSON object (- for standard input):\n"
    "                          texts, whole numbers, reals, true and false, or\n"
    "                          {\"base64\": \"...\"} for bytes\n"
    "    --request-id ID       makes a retry safe for a day\n"
    "    --must-not-exist      put: fail if there is a record\n"
    "    --if-version N        put, delete: fail unless it has this version\n"
    "    --fields A,B          get, list: only these fields\n"
    "    --strong              get: read where writes commit\n"
    "    --at-least-version N  get: a replica that has this version\n"
    "    --max-staleness-ms N  get: a replica no further behind than this\n"
    "    --limit N             list: stop after N pages of 100\n"
    "    --timeout-ms N        default 10000; 0: as long as it takes\n"
    "    --format text|json    list prints one JSON object a line\n"
    "\n"
    "EXIT STATUS\n"
    "    0 done; 1 failed (not found among them); 3 usage; 4 refused.\n";

enum {
    OPT_PURPOSE = 256,
    OPT_HOME,
    OPT_FIELD,
    OPT_JSON,
    OPT_REQUEST_ID,
    OPT_MUST_NOT_EXIST,
    OPT_IF_VERSION,
    OPT_FIELDS,
    OPT_STRONG,
    OPT_AT_LEAST,
    OPT_STALENESS,
    OPT_LIMIT,
    OPT_HELP
};

static const struct option s_options[] = {
    DOM_PEER_OPTIONS,
    {"purpose", required_argument, NULL, OPT_PURPOSE},
    {"home", required_argument, NULL, OPT_HOME},
    {"field", required_argument, NULL, OPT_FIELD},
    {"json", required_argument, NULL, OPT_JSON},
    {"request-id", required_argument, NULL, OPT_REQUEST_ID},
    {"must-not-exist", no_argument, NULL, OPT_MUST_NOT_EXIST},
    {"if-version", required_argument, NULL, OPT_IF_VERSION},
    {"fields", required_argument, NULL, OPT_FIELDS},
    {"strong", no_argument, NULL, OPT_STRONG},
    {"at-least-version", required_argument, NULL, OPT_AT_LEAST},
    {"max-staleness-ms", required_argument, NULL, OPT_STALENESS},
    {"limit", required_argument, NULL, OPT_LIMIT},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0}};

struct args {
    struct dom_peer peer;
    const char *kind;
    const char *id;
    const char *purpose;
    const char *home;
    const char *request_id;
    bool must_not_exist;
    uint64_t if_version;
    bool strong;
    uint64_t at_least_version;
    bool staleness_given;
    uint64_t max_staleness_ms;
    uint64_t pages;
    ProtobufCBinaryData mask[DOM_FIELDS_MAX];
    size_t num_mask;
    Domicile__V1__Field fields[DOM_FIELDS_MAX + 1];
    Domicile__V1__Field *field_ptrs[DOM_FIELDS_MAX + 1];
    size_t num_fields;
    json_t *document; /* keeps the texts of --json alive */
};

static ProtobufCBinaryData bytes_of(const char *text)
{
    ProtobufCBinaryData out = {.len = text == NULL ? 0 : strlen(text), .data = NULL};

    /* protobuf-c's struct is not const; packing only reads. */
    memcpy(&out.data, &text, sizeof(text));
    return out;
}

static bool number(const char *flag, const char *text, uint64_t *out)
{
    char *end = NULL;

    *out = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0') {
        (void)fprintf(stderr, "domicile record: --%s \"%s\" is not a whole number\n", flag, text);
        return false;
    }
    return true;
}

static Domicile__V1__Field *new_field(struct args *args, const char *name, size_t len)
{
    if (args->num_fields > DOM_FIELDS_MAX) {
        (void)fprintf(stderr, "domicile record: more than %u fields\n", DOM_FIELDS_MAX);
        return NULL;
    }
    Domicile__V1__Field *field = &args->fields[args->num_fields];
    domicile__v1__field__init(field);
    field->name = bytes_of(name);
    field->name.len = len;
    args->field_ptrs[args->num_fields++] = field;
    return field;
}

static bool take_field(struct args *args, const char *text)
{
    const char *equals = strchr(text, '=');

    if (equals == NULL || equals == text) {
        (void)fprintf(stderr, "domicile record: --field \"%s\" is not NAME=TEXT\n", text);
        return false;
    }
    Domicile__V1__Field *field = new_field(args, text, (size_t)(equals - text));
    if (field == NULL) {
        return false;
    }
    field->value_case = DOMICILE__V1__FIELD__VALUE_TEXT;
    field->text = bytes_of(equals + 1);
    return true;
}

static bool take_json_value(Domicile__V1__Field *field, const char *name, json_t *value)
{
    const char *base64 = json_string_value(json_object_get(value, "base64"));

    if (json_is_string(value)) {
        field->value_case = DOMICILE__V1__FIELD__VALUE_TEXT;
        field->text = bytes_of(json_string_value(value));
        field->text.len = json_string_length(value);
    } else if (json_is_integer(value)) {
        field->value_case = DOMICILE__V1__FIELD__VALUE_INTEGER;
        field->integer = json_integer_value(value);
    } else if (json_is_real(value)) {
        field->value_case = DOMICILE__V1__FIELD__VALUE_REAL;
        field->real = json_real_value(value);
    } else if (json_is_boolean(value)) {
        field->value_case = DOMICILE__V1__FIELD__VALUE_FLAG;
        field->flag = json_is_true(value);
    } else if (base64 != NULL) {
        size_t len = strlen(base64);
        uint8_t *data = malloc(len + 1); /* lives until the process ends, as the request does */
        size_t data_len = 0;
        if (data == NULL ||
            !dom_base64_decode(data, len, &data_len, dom_slice_of(base64, len))) {
            free(data);
            (void)fprintf(stderr, "domicile record: field \"%s\": not base64\n", name);
            return false;
        }
        field->value_case = DOMICILE__V1__FIELD__VALUE_DATA;
        field->data.data = data;
        field->data.len = data_len;
    } else {
        (void)fprintf(stderr, "domicile record: field \"%s\" has a value of no known type\n", name);
        return false;
    }
    return true;
}

static bool take_json(struct args *args, const char *path)
{
    json_error_t where;
    const char *name = NULL;
    json_t *value = NULL;

    args->document = strcmp(path, "-") == 0
                         ? json_loadf(stdin, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &where)
                         : json_load_file(path, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &where);
    if (args->document == NULL || !json_is_object(args->document)) {
        (void)fprintf(stderr, "domicile record: %s:%d:%d: %s\n", path,
                      args->document == NULL ? where.line : 1,
                      args->document == NULL ? where.column : 1,
                      args->document == NULL ? where.text : "not a JSON object");
        return false;
    }
    json_object_foreach(args->document, name, value)
    {
        Domicile__V1__Field *field = new_field(args, name, strlen(name));
        if (field == NULL || !take_json_value(field, name, value)) {
            return false;
        }
    }
    return true;
}

static bool take_mask(struct args *args, char *list)
{
    char *save = NULL;

    for (char *name = strtok_r(list, ",", &save); name != NULL; name = strtok_r(NULL, ",", &save)) {
        if (args->num_mask >= DOM_FIELDS_MAX) {
            (void)fprintf(stderr, "domicile record: more than %u fields\n", DOM_FIELDS_MAX);
            return false;
        }
        args->mask[args->num_mask++] = bytes_of(name);
    }
    return true;
}

static bool take_option(struct args *args, int option, char *value)
{
    if (dom_peer_is_option(option)) {
        return dom_peer_option(&args->peer, option, value);
    }
    switch (option) {
    case OPT_PURPOSE:
        args->purpose = value;
        return true;
    case OPT_HOME:
        args->home = value;
        return true;
    case OPT_FIELD:
        return take_field(args, value);
    case OPT_JSON:
        return take_json(args, value);
    case OPT_REQUEST_ID:
        args->request_id = value;
        return true;
    case OPT_MUST_NOT_EXIST:
        args->must_not_exist = true;
        return true;
    case OPT_IF_VERSION:
        return number("if-version", value, &args->if_version);
    case OPT_FIELDS:
        return take_mask(args, value);
    case OPT_STRONG:
        args->strong = true;
        return true;
    case OPT_AT_LEAST:
        return number("at-least-version", value, &args->at_least_version);
    case OPT_STALENESS:
        args->staleness_given = true;
        return number("max-staleness-ms", value, &args->max_staleness_ms);
    case OPT_LIMIT:
        return number("limit", value, &args->pages);
    default:
        return false;
    }
}

/* Calls `path` with a packed message; the reply is in *result. */
static bool call(struct args *args, const char *path, const ProtobufCMessage *message,
                 struct dom_rpc_result *result)
{
    size_t len = protobuf_c_message_get_packed_size(message);
    uint8_t *bytes = malloc(len + 1);
    bool ok = false;

    if (bytes != NULL) {
        (void)protobuf_c_message_pack(message, bytes);
        ok = dom_rpc_client_call(args->peer.client, path, dom_slice_of(bytes, len),
                                 args->peer.timeout_ms, result);
    }
    free(bytes);
    return ok;
}

static int put(struct args *args, struct dom_rpc_result *result)
{
    Domicile__V1__PutRecordRequest request = DOMICILE__V1__PUT_RECORD_REQUEST__INIT;

    request.kind = bytes_of(args->kind);
    request.id = bytes_of(args->id);
    request.home = bytes_of(args->home);
    request.purpose = bytes_of(args->purpose);
    request.request_id = bytes_of(args->request_id);
    request.must_not_exist = args->must_not_exist;
    request.if_version = args->if_version;
    request.fields = args->field_ptrs;
    request.n_fields = args->num_fields;
    if (!call(args, "/domicile.v1.RecordService/PutRecord", &request.base, result)) {
        return dom_peer_failed(&args->peer, "record put", result);
    }
    Domicile__V1__PutRecordResponse *response = domicile__v1__put_record_response__unpack(
        NULL, result->reply.len, result->reply.data);
    if (response == NULL) {
        return DOM_EXIT_FAILED;
    }
    dom_print_put(response, args->peer.json);
    domicile__v1__put_record_response__free_unpacked(response, NULL);
    return DOM_EXIT_OK;
}

static int get(struct args *args, struct dom_rpc_result *result)
{
    Domicile__V1__GetRecordRequest request = DOMICILE__V1__GET_RECORD_REQUEST__INIT;
    Domicile__V1__Freshness freshness = DOMICILE__V1__FRESHNESS__INIT;

    request.kind = bytes_of(args->kind);
    request.id = bytes_of(args->id);
    request.home = bytes_of(args->home);
    request.purpose = bytes_of(args->purpose);
    request.fields = args->mask;
    request.n_fields = args->num_mask;
    if (args->strong) {
        freshness.bound_case = DOMICILE__V1__FRESHNESS__BOUND_STRONG;
        freshness.strong = 1;
    } else if (args->at_least_version != 0) {
        freshness.bound_case = DOMICILE__V1__FRESHNESS__BOUND_AT_LEAST_VERSION;
        freshness.at_least_version = args->at_least_version;
    } else if (args->staleness_given) {
        freshness.bound_case = DOMICILE__V1__FRESHNESS__BOUND_MAX_STALENESS_MS;
        freshness.max_staleness_ms = args->max_staleness_ms;
    }
    request.freshness = &freshness;
    if (!call(args, "/domicile.v1.RecordService/GetRecord", &request.base, result)) {
        return dom_peer_failed(&args->peer, "record get", result);
    }
    Domicile__V1__GetRecordResponse *response = domicile__v1__get_record_response__unpack(
        NULL, result->reply.len, result->reply.data);
    if (response == NULL) {
        return DOM_EXIT_FAILED;
    }
    dom_print_get(response, args->peer.json);
    domicile__v1__get_record_response__free_unpacked(response, NULL);
    return DOM_EXIT_OK;
}

static int delete_record(struct args *args, struct dom_rpc_result *result)
{
    Domicile__V1__DeleteRecordRequest request = DOMICILE__V1__DELETE_RECORD_REQUEST__INIT;

    request.kind = bytes_of(args->kind);
    request.id = bytes_of(args->id);
    request.home = bytes_of(args->home);
    request.purpose = bytes_of(args->purpose);
    request.request_id = bytes_of(args->request_id);
    request.if_version = args->if_version;
    if (!call(args, "/domicile.v1.RecordService/DeleteRecord", &request.base, result)) {
        return dom_peer_failed(&args->peer, "record delete", result);
    }
    Domicile__V1__DeleteRecordResponse *response = domicile__v1__delete_record_response__unpack(
        NULL, result->reply.len, result->reply.data);
    if (response == NULL) {
        return DOM_EXIT_FAILED;
    }
    dom_print_delete(response, args->peer.json);
    domicile__v1__delete_record_response__free_unpacked(response, NULL);
    return DOM_EXIT_OK;
}

static bool on_page(void *arg, struct dom_slice message)
{
    const struct args *args = arg;
    Domicile__V1__ListRecordsResponse *response =
        domicile__v1__list_records_response__unpack(NULL, message.len, message.data);

    if (response == NULL) {
        return false;
    }
    dom_print_page(response, args->peer.json);
    domicile__v1__list_records_response__free_unpacked(response, NULL);
    return true;
}

static int list(struct args *args, struct dom_rpc_result *result)
{
    Domicile__V1__ListRecordsRequest request = DOMICILE__V1__LIST_RECORDS_REQUEST__INIT;

    request.kind = bytes_of(args->kind);
    request.home = bytes_of(args->home);
    request.purpose = bytes_of(args->purpose);
    request.fields = args->mask;
    request.n_fields = args->num_mask;
    request.pages_max = (uint32_t)args->pages;
    size_t len = domicile__v1__list_records_request__get_packed_size(&request);
    uint8_t *bytes = malloc(len + 1);
    if (bytes == NULL) {
        return DOM_EXIT_FAILED;
    }
    (void)domicile__v1__list_records_request__pack(&request, bytes);
    bool ok = dom_rpc_client_stream(args->peer.client, "/domicile.v1.RecordService/ListRecords",
                                    dom_slice_of(bytes, len), args->peer.timeout_ms, on_page, args,
                                    result);
    free(bytes);
    return ok ? DOM_EXIT_OK : dom_peer_failed(&args->peer, "record list", result);
}

static int usage(const char *why)
{
    (void)fprintf(stderr, "domicile record: %s (see domicile record --help)\n", why);
    return DOM_EXIT_USAGE;
}

int dom_record_command(int argc, char **argv)
{
    static struct args args;
    static const struct {
        const char *name;
        int num_words; /* behind the verb */
        int (*run)(struct args *args, struct dom_rpc_result *result);
    } verbs[] = {{"put", 2, put}, {"get", 2, get}, {"delete", 2, delete_record}, {"list", 1, list}};
    struct dom_rpc_result result = {0};
    int option = 0;
    int exit_code = DOM_EXIT_USAGE;

    if (!dom_peer_init(&args.peer, "record")) {
        return DOM_EXIT_USAGE;
    }
    optind = 1;
    while ((option = getopt_long(argc, argv, "", s_options, NULL)) != -1) {
        if (option == OPT_HELP) {
            (void)fputs(s_help, stdout);
            return DOM_EXIT_OK;
        }
        if (!take_option(&args, option, optarg)) {
            return DOM_EXIT_USAGE;
        }
    }
    if (optind >= argc) {
        return usage("a verb is needed: put, get, delete or list");
    }
    for (size_t i = 0; i < DOM_ARRAY_LEN(verbs); i++) {
        if (strcmp(argv[optind], verbs[i].name) != 0) {
            continue;
        }
        if (argc - optind - 1 != verbs[i].num_words) {
            return usage(verbs[i].num_words == 2 ? "KIND and ID are needed" : "KIND is needed");
        }
        args.kind = argv[optind + 1];
        args.id = verbs[i].num_words == 2 ? argv[optind + 2] : NULL;
        exit_code = dom_peer_open(&args.peer, "record") ? verbs[i].run(&args, &result)
                                                        : DOM_EXIT_USAGE;
        dom_rpc_result_cleanup(&result);
        dom_peer_close(&args.peer);
        json_decref(args.document);
        return exit_code;
    }
    return usage("unknown verb; put, get, delete or list");
}
