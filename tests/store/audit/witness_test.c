/* The witness: the transcripts of another implementation, every refusal, and that no order of
 * requests makes it cosign two histories (promise P5). */
#include "store/audit/witness.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/encode.h"
#include "tests/store/audit/testing.h"

#define NAME "witness.example/w1"

struct world {
    struct dom_witness witness;
    char dir[512];
    struct testing_log log;
    struct dom_witness_answer answer;
    struct dom_error err;
};

static const uint8_t s_seed[32] = {42};

static void open_witness(struct world *w)
{
    struct dom_witness_store store = dom_witness_store_files(w->dir);
    struct dom_note_signer signer;

    assert_int_equal(
        dom_note_signer_init(&signer, DOM_SLICE_LIT(NAME), DOM_KEY_COSIGNATURE, s_seed, NULL),
        DOM_OK);
    assert_int_equal(dom_witness_init(&w->witness, &signer, &store, NULL), DOM_OK);
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    (void)snprintf(w->dir, sizeof(w->dir), "%s/witness", testing_folder());
    open_witness(w);
    testing_log_init(&w->log);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    dom_witness_answer_cleanup(&w->answer);
    dom_witness_cleanup(&w->witness);
    testing_log_cleanup(&w->log);
    free(w);
    return 0;
}

static unsigned send(struct world *w, struct dom_slice request, const struct dom_note_key *key)
{
    dom_witness_answer_cleanup(&w->answer);
    enum dom_code rc =
        dom_witness_add_checkpoint(&w->witness, key, 1, request, 1700000000, &w->answer, &w->err);
    assert_int_equal(rc == DOM_OK, w->answer.status == 200);
    return w->answer.status;
}

static bool says(struct world *w, const char *part)
{
    const char *text = dom_buffer_cstr(&w->answer.body);

    return text != NULL && strstr(text, part) != NULL;
}

/* The log's checkpoint with the proof from `old_size`. */
static void make_request(struct testing_log *log, uint64_t old_size, struct dom_buffer *out)
{
    struct dom_hash_reader reader = dom_memory_tree_reader(&log->tree);
    struct dom_buffer checkpoint = {0};
    struct dom_proof proof = {0};

    dom_buffer_clear(out);
    testing_log_checkpoint(log, &checkpoint);
    if (old_size <= log->tree.edge.size) {
        assert_int_equal(
            dom_prove_consistency(&proof, &reader, old_size, log->tree.edge.size, NULL), DOM_OK);
    }
    assert_int_equal(
        dom_witness_request_encode(old_size, &proof, dom_buffer_slice(&checkpoint), out, NULL),
        DOM_OK);
    dom_buffer_cleanup(&checkpoint);
}

static unsigned submit(struct world *w, struct testing_log *log, uint64_t old_size)
{
    struct dom_buffer request = {0};

    make_request(log, old_size, &request);
    unsigned status = send(w, dom_buffer_slice(&request), &log->signer.key);
    dom_buffer_cleanup(&request);
    return status;
}

/* ---- transcripts ---------------------------------------------------------------------------- */

/* Statuses as they were recorded, but for the unknown origin: the specification has 404 for it
 * now, and the recording 403 (the file says so itself). */
static void transcripts_of_another_witness(void **state)
{
    struct world *w = *state;
    json_t *file = testing_vector_json("witness_transcripts.json");
    struct dom_note_key key;
    uint8_t public_key[32];
    const char *hex = json_string_value(json_object_get(file, "log_ed25519_pk_hex"));
    json_t *list = json_object_get(file, "transcripts");
    json_t *one = NULL;
    size_t i = 0;

    assert_true(dom_hex_decode(public_key, sizeof(public_key), dom_slice_str(hex)));
    assert_int_equal(
        dom_note_key_init(&key,
                          dom_slice_str(json_string_value(json_object_get(file, "log_origin"))),
                          DOM_KEY_ED25519, public_key, NULL),
        DOM_OK);
    assert_int_equal(json_array_size(list), 9);
    json_array_foreach (list, i, one) {
        struct dom_buffer request = {0};
        json_int_t want = json_integer_value(json_object_get(one, "status"));
        testing_base64(&request, json_string_value(json_object_get(one, "request_b64")));
        unsigned status = send(w, dom_buffer_slice(&request), &key);
        assert_int_equal(status, i == 2 ? 404 : want);
        const char *asserted =
            json_string_value(json_array_get(json_object_get(one, "asserts"), 0));
        if (status == 200) {
            assert_true(says(w, "\xE2\x80\x94 " NAME " "));
        } else if (status == 409) {
            assert_string_equal(w->answer.content_type, "text/x.tlog.size");
            const char *body = dom_buffer_cstr(&w->answer.body);
            assert_true(body[0] == asserted[9] && strcmp(body + 1, "\n") == 0);
        } else {
            const char *quote = strchr(asserted, '"') + 1;
            char part[64];
            (void)snprintf(part, sizeof(part), "%.*s", (int)(strchr(quote, '"') - quote), quote);
            assert_true(says(w, part));
        }
        dom_buffer_cleanup(&request);
    }
    dom_note_key_cleanup(&key);
    json_decref(file);
}

