/* SPDX-License-Identifier: MIT */
/*
 * The story of a bind to a sentinel.
 *
 *   the session has a port for it: bind that, as the program has it, and the kernel decides
 *   it has none: choose and claim -> nobody on any address? -> bind, reuse flags off -> record, pledge
 *
 * The lock makes one port of many binds of one sentinel at the same moment: under it the session's port is looked up,
 * and the claim of a new one is entered in the index. Where it is not to be had, the index does: one claim of several
 * comes to stand in it, and the others are given up.
 */
#include "sentinel.h"

#include "attempt.h"
#include "clock.h"
#include "holder.h"
#include "lock.h"
#include "owner.h"
#include "uncancelled.h"

#include <errno.h>
#include <time.h>

enum {
    MOST_JOINS = 4096,    /* how often others may be faster, each time that the session's own port is looked at */
    SETTLE_MS = 250,      /* how long another bind of the same sentinel may take before it counts as stuck */
    SETTLE_PAUSE_US = 50, /* first pause between two looks; doubled up to a millisecond */
};

/* The session's own port for the sentinel, and what its entry means; 0 where it has none. */
static uint16_t session_port(const struct fp_attempt *attempt, unsigned protocol) {
    fp_meaning meaning;
    return fp_index_find(attempt->fp->segment, &attempt->fp->session, protocol, attempt->bind->sentinel, &meaning);
}

/* Whether the owner of a session's port is gone. The process whose call this is, is there: /proc need not say so. */
static bool owner_gone(const struct fp_attempt *attempt, fp_owner owner) {
    return owner != attempt->self && fp_owner_gone(owner);
}

/* Makes a port, whose entry is claimed for it, the session's. False where the session has got one meanwhile. */
static bool enter(struct fp_attempt *attempt, unsigned protocol, uint16_t port) {
    return fp_index_add(attempt->fp->segment, &attempt->fp->session, protocol, attempt->bind->sentinel, port) == port;
}

/* The number that the session's sentinel has in the other protocol, if it can be had in this one: claimed; or 0. */
static uint16_t claim_twin(struct fp_attempt *attempt) {
    struct fp_segment *segment = attempt->fp->segment;
    unsigned protocol = attempt->bind->protocol;
    uint16_t port = session_port(attempt, !protocol);
    if (port == 0 || !fp_portset_has(&attempt->fp->ranges[protocol]->ports, port) ||
        fp_hint(segment->taken[protocol], port) ||
        !fp_entry_claim(segment, protocol, port, 0, attempt->self, attempt->meaning))
        return 0;
    attempt->was_owner = 0;
    return port;
}

/* In a session that has a name, a sentinel gets the same port each time, as long as nobody else has it. */
static void begin_at_place(struct fp_attempt *attempt) {
    if (attempt->fp->named && !attempt->search.placed)
        fp_search_place(&attempt->search, fp_text_place(&attempt->fp->session, attempt->bind->sentinel));
}

/* What was asked for, in words of the settings; 0: any port will do. */
static uint16_t asked_for(const struct fp_attempt *attempt) {
    const struct fp_pins *pins = attempt->fp->pins;
    return pins && pins->count > 0 ? fp_pinned(pins, attempt->bind->protocol, attempt->bind->sentinel) : 0;
}

/* Claims the one port that was asked for, unless a live process has it, or the kernel refused it in this search. */
static enum fp_choice claim_asked(struct fp_attempt *attempt, uint16_t asked, uint16_t *port) {
    struct fp_segment *segment = attempt->fp->segment;
    unsigned protocol = attempt->bind->protocol;
    fp_owner owner = fp_entry_owner(segment, protocol, asked);
    uint32_t refused = fp_patience_serial(atomic_load(&fp_entry_at(segment, protocol, asked)->patience));
    attempt->search.kind = FP_KIND_PLACE;
    attempt->search.placed = true;
    attempt->search.owner = owner;
    attempt->search.meaning = fp_entry_meaning(segment, protocol, asked);
    if (refused == attempt->search.serial || !fp_owner_gone_quick(owner) || !fp_attempt_claim(attempt, asked))
        return FP_CHOICE_NONE;
    *port = asked;
    return FP_CHOICE_CLAIMED;
}

