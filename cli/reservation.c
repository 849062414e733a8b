/* SPDX-License-Identifier: MIT */
/* Giving up a reservation, also one of an ancestor. */
#include "assign.h"
#include "cli.h"
#include "owner.h"

#include <unistd.h>

/* True if the owner is this process or an ancestor: a script may give up what its shell has reserved. */
static bool is_forebear(fp_owner owner) {
    pid_t pid = getpid();
    for (int steps = 0; pid > 0 && steps < 4096; steps++) {
        if (fp_owner_of(pid) == owner)
            return true;
        pid = cli_parent_of(pid);
    }
    return false;
}

int cli_give_up(struct freeport *fp, enum freeport_protocol protocol, uint16_t port, pid_t *holder) {
    unsigned index = cli_protocol_index(protocol);
    fp_owner owner = fp_entry_owner(fp->segment, index, port);
    if (holder)
        *holder = fp_owner_pid(owner);
    return fp_release(fp, protocol, is_forebear(owner) ? owner : fp_owner_self(), port);
}
