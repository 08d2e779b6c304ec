/* The layout of an index file, which its writer and its reader share. Thread contract: any thread.
 */
#ifndef DOM_STORE_AUDIT_INDEX_INTERNAL_H
#define DOM_STORE_AUDIT_INDEX_INTERNAL_H

#include "store/audit/index.h"

#define DOM_INDEX_MAGIC           "DOMINDEX"
#define DOM_INDEX_HEADER_SIZE     40U
#define DOM_INDEX_RANGE_SIZE      16U /* lowest and highest, 8 bytes each */
#define DOM_INDEX_VALUE_BYTES_MAX 255U
#define DOM_INDEX_VALUES_BYTES_MAX \
    (DOM_INDEX_VALUES_MAX * (2U + DOM_INDEX_VALUE_BYTES_MAX + DOM_INDEX_MASK_BYTES))
#define DOM_INDEX_FILE_BYTES_MAX                                           \
    (DOM_INDEX_HEADER_SIZE + 2U * DOM_INDEX_GROUP * DOM_INDEX_RANGE_SIZE + \
     DOM_INDEX_VALUES_BYTES_MAX + DOM_INDEX_BLOOM_ROWS * DOM_INDEX_MASK_BYTES)

struct dom_index_header {
    unsigned width;
    uint64_t group;
    uint32_t num_values;
    uint32_t values_bytes;
    uint32_t open_keys; /* bit per key */
};

/* Bytes of one mask in a file of this width. */
static inline size_t dom_index_stride(unsigned width)
{
    return (width + 7U) / 8U;
}

static inline size_t dom_index_file_bytes(const struct dom_index_header *header)
{
    return DOM_INDEX_HEADER_SIZE + 2U * DOM_INDEX_RANGE_SIZE * header->width +
           header->values_bytes + DOM_INDEX_BLOOM_ROWS * dom_index_stride(header->width);
}

/* `bytes` are the file's first DOM_INDEX_HEADER_SIZE ones. Errors: FORMAT, CORRUPT. */
enum dom_code dom_index_header_parse(struct dom_index_header *header, const uint8_t *bytes,
                                     uint64_t group, uint64_t file_bytes,
                                     struct dom_error *err) DOM_MUST_USE;

enum dom_index_how { DOM_INDEX_SET, DOM_INDEX_BLOOM, DOM_INDEX_TIME };
enum dom_index_how dom_index_how(enum dom_export_key key);

/* The rows that stand for a value; which of the keyed hashes it is makes no difference, but a
 * trace is another thing. */
void dom_index_rows(uint32_t *rows, enum dom_export_key key, struct dom_slice value);

/* The first 48 bits of a UUID, which of a UUIDv7 are its time. False when it is none. */
bool dom_index_id_time(struct dom_slice id, uint64_t *time);

#endif
