/* Answers that another thread sends: exactly one for every call, whoever is first. */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/assert.h"
#include "base/macros.h"
#include "router/rpc/client.h"
#include "router/rpc/server.h"
#include "tests/router/rpc/suite.h"

#define LEND "/test.v1.TestService/Lend"
#define RACES 2000U

/* Who tries to end the calls. */
enum ending { NOBODY, ANSWERER, TAKER, BOTH };

/* A call on its way: on the list of the answerer, on the I/O thread's, or on both. */
struct loan {
    struct dom_rpc_work gone;  /* answered by the answerer */
    struct dom_rpc_work take;  /* the I/O thread tries to take it back */
    struct dom_rpc_work drop;  /* the answerer is through with its memory */
    struct world *world;
    struct dom_rpc_call *call;
    uint8_t *room;
    size_t len;
    struct loan *next;
};

struct world {
    struct dom_rpc_server *server;
    pthread_t io;
    pthread_t answerer;
    enum ending ending;
    atomic_uint num_answered;
    atomic_uint num_taken;
    atomic_uint num_gone;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* Under the lock. */
    struct loan *loans;
    unsigned num_lent;
    bool stopping;
};

static struct loan *loan_of(struct dom_rpc_work *work, size_t offset)
{
    return (struct loan *)(void *)((char *)work - offset);
}

static void on_gone(struct dom_rpc_work *work)
{
    struct loan *loan = loan_of(work, offsetof(struct loan, gone));

    (void)atomic_fetch_add(&loan->world->num_gone, 1);
}

static void on_drop(struct dom_rpc_work *work)
{
    dom_rpc_call_drop(loan_of(work, offsetof(struct loan, drop))->call);
}

static void on_take(struct dom_rpc_work *work)
{
    struct loan *loan = loan_of(work, offsetof(struct loan, take));

    if (dom_rpc_call_take_back(loan->call)) {
        (void)atomic_fetch_add(&loan->world->num_taken, 1);
        loan->room[loan->len] = 'T';
        dom_rpc_call_finish_lent(loan->call, loan->len + 1);
    }
    dom_rpc_call_drop(loan->call);
}

/* Lends every call, with room for the request and one letter: of whoever ends it. */
static void lend(struct dom_rpc_call *call, void *context)
{
    struct world *world = context;
    struct dom_slice bytes = dom_rpc_call_request(call);
    struct loan *loan = dom_arena_calloc(dom_rpc_call_arena(call), 1, sizeof(*loan));

    DOM_ASSERT(loan != NULL);
    loan->gone.run = on_gone;
    loan->take.run = on_take;
    loan->drop.run = on_drop;
    loan->world = world;
    loan->call = call;
    loan->len = bytes.len;
    dom_rpc_call_hold(call);
    dom_rpc_call_keep(call); /* the answerer's */
    loan->room = dom_rpc_call_lend(call, bytes.len + 100, &loan->gone);
    memcpy(loan->room, bytes.data, bytes.len);
    if (world->ending == TAKER || world->ending == BOTH) {
        dom_rpc_call_keep(call); /* of `take` */
        dom_rpc_post(world->server, &loan->take, &loan->take);
    }
    (void)pthread_mutex_lock(&world->lock);
    loan->next = world->loans;
    world->loans = loan;
    world->num_lent++;
    (void)pthread_cond_broadcast(&world->changed);
    (void)pthread_mutex_unlock(&world->lock);
}

static void answer(struct loan *loan)
{
    struct world *world = loan->world;

    if (world->ending != TAKER && dom_rpc_call_claim_lent(loan->call)) {
        (void)atomic_fetch_add(&world->num_answered, 1);
        loan->room[loan->len] = 'A';
        dom_rpc_call_answer_lent(loan->call, loan->len + 1);
    }
    dom_rpc_post(world->server, &loan->drop, &loan->drop);
}

/* Answers what is lent, or with NOBODY what is lent when the server drains. */
static void *answer_all(void *arg)
{
    struct world *world = arg;

    (void)pthread_mutex_lock(&world->lock);
    for (;;) {
        while (!world->stopping && (world->loans == NULL || world->ending == NOBODY)) {
            (void)pthread_cond_wait(&world->changed, &world->lock);
        }
        struct loan *loan = world->loans;
        if (loan == NULL) {
            break;
        }
        world->loans = loan->next;
        (void)pthread_mutex_unlock(&world->lock);
        answer(loan);
        (void)pthread_mutex_lock(&world->lock);
    }
    (void)pthread_mutex_unlock(&world->lock);
    return NULL;
}

static void *run(void *arg)
{
    dom_rpc_server_run(arg);
    return NULL;
}

static void start(struct world *world, enum ending ending)
{
    static const struct dom_rpc_method methods[] = {
        {.path = LEND, .kind = DOM_RPC_UNARY, .slots = 4, .handler = lend}};
    struct dom_rpc_server_options options = {
        .listen = "127.0.0.1:0",
        .insecure_loopback = true,
        .methods = methods,
        .num_methods = DOM_ARRAY_LEN(methods),
        .context = world,
        .drain_grace_ms = ending == NOBODY ? 50 : T,
    };
    struct dom_error err = {0};

    memset(world, 0, sizeof(*world));
    world->ending = ending;
    assert_int_equal(pthread_mutex_init(&world->lock, NULL), 0);
    assert_int_equal(pthread_cond_init(&world->changed, NULL), 0);
    assert_int_equal(dom_rpc_server_new(&world->server, &options, &err), DOM_OK);
    assert_int_equal(pthread_create(&world->io, NULL, run, world->server), 0);
    assert_int_equal(pthread_create(&world->answerer, NULL, answer_all, world), 0);
}