static void a_logs_key_is_no_witness(void **state)
{
    struct world *w = *state;
    struct dom_witness_store store = dom_witness_store_files(w->dir);
    struct dom_note_signer signer;
    struct dom_witness witness;

    testing_signer(&signer, 1);
    assert_int_equal(dom_witness_init(&witness, &signer, &store, &w->err), DOM_INVALID);
    dom_witness_cleanup(&witness);
}

/* ---- growing -------------------------------------------------------------------------------- */

static void cosignature_verifies(struct world *w)
{
    struct dom_buffer note = {0};
    struct dom_note_verdict verdicts[2];
    struct dom_note_key keys[2] = {w->log.signer.key, w->witness.signer.key};
    struct dom_checkpoint checkpoint;

    testing_log_checkpoint(&w->log, &note);
    dom_buffer_append_slice(&note, dom_buffer_slice(&w->answer.body));
    assert_int_equal(
        dom_checkpoint_open(&checkpoint, dom_buffer_slice(&note), keys, 2, verdicts, NULL), DOM_OK);
    assert_true(verdicts[1].verified);
    assert_int_equal(verdicts[1].time_s, 1700000000);
    dom_buffer_cleanup(&note);
}

static void a_log_that_grows_is_cosigned(void **state)
{
    struct world *w = *state;
    static const uint64_t sizes[] = {0, 1, 2, 255, 256, 257, 300};
    uint64_t last = 0;

    for (size_t i = 0; i < DOM_ARRAY_LEN(sizes); i++) {
        testing_log_fill(&w->log, sizes[i]);
        assert_int_equal(submit(w, &w->log, last), 200);
        cosignature_verifies(w);
        last = sizes[i];
        /* Asked again: the same size, with an empty proof. */
        assert_int_equal(submit(w, &w->log, last), 200);
        cosignature_verifies(w);
    }
}

static void memory_outlives_the_process(void **state)
{
    struct world *w = *state;

    testing_log_fill(&w->log, 10);
    assert_int_equal(submit(w, &w->log, 0), 200);
    dom_witness_cleanup(&w->witness);
    open_witness(w);
    testing_log_fill(&w->log, 20);
    assert_int_equal(submit(w, &w->log, 0), 409);
    assert_true(says(w, "10\n"));
    assert_int_equal(submit(w, &w->log, 10), 200);
}

/* ---- refusals ------------------------------------------------------------------------------- */

/* A log by the same key whose entry 3 differs. */
static void fork_log(struct testing_log *fork, uint64_t size)
{
    testing_log_init(fork);
    testing_log_fill(fork, 3);
    testing_log_append(fork, DOM_SLICE_LIT("another history"));
    while (fork->tree.edge.size < size) {
        testing_log_append(fork, DOM_SLICE_LIT("and on"));
    }
}

static void forks_and_rewinds_are_refused(void **state)
{
    struct world *w = *state;
    struct testing_log fork;

    testing_log_fill(&w->log, 10);
    assert_int_equal(submit(w, &w->log, 0), 200);
    for (uint64_t size = 4; size <= 20; size++) {
        fork_log(&fork, size);
        for (uint64_t old = 0; old <= size; old++) {
            unsigned status = submit(w, &fork, old);
            assert_int_equal(status, old != 10 || size == 10 ? 409 : 422);
        }
        testing_log_cleanup(&fork);
    }
    /* A rewind: the true log as it was. */
    struct testing_log shorter;
    testing_log_init(&shorter);
    testing_log_fill(&shorter, 5);
    for (uint64_t old = 0; old <= 5; old++) {
        assert_int_equal(submit(w, &shorter, old), 409);
        assert_true(says(w, "10\n"));
    }
    assert_int_equal(submit(w, &shorter, 10), 400);
    testing_log_cleanup(&shorter);
    /* After all that it still knows where it was. */
    testing_log_fill(&w->log, 11);
    assert_int_equal(submit(w, &w->log, 10), 200);
}

