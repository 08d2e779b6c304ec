#include "store/audit/quorum.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/file.h"
#include "store/audit/line_internal.h"

/* Witnesses and groups share one name space and one numbering: in the order of definition. */
#define ITEMS_MAX  (DOM_QUORUM_WITNESSES_MAX + DOM_QUORUM_GROUPS_MAX)
#define NO_GROUP   (-1)
#define NO_WITNESS (-1)

struct item {
    struct dom_slice name; /* in `names` */
    int witness;           /* NO_WITNESS: a group */
    unsigned wanted;       /* of a group: members that must have witnessed */
    unsigned num_members;
    int group; /* the one group that it is a member of */
};

struct dom_quorum {
    uint8_t *text; /* own copy of the file: names lie in it */
    struct dom_note_key logs[DOM_QUORUM_LOGS_MAX];
    size_t num_logs;
    struct dom_note_key witnesses[DOM_QUORUM_WITNESSES_MAX];
    char *urls[DOM_QUORUM_WITNESSES_MAX];
    size_t num_witnesses;
    struct item items[ITEMS_MAX];
    size_t num_items;
    size_t num_groups;
    bool has_quorum;
    int quorum; /* an item, or -1: none wanted */
};

/* ---- words ---------------------------------------------------------------------------------- */

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

/* The next word; empty at the end of the line. */
static struct dom_slice take_word(struct dom_slice *rest)
{
    size_t at = 0;

    while (at < rest->len && is_blank(rest->data[at])) {
        at++;
    }
    size_t begin = at;
    while (at < rest->len && !is_blank(rest->data[at])) {
        at++;
    }
    struct dom_slice word = dom_slice_of(rest->data + begin, at - begin);
    *rest = dom_slice_of(rest->data + at, rest->len - at);
    return word;
}

static bool octets_valid(struct dom_slice line)
{
    for (size_t i = 0; i < line.len; i++) {
        if ((line.data[i] < 0x20 && line.data[i] != '\t') || line.data[i] == 0x7F) {
            return false;
        }
    }
    return true;
}

static int find_item(const struct dom_quorum *q, struct dom_slice name)
{
    for (size_t i = 0; i < q->num_items; i++) {
        if (dom_slice_eq(q->items[i].name, name)) {
            return (int)i;
        }
    }
    return -1;
}

/* ---- lines ---------------------------------------------------------------------------------- */

static enum dom_code take_key(struct dom_note_key *key, struct dom_slice word,
                              enum dom_key_type wanted, const struct dom_note_key *others,
                              size_t num_others, struct dom_error *err)
{
    enum dom_code rc = dom_note_key_parse(key, word, err);
    if (rc != DOM_OK) {
        return rc;
    }
    if (key->type != wanted) {
        rc = DOM_FAIL(err, DOM_PARSE, "the key of %s has type 0x%02x; 0x%02x is wanted here",
                      key->name, (unsigned)key->type, (unsigned)wanted);
    }
    for (size_t i = 0; i < num_others && rc == DOM_OK; i++) {
        if (memcmp(others[i].public_key, key->public_key, sizeof(key->public_key)) == 0) {
            rc = DOM_FAIL(err, DOM_PARSE, "the public key of %s is that of %s above", key->name,
                          others[i].name);
        }
    }
    if (rc != DOM_OK) {
        dom_note_key_cleanup(key);
    }
    return rc;
}

static enum dom_code line_end(struct dom_slice *rest, struct dom_error *err)
{
    return take_word(rest).len == 0 ? DOM_OK : DOM_FAIL(err, DOM_PARSE, "there is a word too many");
}

static enum dom_code take_url(struct dom_slice word, struct dom_error *err)
{
    return word.len <= DOM_QUORUM_URL_BYTES_MAX
               ? DOM_OK
               : DOM_FAIL(err, DOM_PARSE, "the URL is over %u bytes", DOM_QUORUM_URL_BYTES_MAX);
}