static void release(struct world *world)
{
    (void)pthread_mutex_lock(&world->lock);
    world->stopping = true;
    (void)pthread_cond_broadcast(&world->changed);
    (void)pthread_mutex_unlock(&world->lock);
}

static void stop(struct world *world, struct dom_rpc_stats *stats)
{
    release(world);
    assert_int_equal(pthread_join(world->answerer, NULL), 0);
    dom_rpc_server_shutdown(world->server);
    assert_int_equal(pthread_join(world->io, NULL), 0);
    dom_rpc_server_stats(world->server, stats);
    dom_rpc_server_destroy(world->server);
    assert_int_equal(stats->in_flight, 0);
    (void)pthread_cond_destroy(&world->changed);
    (void)pthread_mutex_destroy(&world->lock);
}

static struct dom_rpc_client *client_of(struct world *world)
{
    struct dom_rpc_client_options options = {.target = dom_rpc_server_address(world->server)};
    struct dom_rpc_client *client = NULL;

    assert_int_equal(dom_rpc_client_new(&client, &options, NULL), DOM_OK);
    return client;
}

/* A server's life with `num` calls, one after the other. Counts what the answerer ([0]) and the I/O
 * thread ([1]) ended, as the caller was told. */
static void serve(struct world *world, enum ending ending, unsigned num, unsigned by[2],
                  struct dom_rpc_stats *stats)
{
    struct dom_rpc_result result = {0};

    by[0] = 0;
    by[1] = 0;
    start(world, ending);
    struct dom_rpc_client *client = client_of(world);
    for (unsigned i = 0; i < num; i++) {
        assert_true(dom_rpc_client_call(client, LEND, DOM_SLICE_LIT("ask"), T, &result));
        assert_int_equal(result.reply.len, 4);
        assert_memory_equal(result.reply.data, "ask", 3);
        assert_true(result.reply.data[3] == 'A' || result.reply.data[3] == 'T');
        by[result.reply.data[3] == 'A' ? 0 : 1]++;
    }
    dom_rpc_client_destroy(client);
    dom_rpc_result_cleanup(&result);
    stop(world, stats);
    assert_int_equal(world->num_answered, by[0]);
    assert_int_equal(world->num_taken, by[1]);
    assert_int_equal(world->num_gone, by[0]);
    assert_int_equal(stats->calls_finished, num);
    assert_int_equal(stats->calls_cancelled, 0);
    assert_int_equal(stats->bytes_sent, num * 4); /* what went out, not the room */
}

static void another_thread_answers_and_the_io_thread_closes(void **state)
{
    struct dom_rpc_stats stats;
    struct world world;
    unsigned by[2];

    (void)state;
    serve(&world, ANSWERER, 50, by, &stats);
    assert_int_equal(by[0], 50);
}

static void a_call_that_is_taken_back_is_ended_here(void **state)
{
    struct dom_rpc_stats stats;
    struct world world;
    unsigned by[2];

    (void)state;
    serve(&world, TAKER, 50, by, &stats);
    assert_int_equal(by[1], 50);
}

static void both_at_once_give_one_answer(void **state)
{
    struct dom_rpc_stats stats;
    struct world world;
    unsigned by[2];

    (void)state;
    serve(&world, BOTH, RACES, by, &stats);
    assert_int_equal(by[0] + by[1], RACES);
    print_message("answered %u, taken back %u\n", by[0], by[1]);
}

/* A call whose caller has gone, while the server drains: it ends all the same. */
static void a_lent_call_may_outlive_its_caller_and_the_grace(void **state)
{
    struct dom_rpc_result result = {0};
    struct dom_rpc_stats stats;
    struct world world;

    (void)state;
    start(&world, NOBODY);
    struct dom_rpc_client *client = client_of(&world);
    assert_false(dom_rpc_client_call(client, LEND, DOM_SLICE_LIT("ask"), 200, &result));
    assert_int_equal(result.status, 4);
    dom_rpc_client_destroy(client);
    dom_rpc_result_cleanup(&result);
    dom_rpc_server_shutdown(world.server);
    (void)pthread_mutex_lock(&world.lock);
    assert_int_equal(world.num_lent, 1);
    (void)pthread_mutex_unlock(&world.lock);
    while (!dom_rpc_server_draining(world.server)) {
        (void)sched_yield();
    }
    stop(&world, &stats);
    assert_int_equal(world.num_answered, 1);
    assert_int_equal(world.num_gone, 1);
    assert_int_equal(stats.calls_cancelled, 1);
    assert_int_equal(stats.calls_finished, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_thread_answers_and_the_io_thread_closes),
        cmocka_unit_test(a_call_that_is_taken_back_is_ended_here),
        cmocka_unit_test(both_at_once_give_one_answer),
        cmocka_unit_test(a_lent_call_may_outlive_its_caller_and_the_grace),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