/* The session has another port than the one that is asked for now, and no live process has it: it is given up. */
static bool give_up_other(struct fp_attempt *attempt, uint16_t asked, uint16_t port) {
    struct fp_segment *segment = attempt->fp->segment;
    unsigned protocol = attempt->bind->protocol;
    fp_owner owner = fp_entry_owner(segment, protocol, port);
    if (port == 0 || port == asked || !fp_owner_gone_quick(owner))
        return false;
    fp_entry_release(segment, protocol, port, owner);
    return true;
}

/* The next port to try; *session: it is the one that the session has. By one visit to the lock. */
static enum fp_choice choose(struct fp_attempt *attempt, uint16_t *port, bool *session) {
    struct fp_locked locked;
    enum fp_choice choice = FP_CHOICE_CLAIMED;
    fp_lock_alone(attempt->fp->segment, &locked);
    uint16_t asked = asked_for(attempt);
    *port = session_port(attempt, attempt->bind->protocol);
    if (asked != 0 && give_up_other(attempt, asked, *port))
        *port = 0;
    *session = *port != 0;
    if (*port == 0 && asked != 0) {
        choice = claim_asked(attempt, asked, port);
    } else if (*port == 0) {
        *port = claim_twin(attempt);
        if (*port == 0)
            begin_at_place(attempt);
        if (*port == 0)
            choice = fp_attempt_next(attempt, port);
    }
    if (*port != 0 && !*session && choice == FP_CHOICE_CLAIMED && !enter(attempt, attempt->bind->protocol, *port)) {
        fp_attempt_give_up(attempt, *port, true, -EAGAIN);
        *port = session_port(attempt, attempt->bind->protocol);
        *session = true;
    }
    fp_unlock_alone(&locked);
    return choice;
}

/*
 * Free on every address and both families; and for the other protocol as well, where it is to have the same number. A
 * probe that can't be made (no descriptor left, a sandbox) proves nothing: the program's own bind has the last word.
 */
static int probe(struct fp_attempt *attempt, uint16_t port) {
    struct freeport *fp = attempt->fp;
    unsigned protocol = attempt->bind->protocol;
    if (fp_probe(&fp->calls, protocol, port) == -EADDRINUSE)
        return -EADDRINUSE;
    if (!attempt->search.twin || fp_probe(&fp->calls, !protocol, port) != -EADDRINUSE)
        return 0;
    fp_entry_refused(fp->segment, !protocol, port, attempt->search.serial, 0);
    return -EADDRINUSE;
}

/* Turns somebody else's entry into a claim of this session's, unless the session has got a port meanwhile. */
static bool seize(struct fp_attempt *attempt, uint16_t port) {
    struct fp_locked locked;
    fp_lock_alone(attempt->fp->segment, &locked);
    bool seized = session_port(attempt, attempt->bind->protocol) == 0 && fp_attempt_claim(attempt, port);
    if (seized && !enter(attempt, attempt->bind->protocol, port)) {
        fp_attempt_give_up(attempt, port, true, -EAGAIN);
        seized = false;
    }
    fp_unlock_alone(&locked);
    return seized;
}

/* Keeps the same number of the other protocol for this session. It is no loss where somebody else was faster. */
static void pledge(struct fp_attempt *attempt, uint16_t port) {
    struct fp_segment *segment = attempt->fp->segment;
    unsigned other = !attempt->bind->protocol;
    if (!attempt->search.twin || !fp_portset_has(&attempt->fp->ranges[other]->ports, port))
        return;
    struct fp_locked locked;
    fp_meaning meaning = fp_with_state(attempt->meaning & ~FP_NAMED, FP_PLEDGED);
    if (attempt->bind->named[other])
        meaning |= FP_NAMED;
    fp_lock_alone(segment, &locked);
    if (session_port(attempt, other) == 0 && !fp_hint(segment->taken[other], port) &&
        fp_entry_claim(segment, other, port, 0, attempt->self, meaning)) {
        fp_entry_record(segment, other, port, meaning, NULL);
        if (!enter(attempt, other, port))
            fp_entry_release(segment, other, port, attempt->self);
    }
    fp_unlock_alone(&locked);
}

