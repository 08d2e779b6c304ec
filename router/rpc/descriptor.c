#include "router/rpc/descriptor.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/buffer.h"

#define FILES_MAX 1024U
#define SYMBOLS_MAX 65536U
#define NESTING_MAX 32U
#define NAMES_BYTES_MAX (8U << 20)

/* Field numbers of google/protobuf/descriptor.proto. */
enum {
    SET_FILE = 1,
    FILE_NAME = 1,
    FILE_PACKAGE = 2,
    FILE_MESSAGE = 4,
    FILE_ENUM = 5,
    FILE_SERVICE = 6,
    ANY_NAME = 1, /* of a message, enum, service, method */
    MESSAGE_NESTED = 3,
    MESSAGE_ENUM = 4,
    SERVICE_METHOD = 2,
};

struct file {
    struct dom_slice name;
    struct dom_slice bytes;
};

struct symbol {
    size_t at; /* of the full name in `names` */
    size_t len;
    size_t file;
    bool service;
    struct dom_slice name; /* set once `names` stands still */
};

struct dom_rpc_descriptors {
    struct file *files;
    size_t num_files;
    struct symbol *symbols; /* sorted by name */
    size_t num_symbols;
    struct dom_slice *service_names;
    size_t num_services;
    struct dom_buffer names;
    bool too_many;
};

/* ---- the wire --------------------------------------------------------------------------- */

struct wire {
    const uint8_t *at;
    const uint8_t *end;
    bool bad;
};

static struct wire wire_of(struct dom_slice bytes)
{
    return (struct wire){.at = bytes.data, .end = bytes.data + bytes.len};
}

static uint64_t read_varint(struct wire *wire)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 64 && wire->at < wire->end; shift += 7) {
        uint8_t byte = *wire->at++;
        value |= (uint64_t)(byte & 0x7fU) << shift;
        if ((byte & 0x80U) == 0) {
            return value;
        }
    }
    wire->bad = true;
    return 0;
}

static void skip(struct wire *wire, size_t len)
{
    if (len > (size_t)(wire->end - wire->at)) {
        wire->bad = true;
        return;
    }
    wire->at += len;
}

/* The next length-delimited field; other fields are stepped over. False at the end or on bytes
 * that are not protobuf (then wire->bad). */
static bool next_bytes(struct wire *wire, uint32_t *field, struct dom_slice *bytes)
{
    while (!wire->bad && wire->at < wire->end) {
        uint64_t tag = read_varint(wire);
        switch (tag & 7U) {
        case 0:
            (void)read_varint(wire);
            break;
        case 1:
            skip(wire, 8);
            break;
        case 5:
            skip(wire, 4);
            break;
        case 2: {
            uint64_t len = read_varint(wire);
            const uint8_t *start = wire->at;
            skip(wire, len);
            if (!wire->bad) {
                *field = (uint32_t)(tag >> 3);
                *bytes = dom_slice_of(start, len);
                return true;
            }
            break;
        }
        default:
            wire->bad = true;
            break;
        }
    }
    return false;
}

static struct dom_slice field_of(struct dom_slice message, uint32_t want)
{
    struct wire wire = wire_of(message);
    struct dom_slice bytes;
    struct dom_slice found = dom_slice_of("", 0);
    uint32_t field = 0;

    while (next_bytes(&wire, &field, &bytes)) {
        if (field == want) {
            found = bytes; /* the last one counts */
        }
    }
    return found;
}

/* ---- building --------------------------------------------------------------------------- */

/* Adds `scope.name`; its index, or SYMBOLS_MAX when there is no room. */
static size_t add_symbol(struct dom_rpc_descriptors *index, size_t scope, struct dom_slice name,
                         bool service)
{
    if (index->num_symbols == SYMBOLS_MAX) {
        index->too_many = true;
        return SYMBOLS_MAX;
    }
    struct symbol *symbol = &index->symbols[index->num_symbols];
    symbol->at = index->names.len;
    symbol->file = index->num_files - 1;
    symbol->service = service;
    /* By position: the buffer moves as it grows. */
    size_t scope_at = scope == SYMBOLS_MAX ? 0 : index->symbols[scope].at;
    size_t scope_len = scope == SYMBOLS_MAX ? 0 : index->symbols[scope].len;
    uint8_t *out = dom_buffer_extend(&index->names, scope_len + (scope_len > 0) + name.len);
    if (out == NULL) {
        index->too_many = true;
        return SYMBOLS_MAX;
    }
    if (scope_len > 0) {
        memcpy(out, index->names.data + scope_at, scope_len);
        out[scope_len] = '.';
        out += scope_len + 1;
    }
    if (name.len > 0) {
        memcpy(out, name.data, name.len);
    }
    symbol->len = index->names.len - symbol->at;
    return index->num_symbols++;
}

static bool add_message(struct dom_rpc_descriptors *index, size_t scope, struct dom_slice message,
                        unsigned depth)
{
    struct wire wire = wire_of(message);
    struct dom_slice bytes;
    uint32_t field = 0;

    if (depth > NESTING_MAX) {
        return false;
    }
    size_t self = add_symbol(index, scope, field_of(message, ANY_NAME), false);
    while (!index->too_many && next_bytes(&wire, &field, &bytes)) {
        if (field == MESSAGE_NESTED && !add_message(index, self, bytes, depth + 1)) {
            return false;
        }
        if (field == MESSAGE_ENUM) {
            (void)add_symbol(index, self, field_of(bytes, ANY_NAME), false);
        }
    }
    return !wire.bad;
}