static enum dom_code read_log(struct dom_quorum *q, struct dom_slice rest, struct dom_error *err)
{
    if (q->num_logs == DOM_QUORUM_LOGS_MAX) {
        return DOM_FAIL(err, DOM_RESOURCE, "over %u logs", DOM_QUORUM_LOGS_MAX);
    }
    struct dom_slice vkey = take_word(&rest);
    enum dom_code rc = take_url(take_word(&rest), err);
    if (rc == DOM_OK) {
        rc = line_end(&rest, err);
    }
    if (rc == DOM_OK) {
        rc = take_key(&q->logs[q->num_logs], vkey, DOM_KEY_ED25519, q->logs, q->num_logs, err);
    }
    q->num_logs += rc == DOM_OK ? 1 : 0;
    return rc;
}

static enum dom_code add_item(struct dom_quorum *q, struct dom_slice name, struct item **itemp,
                              struct dom_error *err)
{
    if (name.len == 0) {
        return DOM_FAIL(err, DOM_PARSE, "a name is wanted");
    }
    if (dom_slice_eq_str(name, "none") || find_item(q, name) >= 0) {
        return DOM_FAIL(err, DOM_PARSE, "the name \"%.*s\" is taken",
                        (int)(name.len > 100 ? 100 : name.len), (const char *)name.data);
    }
    DOM_ASSERT(q->num_items < ITEMS_MAX);
    *itemp = &q->items[q->num_items];
    **itemp = (struct item){.name = name, .witness = NO_WITNESS, .group = NO_GROUP};
    return DOM_OK;
}

static enum dom_code read_witness(struct dom_quorum *q, struct dom_slice rest,
                                  struct dom_error *err)
{
    struct item *item = NULL;
    size_t at = q->num_witnesses;

    if (at == DOM_QUORUM_WITNESSES_MAX) {
        return DOM_FAIL(err, DOM_RESOURCE, "over %u witnesses", DOM_QUORUM_WITNESSES_MAX);
    }
    enum dom_code rc = add_item(q, take_word(&rest), &item, err);
    struct dom_slice vkey = take_word(&rest);
    struct dom_slice url = take_word(&rest);
    if (rc == DOM_OK) {
        rc = take_url(url, err);
    }
    if (rc == DOM_OK) {
        rc = line_end(&rest, err);
    }
    if (rc == DOM_OK) {
        rc = take_key(&q->witnesses[at], vkey, DOM_KEY_COSIGNATURE, q->witnesses, at, err);
    }
    if (rc != DOM_OK) {
        return rc;
    }
    q->urls[at] = dom_slice_dup(url);
    item->witness = (int)at;
    q->num_witnesses++;
    q->num_items++;
    return DOM_OK;
}

static enum dom_code add_member(struct dom_quorum *q, struct item *group, struct dom_slice name,
                                struct dom_error *err)
{
    int member = find_item(q, name);

    if (member < 0) {
        return DOM_FAIL(err, DOM_PARSE, "\"%.*s\" is no witness or group above",
                        (int)(name.len > 100 ? 100 : name.len), (const char *)name.data);
    }
    if (q->items[member].group != NO_GROUP) {
        return DOM_FAIL(err, DOM_PARSE, "\"%.*s\" is a member already",
                        (int)(name.len > 100 ? 100 : name.len), (const char *)name.data);
    }
    q->items[member].group = (int)q->num_items;
    group->num_members++;
    return DOM_OK;
}

static enum dom_code read_group(struct dom_quorum *q, struct dom_slice rest, struct dom_error *err)
{
    struct item *group = NULL;
    uint64_t wanted = 1;

