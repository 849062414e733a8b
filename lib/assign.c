/* SPDX-License-Identifier: MIT */
/*
 * The story of a managed bind: to port 0 here, to a sentinel in sentinel.c.
 *
 *   port 0      choose the next port and claim it -> bind it, reuse flags off -> record it; busy: the next one
 *
 * Nothing of it takes the lock. The name's cursor puts the processes in sequence, the claim of an entry is a
 * compare-and-swap, and the kernel's bind has the last word.
 *
 * A port is claimed before it is bound, so that nobody else tries it or is given it: one whose entry is free, one that
 * is left over, and one that is somebody else's who is there and may have closed it. If the kernel says no, the entry
 * was right, and is put back.
 */
#include "assign.h"

#include "attempt.h"
#include "compat.h"
#include "lock.h"
#include "owner.h"
#include "sentinel.h"
#include "uncancelled.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>

/* Whether the program's socket may have an address that is not the host's. */
static bool may_be_foreign(int fd) {
    int free_bind = 0, transparent = 0;
    socklen_t length = sizeof free_bind;
    getsockopt(fd, IPPROTO_IP, IP_FREEBIND, &free_bind, &length);
    getsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &transparent, &length);
    return free_bind || transparent;
}

/*
 * A port that somebody was given, maybe closed, and maybe left to a child may be held on another address than the one
 * that is to be bound, where the kernel would not mind; a sentinel's may be bound on several. -EADDRINUSE where it is;
 * where it is and the kernel minds the address itself, what it says of that.
 */
static int held_elsewhere(const struct fp_attempt *attempt, uint16_t port) {
    const struct fp_bind *bind = attempt->bind;
    const struct fp_calls *calls = &bind->fp->calls;
    const struct fp_entry *entry = fp_entry_at(bind->fp->segment, bind->protocol, port);
    if (attempt->search.owner == 0 ||
        (!fp_is_sentinel(attempt->search.meaning) && fp_entry_meets(entry, bind->address)) ||
        fp_probe(calls, bind->protocol, port) != -EADDRINUSE)
        return 0;
    int error = fp_probe_address(calls, bind->protocol, bind->address, bind->length, port, may_be_foreign(bind->fd));
    return error == -EADDRNOTAVAIL ? error : -EADDRINUSE;
}

/* From port to port until one can be had, by the kernel's word. */
static int bind_next(struct fp_attempt *attempt, uint16_t *port) {
    for (;;) {
        enum fp_choice choice = fp_attempt_next(attempt, port);
        if (choice == FP_CHOICE_NONE)
            return -EADDRINUSE;
        int error = held_elsewhere(attempt, *port);
        if (error == 0 && choice == FP_CHOICE_OCCUPIED) {
            if (!fp_attempt_claim(attempt, *port))
                continue; /* reserved, pledged or claimed since it was found fit */
            choice = FP_CHOICE_CLAIMED;
        }
        if (error == 0)
            error = fp_attempt_bind(attempt, *port);
        if (error == 0) {
            fp_attempt_record(attempt, *port);
            return 0;
        }
        fp_attempt_give_up(attempt, *port, choice == FP_CHOICE_CLAIMED, error);
        if (error != -EADDRINUSE)
            return error;
        if (fp_attempt_expired(attempt))
            return -ETIMEDOUT;
    }
}

/*
 * Without signals, where the socket has reuse flags: a handler that does not return would leave them off. Where it has
 * none, there is nothing to put back, and what a port was claimed for, others may have.
 */
static int bind_next_alone(struct fp_attempt *attempt, struct fp_reuse *reuse, uint16_t *port) {
    sigset_t all, before;
    fp_reuse_get(attempt->bind->fd, reuse);
    if (!reuse->address && !reuse->port)
        return bind_next(attempt, port);
    sigfillset(&all);
    fp_signal_mask(SIG_SETMASK, &all, &before);
    fp_reuse_clear(attempt->bind->fd, reuse);
    int error = bind_next(attempt, port);
    fp_reuse_restore(attempt->bind->fd, reuse);
    fp_signal_mask(SIG_SETMASK, &before, NULL);
    return error;
}

static int bind_any(const struct fp_bind *bind, uint16_t *port) {
    struct fp_attempt attempt;
    struct fp_reuse reuse;
    int error = fp_attempt_begin(&attempt, bind);
    if (error != 0)
        return error;
    attempt.search.claims = true;
    fp_search_even_first(&attempt.search);
    error = bind_next_alone(&attempt, &reuse, port);
    if (error == 0)
        fp_reuse_group(&bind->fp->calls, bind->fd, &reuse);
    return error;
}

int fp_bind(const struct fp_bind *bind, uint16_t *port, bool *conflict) {
    *conflict = false;
    if (bind->sentinel)
        return fp_bind_sentinel(bind, port, conflict);
    int type = fp_cancel_later();
    int error = bind_any(bind, port);
    fp_cancel_as_before(type);
    return error;
}

/* Ports without a socket. */

