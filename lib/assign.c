/* SPDX-License-Identifier: MIT */
/*
 * The story of a managed bind.
 *
 *   port 0      choose the next port and claim it -> bind it, reuse flags off -> record it; busy: the next one
 *   a sentinel  the session has a port for it: bind that, as the program has it, and the kernel decides
 *               it has none: choose and claim -> nobody on any address? -> bind, reuse flags off -> record, pledge
 *
 * A port whose entry is free is claimed before it is bound, so that nobody else tries it. So is one that is left over,
 * from somebody who is gone or from this process itself; if the kernel says no, the entry was right, and is put back.
 * One whose entry says somebody else's who is there is bound first, and its entry taken only when the kernel has said
 * yes.
 */
#include "assign.h"

#include "holder.h"
#include "lock.h"
#include "owner.h"
#include "search.h"
#include "uncancelled.h"

#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

enum {
    MOST_JOINS = 64,      /* how often the session's own port may change under one bind */
    SETTLE_MS = 250,      /* how long another bind of the same sentinel may take before it counts as stuck */
    SETTLE_SELF_MS = 20,  /* the same where this process does it: maybe the very thread that a signal interrupted */
    SETTLE_PAUSE_US = 50, /* first pause between two looks; doubled up to a millisecond */
};

static int64_t now_ms(void) {
    struct timespec now = {0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

struct fp_deadline fp_deadline_in(int timeout_ms) {
    if (timeout_ms < 0)
        return (struct fp_deadline){INT64_MAX};
    return (struct fp_deadline){timeout_ms == 0 ? 0 : now_ms() + timeout_ms};
}

/* Whether a pass has to end. One that waits for nobody may still look at every port. */
static bool expired(struct fp_deadline deadline) {
    return deadline.at_ms != 0 && deadline.at_ms != INT64_MAX && now_ms() >= deadline.at_ms;
}

/* One allocation under way, in the memory of its caller. */
struct attempt {
    struct fp_bind *bind;
    struct freeport *fp;
    fp_owner self;
    struct fp_search search;
    fp_meaning meaning; /* of an entry that it claims */
    fp_owner was_owner; /* what a claimed entry said before; 0 where it was free */
    fp_meaning was_meaning;
    bool begun;
    bool conflict; /* the session's own port was refused for good */
};

enum choice {
    CHOICE_NONE,
    CHOICE_CLAIMED,  /* a free port, or one that is left over: claimed */
    CHOICE_OCCUPIED, /* somebody's who is there, and who may have closed it: bind it first */
    CHOICE_SESSION,  /* the session's own port for the sentinel */
};

/* Under the lock. */
static int begin(struct attempt *attempt) {
    struct freeport *fp = attempt->fp;
    unsigned protocol = attempt->bind->protocol;
    int name = fp_intern_name(fp->segment, &fp->name, attempt->self);
    int session = fp->has_session ? fp_intern_session(fp->segment, &fp->session, attempt->self) : 0;
    if (name < 0 || session < 0)
        return -ENOSPC;
    attempt->meaning = fp_meaning_of(FP_CLAIMED, attempt->bind->sentinel, (unsigned)name, (unsigned)session);
    fp_search_begin(&attempt->search, fp->segment, (unsigned)name, protocol, &fp->ranges[protocol],
                    fp->range_size[protocol], attempt->self);
    if (attempt->bind->pledge)
        attempt->search.twin = &fp->ranges[!protocol];
    attempt->begun = true;
    return 0;
}

/* The number that the session's sentinel has in the other protocol, if it can be had in this one. Under the lock. */
static uint16_t twin_port(struct attempt *attempt) {
    const struct fp_bind *bind = attempt->bind;
    fp_meaning meaning;
    uint16_t port =
        fp_index_find(attempt->fp->segment, &attempt->fp->session, !bind->protocol, bind->sentinel, &meaning);
    if (port == 0 || !fp_portset_has(&attempt->fp->ranges[bind->protocol], port) ||
        fp_hint(attempt->fp->segment->taken[bind->protocol], port))
        return 0;
    return port;
}

/*
 * Claims the entry that the search has found fit, unless anything has happened to it since. By its meaning first: that
 * tells two threads of one process apart, and two searches that found the same one left over.
 */
static bool claim(struct attempt *attempt, uint16_t port) {
    struct fp_segment *segment = attempt->fp->segment;
    unsigned protocol = attempt->bind->protocol;
    fp_owner owner = attempt->search.owner;
    fp_meaning meaning = attempt->search.meaning;
    if (owner != 0 &&
        !atomic_compare_exchange_strong(&fp_entry_at(segment, protocol, port)->meaning, &meaning, attempt->meaning))
        return false;
    if (!fp_entry_claim(segment, protocol, port, owner, attempt->self, attempt->meaning))
        return false;
    attempt->was_owner = owner;
    attempt->was_meaning = attempt->search.meaning;
    return true;
}

/* Whether the entry is nobody's who could still want it; a sentinel is its session's, whoever is there. */
static bool left_over(const struct attempt *attempt) {
    const struct fp_search *search = &attempt->search;
    return search->kind < FP_KIND_SENTINEL_LEFT &&
           (search->owner == attempt->self || fp_owner_gone_quick(search->owner));
}

static enum choice choose_locked(struct attempt *attempt, uint16_t *port) {
    struct fp_segment *segment = attempt->fp->segment;
    const struct fp_bind *bind = attempt->bind;
    unsigned protocol = bind->protocol;
    if (bind->sentinel) {
        fp_meaning meaning;
        *port = fp_index_find(segment, &attempt->fp->session, protocol, bind->sentinel, &meaning);
        if (*port)
            return CHOICE_SESSION;
        *port = twin_port(attempt);
        if (*port && fp_entry_claim(segment, protocol, *port, 0, attempt->self, attempt->meaning)) {
            attempt->was_owner = 0;
            fp_index_add(segment, &attempt->fp->session, protocol, bind->sentinel, *port);
            return CHOICE_CLAIMED;
        }
    }
    while ((*port = fp_search_next(&attempt->search)) != 0) {
        if (!left_over(attempt)) {
            fp_search_advance(&attempt->search, *port);
            return CHOICE_OCCUPIED;
        }
        if (!claim(attempt, *port))
            continue; /* somebody has claimed it since it was found fit: it is theirs */
        fp_search_advance(&attempt->search, *port);
        if (bind->sentinel)
            fp_index_add(segment, &attempt->fp->session, protocol, bind->sentinel, *port);
        return CHOICE_CLAIMED;
    }
    return CHOICE_NONE;
}

/* The next port to try, by one visit to the lock. -ENOSPC where there is no room for one more name or session. */
static int choose(struct attempt *attempt, uint16_t *port, enum choice *choice) {
    struct fp_locked locked;
    int error = 0;
    fp_lock(attempt->fp->segment, &locked);
    if (!attempt->begun)
        error = begin(attempt);
    if (error == 0)
        *choice = choose_locked(attempt, port);
    fp_unlock(&locked);
    return error;
}

/* The kernel's word on one port, for the program's own socket. */
static int bind_to(const struct fp_bind *bind, uint16_t port) {
    struct sockaddr_storage address;
    memcpy(&address, bind->address, bind->length);
    fp_address_set_port((struct sockaddr *)&address, port);
    return bind->fp->calls.bind(bind->fd, (struct sockaddr *)&address, bind->length) == 0 ? 0 : -errno;
}

static int bind_alone(const struct fp_bind *bind, uint16_t port) {
    struct fp_reuse reuse;
    fp_reuse_off(bind->fd, &reuse);
    int error = bind_to(bind, port);
    fp_reuse_restore(bind->fd, &reuse);
    return error;
}

static void record(struct attempt *attempt, uint16_t port) {
    fp_entry_record(attempt->fp->segment, attempt->bind->protocol, port, fp_with_state(attempt->meaning, FP_BOUND),
                    attempt->bind->address);
}

/* What was left over says again what it said. Killed half way: a claim of somebody who is gone. */
static void put_back(struct attempt *attempt, uint16_t port) {
    struct fp_entry *entry = fp_entry_at(attempt->fp->segment, attempt->bind->protocol, port);
    fp_meaning claimed = attempt->meaning;
    fp_owner self = attempt->self;
    atomic_compare_exchange_strong(&entry->meaning, &claimed, attempt->was_meaning);
    atomic_compare_exchange_strong(&entry->owner, &self, attempt->was_owner);
}

/* A try that came to nothing: EADDRINUSE alone means that the port is busy. */
static void give_up(struct attempt *attempt, uint16_t port, bool claimed, int error) {
    struct fp_segment *segment = attempt->fp->segment;
    unsigned protocol = attempt->bind->protocol;
    if (claimed && attempt->was_owner != 0) {
        put_back(attempt, port);
        claimed = false;
    }
    if (error == -EADDRINUSE) {
        fp_entry_refused(segment, protocol, port, attempt->search.serial, claimed ? attempt->self : 0);
        return;
    }
    if (claimed)
        fp_entry_release(segment, protocol, port, attempt->self);
    fp_search_withdraw(&attempt->search, port);
}

/* Port 0. */

static int bind_any(struct attempt *attempt, uint16_t *port) {
    const struct fp_bind *bind = attempt->bind;
    struct fp_reuse reuse;
    fp_reuse_off(bind->fd, &reuse);
    enum choice choice;
    int error;
    while ((error = choose(attempt, port, &choice)) == 0) {
        if (choice == CHOICE_NONE) {
            error = -EADDRINUSE;
            break;
        }
        error = bind_to(bind, *port);
        if (error == 0) {
            if (choice == CHOICE_OCCUPIED)
                fp_entry_take(attempt->fp->segment, bind->protocol, *port, attempt->self, attempt->meaning);
            record(attempt, *port);
            break;
        }
        give_up(attempt, *port, choice == CHOICE_CLAIMED, error);
        if (error != -EADDRINUSE)
            break;
        if (expired(bind->deadline)) {
            error = -ETIMEDOUT;
            break;
        }
    }
    fp_reuse_restore(bind->fd, &reuse);
    return error;
}

/* A sentinel. */

/* Free on every address and both families; and for the other protocol as well, where it is to have the same number. */
static int probe(struct attempt *attempt, uint16_t port) {
    struct freeport *fp = attempt->fp;
    unsigned protocol = attempt->bind->protocol;
    int error = fp_probe(&fp->calls, protocol, port);
    if (error != 0 || !attempt->search.twin)
        return error;
    if (fp_probe(&fp->calls, !protocol, port) == 0)
        return 0;
    fp_entry_refused(fp->segment, !protocol, port, attempt->search.serial, 0);
    return -EADDRINUSE;
}

/* Turns somebody else's entry into a claim of this session's, unless the session has got a port meanwhile. */
static bool seize(struct attempt *attempt, uint16_t port) {
    struct fp_segment *segment = attempt->fp->segment;
    const struct fp_bind *bind = attempt->bind;
    struct fp_locked locked;
    fp_meaning meaning;
    fp_lock(segment, &locked);
    bool seized = fp_index_find(segment, &attempt->fp->session, bind->protocol, bind->sentinel, &meaning) == 0 &&
                  claim(attempt, port);
    if (seized)
        fp_index_add(segment, &attempt->fp->session, bind->protocol, bind->sentinel, port);
    fp_unlock(&locked);
    return seized;
}

/* Keeps the same number of the other protocol for this session. It is no loss where somebody else was faster. */
static void pledge(struct attempt *attempt, uint16_t port) {
    struct fp_segment *segment = attempt->fp->segment;
    const struct fp_bind *bind = attempt->bind;
    if (!bind->pledge || !fp_portset_has(&attempt->fp->ranges[!bind->protocol], port))
        return;
    struct fp_locked locked;
    fp_meaning found, meaning = fp_with_state(attempt->meaning, FP_PLEDGED);
    fp_lock(segment, &locked);
    if (fp_index_find(segment, &attempt->fp->session, !bind->protocol, bind->sentinel, &found) == 0 &&
        !fp_hint(segment->taken[!bind->protocol], port) &&
        fp_entry_claim(segment, !bind->protocol, port, 0, attempt->self, meaning)) {
        fp_entry_record(segment, !bind->protocol, port, meaning, NULL);
        fp_index_add(segment, &attempt->fp->session, !bind->protocol, bind->sentinel, port);
    }
    fp_unlock(&locked);
}

/* The first bind of a sentinel in its session. -EADDRINUSE: try the next port; -EAGAIN: look at the session again. */
static int bind_first(struct attempt *attempt, uint16_t port, bool claimed) {
    int error = probe(attempt, port);
    if (error == 0 && !claimed) {
        if (!seize(attempt, port))
            return -EAGAIN;
        claimed = true;
    }
    if (error == 0)
        error = bind_alone(attempt->bind, port);
    if (error == 0) {
        record(attempt, port);
        pledge(attempt, port);
    } else {
        give_up(attempt, port, claimed, error);
    }
    return error;
}

/* Waits until whoever is about to bind the port has done so, or is gone, or takes too long. False for the last. */
static bool settled(struct attempt *attempt, uint16_t port, fp_owner owner, fp_meaning meaning) {
    struct fp_segment *segment = attempt->fp->segment;
    int64_t until = now_ms() + (owner == attempt->self ? SETTLE_SELF_MS : SETTLE_MS);
    if (attempt->bind->deadline.at_ms < until)
        until = attempt->bind->deadline.at_ms;
    long pause_us = SETTLE_PAUSE_US;
    while (fp_entry_meaning(segment, attempt->bind->protocol, port) == meaning) {
        if (fp_owner_gone_quick(owner))
            return true;
        if (now_ms() >= until)
            return false;
        struct timespec pause = {.tv_nsec = pause_us * 1000};
        nanosleep(&pause, NULL);
        if (pause_us < 1000)
            pause_us *= 2;
    }
    return true;
}

/* A stranger holds the session's port: the session is to have another one. */
static void forget(struct attempt *attempt, uint16_t port, fp_owner owner) {
    struct fp_locked locked;
    fp_lock(attempt->fp->segment, &locked);
    fp_entry_refused(attempt->fp->segment, attempt->bind->protocol, port, attempt->search.serial, owner);
    fp_unlock(&locked);
}

static bool stranger_holds(struct attempt *attempt, uint16_t port, fp_owner owner) {
    const struct fp_segment_facts *facts = &attempt->fp->facts;
    pid_t likely = fp_owner_gone(owner) ? 0 : fp_owner_pid(owner);
    return fp_held_by_stranger(attempt->bind->protocol, port, likely, facts->device, facts->inode);
}

/*
 * The session has the port, and nobody who is there holds it by the table: a server that ended, or the other protocol's
 * half. Or somebody may, and the program's flags would let it join whoever it is. It is bound as if it were fresh,
 * since a stranger may have come; where that fails because of one of our own (a worker, a daemon's child, a connection
 * in TIME_WAIT), the program's own flags decide.
 */
static int bind_again(struct attempt *attempt, uint16_t port, fp_owner owner, fp_meaning meaning) {
    struct fp_entry *entry = fp_entry_at(attempt->fp->segment, attempt->bind->protocol, port);
    fp_meaning expected = meaning, claim = fp_with_state(meaning, FP_CLAIMED);
    if (fp_state(meaning) == FP_CLAIMED) {
        /* Its claimant died. Whoever becomes its owner is the one to go on. */
        if (!atomic_compare_exchange_strong(&entry->owner, &owner, attempt->self))
            return -EAGAIN;
    } else {
        if (!atomic_compare_exchange_strong(&entry->meaning, &expected, claim))
            return -EAGAIN;
        /* Killed here: a claim of somebody who is gone, or stuck; the next one goes on from it. */
        atomic_store(&entry->owner, attempt->self);
    }
    attempt->meaning = claim;
    int error = bind_alone(attempt->bind, port);
    if (error == -EADDRINUSE) {
        if (stranger_holds(attempt, port, owner)) {
            forget(attempt, port, attempt->self);
            return -EAGAIN;
        }
        error = bind_to(attempt->bind, port);
    }
    if (error == 0) {
        record(attempt, port);
    } else {
        atomic_store(&entry->meaning, fp_with_state(meaning, FP_BOUND));
        atomic_store(&entry->owner, owner);
    }
    return error;
}

/* Whether a bind of its own flags may succeed beside a stranger, who came when whoever had the port had closed it. */
static bool may_join(const struct fp_bind *bind) {
    struct fp_reuse reuse;
    fp_reuse_get(bind->fd, &reuse);
    return reuse.port || (bind->protocol == FP_UDP_INDEX && reuse.address);
}

/* One more bind of a sentinel for which the session has a port. -EAGAIN: look at the session again. */
static int bind_session(struct attempt *attempt, uint16_t port) {
    struct fp_segment *segment = attempt->fp->segment;
    unsigned protocol = attempt->bind->protocol;
    fp_owner owner = fp_entry_owner(segment, protocol, port);
    fp_meaning meaning = fp_entry_meaning(segment, protocol, port);
    if (!fp_is_sentinel(meaning) || fp_requested(meaning) != attempt->bind->sentinel)
        return -EAGAIN;
    bool gone = fp_owner_gone(owner);
    if (fp_state(meaning) == FP_CLAIMED && !gone && settled(attempt, port, owner, meaning))
        return -EAGAIN;
    if (gone || fp_state(meaning) == FP_PLEDGED || (fp_state(meaning) == FP_BOUND && may_join(attempt->bind)))
        return bind_again(attempt, port, owner, meaning);
    int error = bind_to(attempt->bind, port);
    if (error == -EADDRINUSE && stranger_holds(attempt, port, owner)) {
        forget(attempt, port, owner);
        return -EAGAIN;
    }
    return error;
}

static int bind_sentinel(struct attempt *attempt, uint16_t *port) {
    int error;
    unsigned joins = 0;
    enum choice choice;
    while ((error = choose(attempt, port, &choice)) == 0) {
        if (choice == CHOICE_NONE && attempt->search.twin) {
            attempt->begun = false; /* no number is free in both protocols: one in this protocol, then */
            attempt->bind->pledge = false;
            attempt->search.twin = NULL;
            continue;
        }
        if (choice == CHOICE_NONE)
            return -EADDRINUSE;
        if (choice == CHOICE_SESSION) {
            error = bind_session(attempt, *port);
            attempt->conflict = error == -EADDRINUSE;
            if (error != -EAGAIN || ++joins == MOST_JOINS)
                return error == -EAGAIN ? -EADDRINUSE : error;
        } else {
            error = bind_first(attempt, *port, choice == CHOICE_CLAIMED);
            if (error != -EADDRINUSE && error != -EAGAIN)
                return error;
        }
        if (expired(attempt->bind->deadline))
            return -ETIMEDOUT;
    }
    return error;
}

int fp_bind(const struct fp_bind *bind, uint16_t *port, bool *conflict) {
    struct fp_bind copy = *bind;
    struct attempt attempt = {.bind = &copy, .fp = bind->fp, .self = fp_owner_self()};
    int cancel = fp_cancel_off();
    int error = bind->sentinel ? bind_sentinel(&attempt, port) : bind_any(&attempt, port);
    fp_cancel_restore(cancel);
    if (conflict)
        *conflict = attempt.conflict;
    return error;
}

/* Ports without a socket. */

static int reserve(struct attempt *attempt, fp_owner owner, uint16_t *port) {
    struct fp_segment *segment = attempt->fp->segment;
    unsigned protocol = attempt->bind->protocol;
    enum choice choice;
    int error;
    while ((error = choose(attempt, port, &choice)) == 0) {
        if (choice == CHOICE_NONE)
            return -EADDRINUSE;
        error = fp_probe(&attempt->fp->calls, protocol, *port);
        if (error == 0 && choice == CHOICE_OCCUPIED && !claim(attempt, *port))
            error = -EADDRINUSE;
        if (error == 0) {
            fp_meaning reserved = fp_with_state(attempt->meaning, FP_RESERVED);
            fp_entry_record(segment, protocol, *port, reserved, NULL);
            if (owner != attempt->self)
                fp_entry_take(segment, protocol, *port, owner, reserved);
            return 0;
        }
        give_up(attempt, *port, choice == CHOICE_CLAIMED, error);
        if (error != -EADDRINUSE)
            return error;
        if (expired(attempt->bind->deadline))
            return -ETIMEDOUT;
    }
    return error;
}

int fp_get(struct freeport *fp, enum freeport_protocol protocol, fp_owner owner, int timeout_ms, uint16_t *port) {
    struct fp_bind bind = {.fp = fp,
                           .protocol = protocol == FREEPORT_TCP ? FP_TCP_INDEX : FP_UDP_INDEX,
                           .deadline = fp_deadline_in(timeout_ms)};
    struct attempt attempt = {.bind = &bind, .fp = fp, .self = fp_owner_self()};
    if (fp->range_size[bind.protocol] == 0)
        return -EINVAL;
    int cancel = fp_cancel_off();
    int error = reserve(&attempt, owner, port);
    fp_cancel_restore(cancel);
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

void fp_note_explicit(struct freeport *fp, unsigned protocol, uint16_t port, const struct sockaddr *address) {
    struct fp_segment *segment = fp->segment;
    fp_owner self = fp_owner_self();
    fp_owner owner = fp_entry_owner(segment, protocol, port);
    fp_meaning meaning = fp_entry_meaning(segment, protocol, port);
    bool sentinel = fp_is_sentinel(meaning);
    if (owner != 0 && sentinel && fp->has_session && fp_label_is(&segment->sessions[fp_session(meaning)], &fp->session))
        return; /* this session's own, bound by its real number */
    if (owner == self && !sentinel)
        return; /* "bind 0, close, bind that number": it is noted already */
    /* Somebody else's who is there keeps it (a parent that handed the number on); but not a sentinel: it is ours now.
     */
    if (owner != 0 && !sentinel && !fp_owner_gone_quick(owner))
        return;
    struct fp_locked locked;
    fp_lock(segment, &locked);
    int name = fp_intern_name(segment, &fp->name, self);
    int session = fp->has_session ? fp_intern_session(segment, &fp->session, self) : 0;
    if (name >= 0 && session >= 0) {
        fp_meaning noted = fp_meaning_of(FP_EXPLICIT, port, (unsigned)name, (unsigned)session);
        if (fp_entry_claim(segment, protocol, port, owner, self, noted))
            fp_entry_record(segment, protocol, port, noted, address);
    }
    fp_unlock(&locked);
}