    if (q->num_groups == DOM_QUORUM_GROUPS_MAX) {
        return DOM_FAIL(err, DOM_RESOURCE, "over %u groups", DOM_QUORUM_GROUPS_MAX);
    }
    enum dom_code rc = add_item(q, take_word(&rest), &group, err);
    struct dom_slice threshold = take_word(&rest);
    bool all = dom_slice_eq_str(threshold, "all");
    for (struct dom_slice name = take_word(&rest); rc == DOM_OK && name.len > 0;
         name = take_word(&rest)) {
        rc = add_member(q, group, name, err);
    }
    if (rc != DOM_OK) {
        return rc;
    }
    if (all) {
        wanted = group->num_members;
    } else if (!dom_slice_eq_str(threshold, "any") && !dom_line_decimal(threshold, &wanted)) {
        return DOM_FAIL(err, DOM_PARSE, "all, any or a number is wanted, not \"%.*s\"",
                        (int)(threshold.len > 100 ? 100 : threshold.len),
                        (const char *)threshold.data);
    }
    if (group->num_members == 0 || wanted < 1 || wanted > group->num_members) {
        return DOM_FAIL(err, DOM_PARSE, "a group of %u members cannot want %llu of them",
                        group->num_members, (unsigned long long)wanted);
    }
    group->wanted = (unsigned)wanted;
    q->num_groups++;
    q->num_items++;
    return DOM_OK;
}

static enum dom_code read_quorum(struct dom_quorum *q, struct dom_slice rest, struct dom_error *err)
{
    struct dom_slice name = take_word(&rest);

    if (q->has_quorum) {
        return DOM_FAIL(err, DOM_PARSE, "there is a quorum line already");
    }
    q->quorum = dom_slice_eq_str(name, "none") ? -1 : find_item(q, name);
    if (q->quorum < 0 && !dom_slice_eq_str(name, "none")) {
        return DOM_FAIL(err, DOM_PARSE, "\"%.*s\" is no witness or group above",
                        (int)(name.len > 100 ? 100 : name.len), (const char *)name.data);
    }
    q->has_quorum = true;
    return line_end(&rest, err);
}

static enum dom_code read_line(struct dom_quorum *q, struct dom_slice line, struct dom_error *err)
{
    if (!octets_valid(line)) {
        return DOM_FAIL(err, DOM_PARSE, "a control character");
    }
    struct dom_slice keyword = take_word(&line);
    if (keyword.len == 0 || keyword.data[0] == '#') {
        return DOM_OK;
    }
    if (dom_slice_eq_str(keyword, "log")) {
        return read_log(q, line, err);
    }
    if (dom_slice_eq_str(keyword, "witness")) {
        return read_witness(q, line, err);
    }
    if (dom_slice_eq_str(keyword, "group")) {
        return read_group(q, line, err);
    }
    if (dom_slice_eq_str(keyword, "quorum")) {
        return read_quorum(q, line, err);
    }
    return DOM_FAIL(err, DOM_PARSE, "log, witness, group or quorum is wanted, not \"%.*s\"",
                    (int)(keyword.len > 100 ? 100 : keyword.len), (const char *)keyword.data);
}

static enum dom_code read_lines(struct dom_quorum *q, struct dom_slice text, struct dom_error *err)
{
    struct dom_error own = {0};
    struct dom_slice line;
    unsigned number = 0;

    while (text.len > 0) {
        number++;
        if (!dom_take_line(&text, &line)) {
            return DOM_FAIL(err, DOM_PARSE, "line %u: it has no newline; was the file cut?",
                            number);
        }
        enum dom_code rc = read_line(q, line, &own);
        if (rc != DOM_OK) {
            return DOM_FAIL(err, rc == DOM_RESOURCE ? rc : DOM_PARSE, "line %u: %s", number,
                            own.message);
        }
    }
    return q->has_quorum ? DOM_OK
                         : DOM_FAIL(err, DOM_PARSE,
                                    "line %u: there is no quorum line (\"quorum none\" wants no "
                                    "witness)",
                                    number + 1);
}

enum dom_code dom_quorum_parse(struct dom_quorum **quorump, struct dom_slice text,
                               struct dom_error *err)
{
    *quorump = NULL;
    if (text.len > DOM_QUORUM_FILE_BYTES_MAX) {
        return DOM_FAIL(err, DOM_TOO_LARGE, "over %u bytes", DOM_QUORUM_FILE_BYTES_MAX);
    }
    struct dom_quorum *q = calloc(1, sizeof(*q));
    DOM_ASSERT(q != NULL);
    q->text = malloc(text.len + 1);
    DOM_ASSERT(q->text != NULL);
    if (text.len > 0) {
        memcpy(q->text, text.data, text.len);
    }
    enum dom_code rc = read_lines(q, dom_slice_of(q->text, text.len), err);
    if (rc != DOM_OK) {
        dom_quorum_destroy(q);
        return rc;
    }
    *quorump = q;
    return DOM_OK;
}

