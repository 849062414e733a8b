/* SPDX-License-Identifier: MIT */
#include "attempt.h"

#include "clock.h"
#include "lock.h"
#include "owner.h"

#include <errno.h>
#include <string.h>

int64_t fp_attempt_until(struct fp_attempt *attempt) {
    int timeout_ms = attempt->bind->timeout_ms;
    if (timeout_ms < 0)
        return INT64_MAX;
    if (attempt->until_ms == 0)
        attempt->until_ms = fp_now_ms() + timeout_ms;
    return attempt->until_ms;
}

bool fp_attempt_expired(struct fp_attempt *attempt) {
    return attempt->bind->timeout_ms > 0 && fp_now_ms() >= fp_attempt_until(attempt);
}

/* Makes the slots of a new name and a new session under the lock, so that each text gets one slot only. */
static int intern(struct fp_attempt *attempt, unsigned *name, unsigned *session) {
    struct freeport *fp = attempt->fp;
    struct fp_segment *segment = fp->segment;
    attempt->reclaimed = atomic_load(&segment->header.reclaimed);
    int found_name = fp_find_name(segment, &fp->name);
    int found_session = fp->has_session ? fp_find_session(segment, &fp->session) : 0;
    if (found_name < 0 || found_session < 0) {
        struct fp_locked locked;
        fp_lock(segment, &locked);
        found_name = fp_intern_name(segment, &fp->name, attempt->self);
        found_session = fp->has_session ? fp_intern_session(segment, &fp->session, attempt->self) : 0;
        fp_unlock(&locked);
        attempt->reclaimed = atomic_load(&segment->header.reclaimed);
    }
    if (found_name < 0 || found_session < 0)
        return -ENOSPC;
    *name = (unsigned)found_name;
    *session = (unsigned)found_session;
    return 0;
}

static fp_meaning claim_of(const struct fp_attempt *attempt, unsigned name, unsigned session) {
    const struct fp_bind *bind = attempt->bind;
    fp_meaning named = bind->named[bind->protocol] ? FP_NAMED : 0;
    return fp_with_serial(fp_meaning_of(FP_CLAIMED, bind->sentinel, name, session) | named, attempt->search.serial);
}

int fp_attempt_begin(struct fp_attempt *attempt, const struct fp_bind *bind) {
    unsigned name, session;
    attempt->bind = bind;
    attempt->fp = bind->fp;
    attempt->self = bind->owner ? bind->owner : fp_owner_self();
    attempt->until_ms = 0;
    attempt->lost = false;
    int error = intern(attempt, &name, &session);
    if (error != 0)
        return error;
    fp_search_begin(&attempt->search, bind->fp->segment, name, bind->protocol, bind->fp->ranges[bind->protocol],
                    attempt->self);
    attempt->meaning = claim_of(attempt, name, session);
    return 0;
}

bool fp_attempt_claim(struct fp_attempt *attempt, uint16_t port) {
    struct fp_segment *segment = attempt->fp->segment;
    unsigned protocol = attempt->bind->protocol;
    fp_owner owner = attempt->search.owner;
    fp_meaning found = attempt->search.meaning;
    if (owner == 0 ? !fp_entry_claim(segment, protocol, port, 0, attempt->self, attempt->meaning)
                   : !fp_entry_adopt(segment, protocol, port, owner, attempt->self, found, attempt->meaning))
        return false;
    attempt->was_owner = owner;
    attempt->was_meaning = found;
    return true;
}

/* True if the entry can be claimed: its owner is dead or is this process, and it is not a sentinel's. */
static bool left_over(struct fp_attempt *attempt) {
    struct fp_search *search = &attempt->search;
    return search->kind < FP_KIND_SENTINEL_LEFT &&
           (search->owner == attempt->self || fp_search_gone(search, search->owner));
}

enum fp_choice fp_attempt_next(struct fp_attempt *attempt, uint16_t *port) {
    while ((*port = fp_search_next(&attempt->search)) != 0) {
        bool occupied = !left_over(attempt);
        if (!occupied && !fp_attempt_claim(attempt, *port))
            continue; /* another process has claimed the entry since the search read it */
        fp_search_advance(&attempt->search, *port);
        return occupied ? FP_CHOICE_OCCUPIED : FP_CHOICE_CLAIMED;
    }
    return FP_CHOICE_NONE;
}

int fp_attempt_bind(const struct fp_attempt *attempt, uint16_t port) {
    const struct fp_bind *bind = attempt->bind;
    struct sockaddr_storage address;
    memcpy(&address, bind->address, bind->length);
    fp_address_set_port((struct sockaddr *)&address, port);
    fp_bind_call *call = bind->bind ? bind->bind : bind->fp->calls.bind;
    return call(bind->fd, (struct sockaddr *)&address, bind->length) == 0 ? 0 : -errno;
}

int fp_attempt_bind_alone(const struct fp_attempt *attempt, uint16_t port) {
    struct fp_reuse reuse;
    fp_reuse_off(attempt->bind->fd, &reuse);
    int error = fp_attempt_bind(attempt, port);
    fp_reuse_restore(attempt->bind->fd, &reuse);
    if (error == 0)
        fp_reuse_group(&attempt->fp->calls, attempt->bind->fd, &reuse);
    return error;
}

void fp_attempt_record(struct fp_attempt *attempt, uint16_t port) {
    struct fp_segment *segment = attempt->fp->segment;
    const struct fp_bind *bind = attempt->bind;
    unsigned name, session;
    /* Unused labels were emptied since the meaning was made, ours perhaps too. From the claim on they are in use. */
    if (atomic_load(&segment->header.reclaimed) != attempt->reclaimed && intern(attempt, &name, &session) == 0)
        attempt->meaning = claim_of(attempt, name, session);
    fp_entry_record(segment, bind->protocol, port, fp_with_state(attempt->meaning, FP_BOUND) | FP_HAD, bind->address);
}

/* Gives an entry that was left over its old meaning back. A crash here leaves a claim with a dead owner. */
static void put_back(struct fp_attempt *attempt, uint16_t port) {
    struct fp_entry *entry = fp_entry_at(attempt->fp->segment, attempt->bind->protocol, port);
    fp_meaning claimed = attempt->meaning;
    fp_owner self = attempt->self;
    /* An old claim comes back as a bound port: its claimant may have given it up in vain while this process had it. */
    fp_meaning was = attempt->was_meaning;
    if (fp_state(was) == FP_CLAIMED && !fp_is_sentinel(was))
        was = fp_with_state(was, FP_BOUND);
    atomic_compare_exchange_strong(&entry->meaning, &claimed, was);
    atomic_compare_exchange_strong(&entry->owner, &self, attempt->was_owner);
}

void fp_attempt_give_up(struct fp_attempt *attempt, uint16_t port, bool claimed, int error) {
    struct fp_segment *segment = attempt->fp->segment;
    unsigned protocol = attempt->bind->protocol;
    if (claimed && attempt->was_owner != 0) {
        put_back(attempt, port);
        claimed = false;
    }
    fp_meaning mine = attempt->meaning;
    if (claimed && !atomic_compare_exchange_strong(&fp_entry_at(segment, protocol, port)->meaning, &mine,
                                                   fp_meaning_of(FP_BUSY, 0, 0, 0)))
        claimed = false; /* another process has bound the port meanwhile, and owns the entry */
    if (error == -EADDRINUSE) {
        fp_entry_refused(segment, protocol, port, attempt->search.serial, claimed ? attempt->self : 0);
        return;
    }
    if (claimed)
        fp_entry_release(segment, protocol, port, attempt->self);
    fp_search_withdraw(&attempt->search, port);
}