/* Whether the session's port is held for sure: by the socket that was bound to it last, which is there still. */
static bool proved(struct fp_attempt *attempt, uint16_t port) {
    const struct fp_entry *entry = fp_entry_at(attempt->fp->segment, attempt->bind->protocol, port);
    uint64_t holder = atomic_load_explicit(&entry->holder, memory_order_relaxed);
    struct fp_holder where = {.pid = (pid_t)(holder >> 32),
                              .fd = (int)(uint32_t)holder,
                              .socket = atomic_load_explicit(&entry->socket, memory_order_relaxed)};
    return fp_holder_proved(&where);
}

static void note_holder(struct fp_attempt *attempt, uint16_t port, const struct fp_holder *where) {
    struct fp_entry *entry = fp_entry_at(attempt->fp->segment, attempt->bind->protocol, port);
    atomic_store_explicit(&entry->holder, (uint64_t)where->pid << 32 | (uint32_t)where->fd, memory_order_relaxed);
    atomic_store_explicit(&entry->socket, where->socket, memory_order_relaxed);
}

/* Notes where a socket is that was just bound: at its port, another bind of the session's needs to ask no more. */
static void note_bound(struct fp_attempt *attempt, uint16_t port) {
    struct fp_holder here;
    if (fp_holder_here(&here, attempt->bind->fd))
        note_holder(attempt, port, &here);
}

/* Whether what an entry means is this session's, for this sentinel. */
static bool ours(const struct fp_attempt *attempt, fp_meaning meaning) {
    return fp_is_sentinel(meaning) && fp_requested(meaning) == attempt->bind->sentinel &&
           fp_label_is(&attempt->fp->segment->sessions[fp_session(meaning)], &attempt->fp->session);
}

/*
 * The socket is bound, and the port is another session's: this process was stopped for so long that another bind of its
 * session took the claim over and ended. The bind fails, and the other session's entry stays as it is.
 */
static int lose(struct fp_attempt *attempt) {
    attempt->lost = true;
    return -EADDRINUSE;
}

/*
 * True where a server that ended a moment ago has left connections in TIME_WAIT on a sentinel's own place. They keep
 * the port from a bind without reuse flags; a program that sets SO_REUSEADDR, as servers do, is to come up where it
 * was.
 */
static bool lingers(const struct fp_attempt *attempt, uint16_t port) {
    enum { NEAR = 8 };
    const struct fp_search *search = &attempt->search;
    bool near = (uint16_t)(port - search->start - 1) < NEAR || port == asked_for(attempt);
    return search->placed && near && attempt->bind->protocol == FP_TCP_INDEX && fp_port_lingers(port);
}

/* The first bind of a sentinel in its session. -EADDRINUSE: try the next port; -EAGAIN: look at the session again. */
static int bind_first(struct fp_attempt *attempt, uint16_t port, bool claimed) {
    int error = probe(attempt, port);
    bool after = error == -EADDRINUSE && lingers(attempt, port);
    if (after)
        error = 0;
    if (error == 0 && !claimed) {
        if (!seize(attempt, port))
            return -EAGAIN;
        claimed = true;
    }
    if (error == 0)
        error = after ? fp_attempt_bind(attempt, port) : fp_attempt_bind_alone(attempt, port);
    if (error == 0) {
        struct fp_entry *entry = fp_entry_at(attempt->fp->segment, attempt->bind->protocol, port);
        fp_meaning meaning = atomic_load(&entry->meaning);
        bool stands = meaning == attempt->meaning;
        if (!stands && !ours(attempt, meaning))
            return lose(attempt);
        note_bound(attempt, port);
        fp_attempt_record(attempt, port);
        if (!stands)
            atomic_store(&entry->owner, attempt->self);
        pledge(attempt, port);
    } else {
        fp_attempt_give_up(attempt, port, claimed, error);
    }
    return error;
}