static void other_signers_and_other_logs_are_refused(void **state)
{
    struct world *w = *state;
    struct dom_note_signer other;
    struct dom_buffer request = {0};

    testing_log_fill(&w->log, 3);
    make_request(&w->log, 0, &request);
    testing_signer(&other, 77);
    assert_int_equal(send(w, dom_buffer_slice(&request), &other.key), 403);
    dom_note_signer_cleanup(&other);
    assert_int_equal(dom_note_signer_init(&other, DOM_SLICE_LIT("audit.example.com/eu-wes"),
                                          DOM_KEY_ED25519, s_seed, NULL),
                     DOM_OK);
    assert_int_equal(send(w, dom_buffer_slice(&request), &other.key), 404);
    dom_note_signer_cleanup(&other);
    /* A witness's key of that name is no log's. */
    assert_int_equal(dom_note_signer_init(&other, DOM_SLICE_LIT(TESTING_ORIGIN),
                                          DOM_KEY_COSIGNATURE, s_seed, NULL),
                     DOM_OK);
    assert_int_equal(send(w, dom_buffer_slice(&request), &other.key), 404);
    dom_note_signer_cleanup(&other);
    dom_buffer_cleanup(&request);
    assert_int_equal(submit(w, &w->log, 0), 200);
}

static void proofs_that_are_not_wanted_are_refused(void **state)
{
    struct world *w = *state;
    struct dom_proof proof = {.num_hashes = 1};
    struct dom_buffer checkpoint = {0};
    struct dom_buffer request = {0};

    testing_log_fill(&w->log, 4);
    testing_log_checkpoint(&w->log, &checkpoint);
    for (uint64_t old = 0; old <= 4; old += 4) {
        dom_buffer_clear(&request);
        assert_int_equal(
            dom_witness_request_encode(old, &proof, dom_buffer_slice(&checkpoint), &request, NULL),
            DOM_OK);
        assert_int_equal(send(w, dom_buffer_slice(&request), &w->log.signer.key), 422);
        assert_int_equal(submit(w, &w->log, old), 200);
    }
    dom_buffer_cleanup(&checkpoint);
    dom_buffer_cleanup(&request);
}

static void bad_requests_are_400(void **state)
{
    struct world *w = *state;
    static const char *const heads[] = {
        "",           "old",          "old \n\n", "old -1\n\n", "old 01\n\n",
        "old 1 \n\n", "old 0\nx\n\n", "old 0\n",  "Old 0\n\n",  "old 99999999999999999999\n\n",
        "\n",         "old 0\r\n\n",
    };
    struct dom_buffer checkpoint = {0};
    struct dom_buffer request = {0};

    testing_log_fill(&w->log, 2);
    testing_log_checkpoint(&w->log, &checkpoint);
    for (size_t i = 0; i < DOM_ARRAY_LEN(heads); i++) {
        dom_buffer_clear(&request);
        dom_buffer_append_str(&request, heads[i]);
        dom_buffer_append_slice(&request, dom_buffer_slice(&checkpoint));
        assert_int_equal(send(w, dom_buffer_slice(&request), &w->log.signer.key), 400);
    }
    make_request(&w->log, 0, &request);
    const char *text = dom_buffer_cstr(&request);
    size_t body = (size_t)(strstr(strstr(text, "\n\n") + 2, "\n\n") - text) + 2;
    for (size_t len = 0; len < request.len; len++) {
        unsigned status = send(w, dom_slice_of(request.data, len), &w->log.signer.key);
        /* Once the text is whole, what is cut is the signature. */
        assert_int_equal(status, len < body ? 400 : 403);
    }
    dom_buffer_cleanup(&checkpoint);
    dom_buffer_cleanup(&request);
}