static bool add_service(struct dom_rpc_descriptors *index, size_t scope, struct dom_slice service)
{
    struct wire wire = wire_of(service);
    struct dom_slice bytes;
    uint32_t field = 0;
    size_t self = add_symbol(index, scope, field_of(service, ANY_NAME), true);

    index->num_services++;
    while (!index->too_many && next_bytes(&wire, &field, &bytes)) {
        if (field == SERVICE_METHOD) {
            (void)add_symbol(index, self, field_of(bytes, ANY_NAME), false);
        }
    }
    return !wire.bad;
}

static bool add_file(struct dom_rpc_descriptors *index, struct dom_slice file)
{
    struct wire wire = wire_of(file);
    struct dom_slice bytes;
    struct dom_slice package = field_of(file, FILE_PACKAGE);
    uint32_t field = 0;
    bool ok = true;

    if (index->num_files == FILES_MAX) {
        index->too_many = true;
        return true;
    }
    index->files[index->num_files++] =
        (struct file){.name = field_of(file, FILE_NAME), .bytes = file};
    size_t scope = package.len == 0 ? SYMBOLS_MAX : add_symbol(index, SYMBOLS_MAX, package, false);
    while (ok && !index->too_many && next_bytes(&wire, &field, &bytes)) {
        if (field == FILE_MESSAGE) {
            ok = add_message(index, scope, bytes, 0);
        } else if (field == FILE_ENUM) {
            (void)add_symbol(index, scope, field_of(bytes, ANY_NAME), false);
        } else if (field == FILE_SERVICE) {
            ok = add_service(index, scope, bytes);
        }
    }
    if (scope != SYMBOLS_MAX) {
        /* The package served as a scope; as a symbol it is in many files, so in none. */
        index->symbols[scope].len = 0;
    }
    return ok && !wire.bad;
}

static int by_name(const void *a, const void *b)
{
    return dom_slice_cmp(((const struct symbol *)a)->name, ((const struct symbol *)b)->name);
}

/* Once all names are in: point at them, list the services, sort. */
static void finish_index(struct dom_rpc_descriptors *index)
{
    size_t n = 0;

    index->service_names = calloc(index->num_services + 1, sizeof(*index->service_names));
    DOM_ASSERT(index->service_names != NULL);
    for (size_t i = 0; i < index->num_symbols; i++) {
        struct symbol *symbol = &index->symbols[i];
        symbol->name = dom_slice_of(index->names.data + symbol->at, symbol->len);
        if (symbol->service) {
            index->service_names[n++] = symbol->name;
        }
    }
    DOM_ASSERT(n == index->num_services);
    qsort(index->symbols, index->num_symbols, sizeof(*index->symbols), by_name);
}

enum dom_code dom_rpc_descriptors_new(struct dom_rpc_descriptors **indexp, struct dom_slice set,
                                      struct dom_error *err)
{
    struct wire wire = wire_of(set);
    struct dom_slice bytes;
    uint32_t field = 0;
    bool ok = true;

    *indexp = NULL;
    struct dom_rpc_descriptors *index = calloc(1, sizeof(*index));
    DOM_ASSERT(index != NULL);
    dom_buffer_init(&index->names, NAMES_BYTES_MAX);
    index->files = calloc(FILES_MAX, sizeof(*index->files));
    index->symbols = calloc(SYMBOLS_MAX, sizeof(*index->symbols));
    DOM_ASSERT(index->files != NULL);
    DOM_ASSERT(index->symbols != NULL);
    while (ok && next_bytes(&wire, &field, &bytes)) {
        ok = field != SET_FILE || add_file(index, bytes);
    }
    enum dom_code code = DOM_OK;
    if (index->too_many) {
        code = DOM_FAIL(err, DOM_RESOURCE, "the descriptor set has more files or names than fit");
    } else if (!ok || wire.bad || index->num_files == 0) {
        code = DOM_FAIL(err, DOM_PARSE, "the descriptors are not a FileDescriptorSet");
    }
    if (code != DOM_OK) {
        dom_rpc_descriptors_destroy(index);
        return code;
    }
    finish_index(index);
    *indexp = index;
    return DOM_OK;
}

void dom_rpc_descriptors_destroy(struct dom_rpc_descriptors *index)
{
    if (index == NULL) {
        return;
    }
    dom_buffer_cleanup(&index->names);
    free(index->service_names);
    free(index->symbols);
    free(index->files);
    free(index);
}

/* ---- asking ----------------------------------------------------------------------------- */

struct dom_slice dom_rpc_descriptors_file(const struct dom_rpc_descriptors *index,
                                          struct dom_slice name)
{
    for (size_t i = 0; i < index->num_files; i++) {
        if (dom_slice_eq(index->files[i].name, name)) {
            return index->files[i].bytes;
        }
    }
    return dom_slice_of(NULL, 0);
}

struct dom_slice dom_rpc_descriptors_symbol(const struct dom_rpc_descriptors *index,
                                            struct dom_slice symbol)
{
    struct symbol key = {.name = symbol};

    if (symbol.len == 0) {
        return dom_slice_of(NULL, 0); /* packages were blanked to this */
    }
    const struct symbol *found =
        bsearch(&key, index->symbols, index->num_symbols, sizeof(key), by_name);
    return found == NULL ? dom_slice_of(NULL, 0) : index->files[found->file].bytes;
}

size_t dom_rpc_descriptors_num_services(const struct dom_rpc_descriptors *index)
{
    return index->num_services;
}

struct dom_slice dom_rpc_descriptors_service(const struct dom_rpc_descriptors *index, size_t i)
{
    DOM_ASSERT(i < index->num_services);
    return index->service_names[i];
}