/* Waits until whoever is about to bind the port has done so, or is gone, or takes too long. False for the last. */
static bool settled(struct fp_attempt *attempt, uint16_t port, fp_owner owner, fp_meaning meaning) {
    struct fp_segment *segment = attempt->fp->segment;
    int64_t until = fp_now_ms() + SETTLE_MS;
    if (fp_attempt_until(attempt) < until)
        until = fp_attempt_until(attempt);
    long pause_us = SETTLE_PAUSE_US;
    while (fp_entry_meaning(segment, attempt->bind->protocol, port) == meaning) {
        if (fp_owner_gone_quick(owner))
            return true;
        if (fp_now_ms() >= until)
            return false;
        struct timespec pause = {.tv_nsec = pause_us * 1000};
        nanosleep(&pause, NULL);
        if (pause_us < 1000)
            pause_us *= 2;
    }
    return true;
}

/* A stranger holds the session's port: the session is to have another one. */
static void forget(struct fp_attempt *attempt, uint16_t port, fp_owner owner) {
    struct fp_locked locked;
    fp_lock_alone(attempt->fp->segment, &locked);
    fp_entry_refused(attempt->fp->segment, attempt->bind->protocol, port, attempt->search.serial, owner);
    fp_unlock_alone(&locked);
}

/* Whether a foreign socket holds the port, and none of the session's. A socket of the session's that is found is noted.
 */
static bool stranger_holds(struct fp_attempt *attempt, uint16_t port, fp_owner owner) {
    if (proved(attempt, port))
        return false;
    const struct fp_segment_facts *facts = &attempt->fp->facts;
    pid_t likely = owner_gone(attempt, owner) ? 0 : fp_owner_pid(owner);
    struct fp_holder found;
    bool held = fp_held_by_stranger(attempt->bind->protocol, port, likely, facts->device, facts->inode, &found);
    if (found.socket != 0)
        note_holder(attempt, port, &found);
    return held;
}

/* Claims of a session's port. A bind with the program's own flags proves nothing: it stands under a claim. */

/*
 * A claim of a port that the session has, while it is bound once more. No other session is given the port meanwhile, as
 * long as this process is there. Another bind of the session's waits, and takes the claim over where that takes too
 * long.
 */
struct claim {
    uint16_t port;
    fp_owner was_owner;
    fp_meaning was, now;
};

static bool claim_port(struct fp_attempt *attempt, struct claim *claim, uint16_t port, fp_owner owner,
                       fp_meaning meaning) {
    struct fp_entry *entry = fp_entry_at(attempt->fp->segment, attempt->bind->protocol, port);
    fp_meaning expected = meaning;
    fp_owner was = owner;
    *claim = (struct claim){.port = port,
                            .was_owner = owner,
                            .was = meaning,
                            .now = fp_with_state(fp_with_serial(meaning, attempt->search.serial), FP_CLAIMED) &
                                   ~FP_BY_NUMBER};
    /*
     * The owner first: a claim always names its claimant. Killed before the claim: the port of a dead process, whose
     * server may be there; the kernel tells. Of two threads of one process, which are one owner, one has the claim.
     */
    return atomic_compare_exchange_strong(&entry->owner, &was, attempt->self) &&
           atomic_compare_exchange_strong(&entry->meaning, &expected, claim->now);
}

/* Whether the claim stands: no other bind of the session has taken it over. */
static bool claim_stands(const struct fp_attempt *attempt, const struct claim *claim) {
    return fp_entry_meaning(attempt->fp->segment, attempt->bind->protocol, claim->port) == claim->now;
}

/* Gives a claim up: the entry says again what it said, in the same order; another's claim stays. */
static void drop_claim(struct fp_attempt *attempt, const struct claim *claim, enum fp_state state) {
    struct fp_entry *entry = fp_entry_at(attempt->fp->segment, attempt->bind->protocol, claim->port);
    fp_owner self = attempt->self;
    fp_meaning now = claim->now;
    if (!claim_stands(attempt, claim))
        return;
    /* Killed here: a claim of the owner, which the next bind of the session takes over. */
    atomic_compare_exchange_strong(&entry->owner, &self, claim->was_owner);
    atomic_compare_exchange_strong(&entry->meaning, &now, fp_with_state(claim->was, state));
}