enum dom_code dom_quorum_read(struct dom_quorum **quorump, const char *path, struct dom_error *err)
{
    struct dom_buffer text = {0};

    *quorump = NULL;
    enum dom_code rc = dom_file_read(&text, path, DOM_QUORUM_FILE_BYTES_MAX, err);
    if (rc == DOM_OK) {
        rc = dom_quorum_parse(quorump, dom_buffer_slice(&text), err);
        if (rc != DOM_OK) {
            (void)dom_error_prefix(err, "%s", path);
        }
    }
    dom_buffer_cleanup(&text);
    return rc;
}

void dom_quorum_destroy(struct dom_quorum *quorum)
{
    if (quorum == NULL) {
        return;
    }
    for (size_t i = 0; i < quorum->num_logs; i++) {
        dom_note_key_cleanup(&quorum->logs[i]);
    }
    for (size_t i = 0; i < quorum->num_witnesses; i++) {
        dom_note_key_cleanup(&quorum->witnesses[i]);
        free(quorum->urls[i]);
    }
    free(quorum->text);
    free(quorum);
}

/* ---- asking --------------------------------------------------------------------------------- */

size_t dom_quorum_num_logs(const struct dom_quorum *quorum)
{
    return quorum->num_logs;
}

const struct dom_note_key *dom_quorum_log(const struct dom_quorum *quorum, size_t i)
{
    DOM_ASSERT(i < quorum->num_logs);
    return &quorum->logs[i];
}

size_t dom_quorum_num_witnesses(const struct dom_quorum *quorum)
{
    return quorum->num_witnesses;
}

const struct dom_note_key *dom_quorum_witness(const struct dom_quorum *quorum, size_t i)
{
    DOM_ASSERT(i < quorum->num_witnesses);
    return &quorum->witnesses[i];
}

const char *dom_quorum_witness_url(const struct dom_quorum *quorum, size_t i)
{
    DOM_ASSERT(i < quorum->num_witnesses);
    return quorum->urls[i];
}

/* Members stand before their group, so one pass in order settles everything. */
static bool quorum_met(const struct dom_quorum *q, const struct dom_note_verdict *verdicts)
{
    unsigned counts[ITEMS_MAX] = {0};
    bool witnessed[ITEMS_MAX] = {false};

    for (size_t i = 0; i < q->num_items; i++) {
        const struct item *item = &q->items[i];
        witnessed[i] = item->witness != NO_WITNESS ? verdicts[item->witness].verified
                                                   : counts[i] >= item->wanted;
        if (witnessed[i] && item->group != NO_GROUP) {
            DOM_ASSERT(item->group > (int)i);
            counts[item->group]++;
        }
    }
    return q->quorum < 0 || witnessed[q->quorum];
}

enum dom_code dom_quorum_judge(const struct dom_quorum *quorum, struct dom_slice checkpoint,
                               struct dom_quorum_result *result, struct dom_error *err)
{
    struct dom_note_verdict verdicts[DOM_QUORUM_WITNESSES_MAX] = {{0}};
    struct dom_note note;

    *result = (struct dom_quorum_result){.num_witnesses = (unsigned)quorum->num_witnesses};
    enum dom_code rc = dom_note_parse(&note, checkpoint, err);
    if (rc == DOM_OK) {
        rc = dom_note_verify(&note, quorum->witnesses, quorum->num_witnesses, verdicts, err);
    }
    if (rc != DOM_OK && rc != DOM_UNAUTHENTICATED) { /* no line by any of them: zero, not wrong */
        return rc;
    }
    for (size_t i = 0; i < quorum->num_witnesses; i++) {
        if (!verdicts[i].verified) {
            continue;
        }
        if (result->num_cosignatures++ == 0 || verdicts[i].time_s < result->oldest_s) {
            result->oldest_s = verdicts[i].time_s;
        }
    }
    result->met = quorum_met(quorum, verdicts);
    return DOM_OK;
}
