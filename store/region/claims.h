/* Who is just creating which record: a table of keyed (kind, id) digests held by commits in
 * flight, so that one id cannot come into being under two homes at once.
 *
 * Thread contract: any thread; 64 locks, by digest. Held for the length of one group commit.
 */
#ifndef DOM_STORE_REGION_CLAIMS_H
#define DOM_STORE_REGION_CLAIMS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

struct dom_claims;

struct dom_claim {
    struct dom_claim *next; /* in the table */
    struct dom_claim *mine; /* in the holder's own chain */
    uint8_t digest[32];
    int holder; /* region number */
};

struct dom_claims *dom_claims_new(void);
void dom_claims_destroy(struct dom_claims *claims);

#define DOM_CLAIM_MOVER (-1) /* holder: the placer, while it moves a record to another home region */

/* Fills *claim and puts it in and before *chainp, unless another holder has the digest: false then,
 * and claim->holder is that one.
 * The same holder may hold a digest several times. *claim must stay until released. */
bool dom_claims_take(struct dom_claims *claims, struct dom_claim *claim, struct dom_slice kind,
                     struct dom_slice id, int holder, struct dom_claim **chainp);
/* Releases a holder's whole chain and empties it. */
void dom_claims_release(struct dom_claims *claims, struct dom_claim **chainp);

#endif