/*
 * The socket is bound: the claim came true, be it that another bind of the session has taken it over. `held`: where the
 * session's socket is, is known, and stays so.
 */
static int fulfil_claim(struct fp_attempt *attempt, const struct claim *claim, bool held) {
    struct fp_segment *segment = attempt->fp->segment;
    unsigned protocol = attempt->bind->protocol;
    struct fp_entry *entry = fp_entry_at(segment, protocol, claim->port);
    fp_meaning meaning = claim->now, bound = fp_with_state(claim->now, FP_BOUND) | FP_HAD;
    if (!held)
        note_bound(attempt, claim->port);
    while (!atomic_compare_exchange_strong(&entry->meaning, &meaning, bound))
        if (!ours(attempt, meaning))
            return lose(attempt);
    if (meaning != claim->now)
        atomic_store(&entry->owner, attempt->self);
    fp_entry_describe(segment, protocol, claim->port, attempt->bind->address);
    return 0;
}

/*
 * The session has the port, and no living process of the session's holds it for sure: a server that ended or closed it,
 * or the other protocol's half. Or its claimant takes too long (`stuck`): it may be stopped, before its bind or behind
 * it. The port is bound as if it were fresh, since a stranger may have come; where that fails because of one of the
 * session's own sockets (a worker, a daemon's child, a connection in TIME_WAIT), the program's own flags decide. A port
 * whose claimant died before it ever had it is given up where it is busy.
 */
static int bind_again(struct fp_attempt *attempt, uint16_t port, fp_owner owner, fp_meaning meaning, bool stuck) {
    struct claim claim;
    if (!claim_port(attempt, &claim, port, owner, meaning))
        return -EAGAIN;
    int error = fp_attempt_bind_alone(attempt, port);
    if (error == -EADDRINUSE) {
        bool never_had = fp_state(meaning) == FP_CLAIMED && !(meaning & FP_HAD);
        /* A claimant that is stopped in its session's first bind: another session's socket may be there still. */
        if (never_had && stuck) {
            drop_claim(attempt, &claim, FP_CLAIMED);
            return -EADDRINUSE;
        }
        if (never_had || stranger_holds(attempt, port, owner)) {
            forget(attempt, port, attempt->self);
            return -EAGAIN;
        }
        /* Another bind of the session took it over meanwhile, and the port may be another session's by now. */
        if (!claim_stands(attempt, &claim))
            return -EAGAIN;
        error = fp_attempt_bind(attempt, port);
    }
    if (error == 0)
        return fulfil_claim(attempt, &claim, false);
    drop_claim(attempt, &claim, stuck || fp_is_kept(meaning) ? fp_state(meaning) : FP_BOUND);
    return error;
}

/*
 * A living process of the session has the port. Where its socket is there for sure (`held`), no stranger is, or one
 * that it let in: the program's own flags decide.
 */
static int bind_beside(struct fp_attempt *attempt, uint16_t port, fp_owner owner, fp_meaning meaning, bool held) {
    struct claim claim;
    if (!claim_port(attempt, &claim, port, owner, meaning))
        return -EAGAIN;
    int error = fp_attempt_bind(attempt, port);
    if (error == 0)
        return fulfil_claim(attempt, &claim, held);
    if (error == -EADDRINUSE && !held && stranger_holds(attempt, port, owner)) {
        forget(attempt, port, attempt->self);
        return -EAGAIN;
    }
    drop_claim(attempt, &claim, FP_BOUND);
    return error;
}

/* Whether a bind of its own flags may succeed beside a stranger, who came when whoever had the port had closed it. */
static bool may_join(const struct fp_bind *bind) {
    return fp_reuse_port(bind->fd) || (bind->protocol == FP_UDP_INDEX && fp_reuse_address(bind->fd));
}

/*
 * The claimant takes too long. It may have bound the port, with its reuse flags off still: a bind whose flags may join
 * it tries for as long as there is time.
 */
static int bind_beside_stuck(struct fp_attempt *attempt, uint16_t port, fp_owner owner, fp_meaning meaning) {
    int error = bind_again(attempt, port, owner, meaning, true);
    bool may_wait = error == -EADDRINUSE && may_join(attempt->bind) && fp_now_ms() < fp_attempt_until(attempt);
    return may_wait ? -EAGAIN : error;
}

