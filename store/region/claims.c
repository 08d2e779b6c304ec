#include "store/region/claims.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "store/crypto/sha256.h"

#define STRIPES 64U

struct stripe {
    pthread_mutex_t lock;
    struct dom_claim *first;
};

struct dom_claims {
    struct stripe stripes[STRIPES];
};

struct dom_claims *dom_claims_new(void)
{
    struct dom_claims *claims = calloc(1, sizeof(*claims));

    DOM_ASSERT(claims != NULL);
    for (size_t i = 0; i < STRIPES; i++) {
        DOM_ASSERT(pthread_mutex_init(&claims->stripes[i].lock, NULL) == 0);
    }
    return claims;
}

void dom_claims_destroy(struct dom_claims *claims)
{
    if (claims == NULL) {
        return;
    }
    for (size_t i = 0; i < STRIPES; i++) {
        DOM_ASSERT(claims->stripes[i].first == NULL);
        (void)pthread_mutex_destroy(&claims->stripes[i].lock);
    }
    free(claims);
}

static struct stripe *stripe_of(struct dom_claims *claims, const struct dom_claim *claim)
{
    return &claims->stripes[claim->digest[0] % STRIPES];
}

bool dom_claims_take(struct dom_claims *claims, struct dom_claim *claim, struct dom_slice kind,
                     struct dom_slice id, int holder, struct dom_claim **chainp)
{
    struct dom_sha256_stream stream;
    bool taken = true;

    dom_sha256_init(&stream);
    dom_sha256_update(&stream, kind);
    dom_sha256_update(&stream, dom_slice_of("", 1));
    dom_sha256_update(&stream, id);
    dom_sha256_final(&stream, claim->digest);
    claim->holder = holder;
    struct stripe *stripe = stripe_of(claims, claim);
    DOM_ASSERT(pthread_mutex_lock(&stripe->lock) == 0);
    for (const struct dom_claim *at = stripe->first; at != NULL && taken; at = at->next) {
        taken =
            at->holder == holder || memcmp(at->digest, claim->digest, sizeof(claim->digest)) != 0;
        claim->holder = taken ? holder : at->holder;
    }
    if (taken) {
        claim->next = stripe->first;
        stripe->first = claim;
    }
    DOM_ASSERT(pthread_mutex_unlock(&stripe->lock) == 0);
    if (taken) {
        claim->mine = *chainp;
        *chainp = claim;
    }
    return taken;
}

static void release_one(struct dom_claims *claims, struct dom_claim *claim)
{
    struct stripe *stripe = stripe_of(claims, claim);

    DOM_ASSERT(pthread_mutex_lock(&stripe->lock) == 0);
    struct dom_claim **at = &stripe->first;
    while (*at != claim) {
        DOM_ASSERT(*at != NULL);
        at = &(*at)->next;
    }
    *at = claim->next;
    DOM_ASSERT(pthread_mutex_unlock(&stripe->lock) == 0);
}

void dom_claims_release(struct dom_claims *claims, struct dom_claim **chainp)
{
    while (*chainp != NULL) {
        struct dom_claim *claim = *chainp;
        *chainp = claim->mine;
        release_one(claims, claim);
    }
}