static int reserve(struct fp_attempt *attempt, fp_owner owner, uint16_t *port) {
    struct fp_segment *segment = attempt->fp->segment;
    unsigned protocol = attempt->bind->protocol;
    for (;;) {
        enum fp_choice choice = fp_attempt_next(attempt, port);
        if (choice == FP_CHOICE_NONE)
            return -EADDRINUSE;
        int error = fp_probe(&attempt->fp->calls, protocol, *port);
        if (error == 0 && choice == FP_CHOICE_OCCUPIED && !fp_attempt_claim(attempt, *port))
            error = -EADDRINUSE;
        fp_meaning claimed = attempt->meaning, reserved = fp_with_state(claimed, FP_RESERVED);
        if (error == 0 &&
            !atomic_compare_exchange_strong(&fp_entry_at(segment, protocol, *port)->meaning, &claimed, reserved))
            continue; /* somebody has bound it meanwhile */
        if (error == 0) {
            fp_entry_record(segment, protocol, *port, reserved, NULL);
            if (owner != attempt->self)
                fp_entry_take(segment, protocol, *port, owner, reserved);
            return 0;
        }
        fp_attempt_give_up(attempt, *port, choice == FP_CHOICE_CLAIMED, error);
        if (error != -EADDRINUSE)
            return error;
        if (fp_attempt_expired(attempt))
            return -ETIMEDOUT;
    }
}

int fp_get(struct freeport *fp, enum freeport_protocol protocol, fp_owner owner, int timeout_ms, uint16_t *port) {
    struct fp_bind bind = {
        .fp = fp, .protocol = protocol == FREEPORT_TCP ? FP_TCP_INDEX : FP_UDP_INDEX, .timeout_ms = timeout_ms};
    struct fp_attempt attempt;
    if (fp->ranges[bind.protocol]->size == 0)
        return -EINVAL;
    int type = fp_cancel_later();
    int error = fp_attempt_begin(&attempt, &bind);
    if (error == 0)
        error = reserve(&attempt, owner, port);
    fp_cancel_as_before(type);
    return error;
}

int fp_release(struct freeport *fp, enum freeport_protocol protocol, fp_owner owner, uint16_t port) {
    unsigned index = protocol == FREEPORT_TCP ? FP_TCP_INDEX : FP_UDP_INDEX;
    fp_owner holder = fp_entry_owner(fp->segment, index, port);
    if (holder == 0)
        return -ENOENT;
    if (holder != owner && !fp_owner_gone(holder))
        return -EPERM;
    struct fp_locked locked;
    fp_lock(fp->segment, &locked);
    fp_entry_release(fp->segment, index, port, holder);
    fp_unlock(&locked);
    return 0;
}

/*
 * The port of a session's sentinel was bound by its number. Where it was kept, the session's clients are to find it
 * now; where its server is gone, `self` is the server.
 */
static void fulfil(struct fp_segment *segment, fp_owner self, unsigned protocol, uint16_t port, fp_owner owner,
                   fp_meaning meaning, const struct sockaddr *address) {
    fp_meaning bound = fp_with_state(meaning, FP_BOUND) | FP_HAD | FP_BY_NUMBER;
    bool server_gone = fp_state(meaning) == FP_BOUND && fp_owner_gone_quick(owner);
    if ((!fp_is_kept(meaning) && !server_gone) ||
        !atomic_compare_exchange_strong(&fp_entry_at(segment, protocol, port)->meaning, &meaning, bound))
        return;
    /* Killed here: bound, with its old owner and without its address. */
    atomic_store(&fp_entry_at(segment, protocol, port)->owner, self);
    fp_entry_record(segment, protocol, port, bound, address);
}

void fp_note_explicit(struct freeport *fp, fp_owner for_whom, unsigned protocol, uint16_t port,
                      const struct sockaddr *address) {
    struct fp_segment *segment = fp->segment;
    fp_owner self = for_whom ? for_whom : fp_owner_self();
    fp_owner owner = fp_entry_owner(segment, protocol, port);
    fp_meaning meaning = fp_entry_meaning(segment, protocol, port);
    bool sentinel = fp_is_sentinel(meaning);
    if (owner != 0 && sentinel && fp->has_session && fp_is_of_session(segment, meaning, &fp->session)) {
        fulfil(segment, self, protocol, port, owner, meaning, address);
        return;
    }
    bool there = owner != 0 && !fp_owner_gone_quick(owner);
    /* "bind 0, close, bind that number", maybe by a child: it is noted already, but for the address. */
    if (there && !sentinel) {
        fp_entry_move(segment, protocol, port, address);
        return;
    }
    /* Another session's server on another address is there still. On the same one, the kernel has said that it is not.
     */
    if (there && fp_state(meaning) == FP_BOUND && !fp_entry_meets(fp_entry_at(segment, protocol, port), address))
        return;
    struct fp_locked locked;
    fp_lock(segment, &locked);
    uint32_t serial = atomic_fetch_add_explicit(&segment->header.search, 1, memory_order_relaxed);
    int name = fp_intern_name(segment, &fp->name, self);
    int session = fp->has_session ? fp_intern_session(segment, &fp->session, self) : 0;
    if (name >= 0 && session >= 0) {
        fp_meaning noted = fp_meaning_of(FP_EXPLICIT, port, (unsigned)name, (unsigned)session);
        noted = fp_with_serial(noted, serial);
        if (fp_entry_claim(segment, protocol, port, owner, self, noted))
            fp_entry_record(segment, protocol, port, noted, address);
    }
    fp_unlock(&locked);
}