static void at_most_63_proof_lines_and_so_many_bytes(void **state)
{
    struct world *w = *state;
    struct dom_witness_request parsed;
    struct dom_proof proof = {0};
    struct dom_buffer request = {0};

    proof.num_hashes = DOM_WITNESS_PROOF_LINES_MAX;
    assert_int_equal(dom_witness_request_encode(5, &proof, DOM_SLICE_LIT("c"), &request, NULL),
                     DOM_OK);
    assert_int_equal(dom_witness_request_parse(&parsed, dom_buffer_slice(&request), NULL), DOM_OK);
    assert_int_equal(parsed.proof.num_hashes, 63);
    assert_true(dom_slice_eq_str(parsed.checkpoint, "c"));
    proof.num_hashes++;
    assert_int_equal(dom_witness_request_encode(5, &proof, DOM_SLICE_LIT("c"), &request, NULL),
                     DOM_INVALID);
    dom_buffer_clear(&request);
    dom_buffer_append_str(&request, "old 5\n");
    for (unsigned i = 0; i < 64; i++) {
        dom_buffer_append_str(&request, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n");
    }
    dom_buffer_append_str(&request, "\n");
    assert_int_equal(dom_witness_request_parse(&parsed, dom_buffer_slice(&request), &w->err),
                     DOM_PARSE);
    dom_buffer_clear(&request);
    dom_buffer_append_str(&request, "old 5\n\n");
    while (request.len < DOM_WITNESS_REQUEST_BYTES_MAX) {
        dom_buffer_append_char(&request, 'x');
    }
    assert_int_equal(dom_witness_request_parse(&parsed, dom_buffer_slice(&request), NULL), DOM_OK);
    dom_buffer_append_char(&request, 'x');
    assert_int_equal(dom_witness_request_parse(&parsed, dom_buffer_slice(&request), NULL),
                     DOM_TOO_LARGE);
    dom_buffer_cleanup(&request);
}

/* A witness that cannot remember, or whose memory is damaged, cosigns nothing. */
static void no_memory_no_cosignature(void **state)
{
    struct world *w = *state;
    struct dom_buffer command = {0};

    testing_log_fill(&w->log, 3);
    assert_int_equal(submit(w, &w->log, 0), 200);
    dom_buffer_printf(&command, "for f in %s/*; do printf damaged > $f; done", w->dir);
    assert_int_equal(system(dom_buffer_cstr(&command)), 0); /* NOLINT */
    testing_log_fill(&w->log, 4);
    for (uint64_t old = 0; old <= 3; old += 3) {
        assert_int_equal(submit(w, &w->log, old), 500);
        assert_true(says(w, "internal error\n"));
    }
    dom_buffer_clear(&command);
    dom_buffer_printf(&command, "rm -r %s && : > %s", w->dir, w->dir);
    assert_int_equal(system(dom_buffer_cstr(&command)), 0); /* NOLINT */
    assert_int_equal(submit(w, &w->log, 0), 500);
    dom_buffer_cleanup(&command);
}

/* ---- many at once --------------------------------------------------------------------------- */

struct racer {
    struct world *w;
    struct testing_log *log;
    const struct dom_buffer *request;
    unsigned status;
};

static void *race(void *arg)
{
    struct racer *racer = arg;
    struct dom_witness_answer answer;

    (void)!dom_witness_add_checkpoint(&racer->w->witness, &racer->log->signer.key, 1,
                                      dom_buffer_slice(racer->request), 1, &answer, NULL);
    racer->status = answer.status;
    dom_witness_answer_cleanup(&answer);
    return NULL;
}

/* Sixteen histories at once from the same last size: one is cosigned, the others meet it. */
static void check_and_store_are_one_step(void **state)
{
    struct world *w = *state;
    enum { RACERS = 16 };
    struct testing_log logs[RACERS];
    struct dom_buffer requests[RACERS] = {{0}};
    struct racer racers[RACERS];
    pthread_t threads[RACERS];
    unsigned num_cosigned = 0;

    for (unsigned i = 0; i < RACERS; i++) {
        testing_log_init(&logs[i]);
        for (unsigned n = 0; n <= i; n++) {
            testing_log_append(&logs[i], dom_slice_of(&i, sizeof(i)));
        }
        make_request(&logs[i], 0, &requests[i]);
        racers[i] = (struct racer){.w = w, .log = &logs[i], .request = &requests[i]};
    }
    for (unsigned i = 0; i < RACERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
    }
    for (unsigned i = 0; i < RACERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        num_cosigned += racers[i].status == 200 ? 1 : 0;
        assert_true(racers[i].status == 200 || racers[i].status == 409);
        testing_log_cleanup(&logs[i]);
        dom_buffer_cleanup(&requests[i]);
    }
    assert_int_equal(num_cosigned, 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(transcripts_of_another_witness),
        T(a_logs_key_is_no_witness),
        T(a_log_that_grows_is_cosigned),
        T(memory_outlives_the_process),
        T(forks_and_rewinds_are_refused),
        T(other_signers_and_other_logs_are_refused),
        T(proofs_that_are_not_wanted_are_refused),
        T(bad_requests_are_400),
        T(at_most_63_proof_lines_and_so_many_bytes),
        T(no_memory_no_cosignature),
        T(check_and_store_are_one_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