/* One more bind of a sentinel for which the session has a port. -EAGAIN: look at the session again. */
static int bind_session(struct fp_attempt *attempt, uint16_t port) {
    struct fp_segment *segment = attempt->fp->segment;
    unsigned protocol = attempt->bind->protocol;
    fp_owner owner = fp_entry_owner(segment, protocol, port);
    fp_meaning meaning = fp_entry_meaning(segment, protocol, port);
    if (!fp_is_sentinel(meaning) || fp_requested(meaning) != attempt->bind->sentinel)
        return -EAGAIN;
    if (fp_state(meaning) == FP_BOUND && proved(attempt, port))
        return bind_beside(attempt, port, owner, meaning, true);
    bool gone = owner_gone(attempt, owner);
    if (fp_state(meaning) == FP_CLAIMED && !gone)
        return settled(attempt, port, owner, meaning) ? -EAGAIN : bind_beside_stuck(attempt, port, owner, meaning);
    if (gone || fp_is_kept(meaning) || may_join(attempt->bind))
        return bind_again(attempt, port, owner, meaning, false);
    return bind_beside(attempt, port, owner, meaning, false);
}

/*
 * A number that is free in both protocols where that is wanted; where there is none, one in this protocol, then.
 */
static int begin(struct fp_attempt *attempt, const struct fp_bind *bind, bool both) {
    int error = fp_attempt_begin(attempt, bind);
    attempt->search.under_lock = true;
    if (error == 0 && both)
        attempt->search.twin = bind->fp->ranges[!bind->protocol];
    return error;
}

/* choose(), and once more for one protocol alone where no number is free in both. -EADDRINUSE: there is none. */
static int choose_any(struct fp_attempt *attempt, uint16_t *port, bool *session, bool *claimed) {
    enum fp_choice choice = choose(attempt, port, session);
    if (choice == FP_CHOICE_NONE && attempt->search.twin) {
        int error = begin(attempt, attempt->bind, false);
        if (error != 0)
            return error;
        choice = choose(attempt, port, session);
    }
    *claimed = choice == FP_CHOICE_CLAIMED;
    return choice == FP_CHOICE_NONE ? -EADDRINUSE : 0;
}

static int bind_until_settled(const struct fp_bind *bind, uint16_t *port, bool *conflict) {
    struct fp_attempt attempt;
    bool session, claimed;
    unsigned joins = 0;
    int error = begin(&attempt, bind, bind->pledge);
    while (error == 0) {
        error = choose_any(&attempt, port, &session, &claimed);
        if (error != 0)
            return error;
        error = session ? bind_session(&attempt, *port) : bind_first(&attempt, *port, claimed);
        *conflict = (session || attempt.lost) && error == -EADDRINUSE;
        if (*conflict || (error != -EADDRINUSE && error != -EAGAIN))
            return error;
        if (session && ++joins == MOST_JOINS)
            return -EADDRINUSE;
        error = fp_attempt_expired(&attempt) ? -ETIMEDOUT : 0;
    }
    return error;
}

/*
 * Without signals: a handler that binds the sentinel that its own thread is about to bind could only wait for itself,
 * or would find that socket bound already and its reuse flags still off.
 */
int fp_bind_sentinel(const struct fp_bind *bind, uint16_t *port, bool *conflict) {
    struct fp_alone alone;
    fp_alone_begin(&alone);
    int error = bind_until_settled(bind, port, conflict);
    fp_alone_end(&alone);
    return error;
}

/* A sentinel without a socket. */

/* A port that is free in the kernel becomes the session's, and nobody has bound it. As bind_first(). */
static int pledge_first(struct fp_attempt *attempt, uint16_t port, bool claimed, bool exported) {
    int error = probe(attempt, port);
    if (error == -EADDRINUSE && lingers(attempt, port))
        error = 0;
    if (error == 0 && !claimed && !seize(attempt, port))
        return -EAGAIN;
    if (error != 0) {
        fp_attempt_give_up(attempt, port, claimed, error);
        return error;
    }
    fp_entry_record(attempt->fp->segment, attempt->bind->protocol, port,
                    fp_with_state(attempt->meaning, exported ? FP_EXPORTED : FP_PLEDGED), NULL);
    pledge(attempt, port);
    return 0;
}

/*
 * True if only a foreign process can be bound to the session's port. The process that has the port by the table may
 * have given it to any other, unless it was kept and its number told to no program.
 */
static bool foreign_alone(struct fp_attempt *attempt, uint16_t port, fp_owner owner, fp_meaning meaning) {
    struct fp_segment *segment = attempt->fp->segment;
    fp_meaning twin = fp_entry_meaning(segment, !attempt->bind->protocol, port);
    bool told = fp_state(twin) == FP_EXPORTED && fp_is_of_session(segment, twin, &attempt->fp->session);
    return owner_gone(attempt, owner) || (fp_state(meaning) == FP_PLEDGED && !told);
}

/* Whether the session's port is lost: a foreign process is bound to it. */
static bool lost(struct fp_attempt *attempt, uint16_t port, fp_owner owner, fp_meaning meaning) {
    if (!foreign_alone(attempt, port, owner, meaning) || !stranger_holds(attempt, port, owner))
        return false;
    /* An entry without an owner: a process was killed between the two steps of forgetting it. */
    struct fp_entry *entry = fp_entry_at(attempt->fp->segment, attempt->bind->protocol, port);
    if (owner == 0)
        atomic_compare_exchange_strong(&entry->meaning, &meaning, fp_meaning_of(FP_BUSY, 0, 0, 0));
    forget(attempt, port, owner);
    return true;
}

/* A kept port becomes one that a program was told, or whose sentinel is named. */
static bool promote(struct fp_attempt *attempt, uint16_t port, fp_meaning meaning, bool exported) {
    struct fp_entry *entry = fp_entry_at(attempt->fp->segment, attempt->bind->protocol, port);
    fp_meaning better = meaning | (attempt->meaning & FP_NAMED);
    if (exported && fp_state(meaning) == FP_PLEDGED)
        better = fp_with_state(better, FP_EXPORTED);
    if (better == meaning)
        return true;
    if (!atomic_compare_exchange_strong(&entry->meaning, &meaning, better))
        return false;
    if (exported)
        atomic_store(&entry->owner, attempt->self);
    return true;
}

/* The port that the session has, unless it is lost. -EAGAIN: look at the session again. */
static int keep(struct fp_attempt *attempt, uint16_t port, bool exported) {
    fp_owner owner = fp_entry_owner(attempt->fp->segment, attempt->bind->protocol, port);
    fp_meaning meaning = fp_entry_meaning(attempt->fp->segment, attempt->bind->protocol, port);
    if (!fp_is_sentinel(meaning) || lost(attempt, port, owner, meaning))
        return -EAGAIN;
    return !fp_is_kept(meaning) || promote(attempt, port, meaning, exported) ? 0 : -EAGAIN;
}

static int pledge_sentinel(const struct fp_bind *bind, bool exported, uint16_t *port) {
    struct fp_attempt attempt;
    bool session, claimed;
    unsigned joins = 0;
    int error = begin(&attempt, bind, bind->pledge);
    while (error == 0) {
        error = choose_any(&attempt, port, &session, &claimed);
        if (error != 0)
            return error;
        error = session ? keep(&attempt, *port, exported) : pledge_first(&attempt, *port, claimed, exported);
        if (error != -EADDRINUSE && error != -EAGAIN)
            return error;
        if (session && ++joins == MOST_JOINS)
            return -EADDRINUSE;
        error = fp_attempt_expired(&attempt) ? -ETIMEDOUT : 0;
    }
    return error;
}

int fp_pledge(const struct fp_bind *bind, bool exported, uint16_t *port) {
    if (bind->fp->ranges[bind->protocol]->size == 0 || !bind->fp->has_session || bind->sentinel == 0)
        return -EINVAL;
    struct fp_alone alone;
    fp_alone_begin(&alone);
    int error = pledge_sentinel(bind, exported, port);
    fp_alone_end(&alone);
    return error;
}
