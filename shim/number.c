/* SPDX-License-Identifier: MIT */
#include "number.h"

#include "guest.h"
#include "owner.h"

static bool active(const struct fp_guest *guest) {
    return fp_guest_phase_of(guest) == FP_PHASE_ACTIVE;
}

bool fp_number_given(const struct fp_guest *guest, unsigned protocol, uint16_t port) {
    const struct freeport *handle = &guest->handle;
    if (!active(guest))
        return false;
    fp_meaning meaning = fp_entry_meaning(handle->segment, protocol, port);
    if (!fp_is_assignment(meaning) && !fp_is_sentinel(meaning))
        return false;
    if (fp_is_of_session(handle->segment, meaning, &handle->session))
        return true;
    return fp_state(meaning) == FP_RESERVED && fp_session(meaning) == 0 &&
           !fp_owner_gone_quick(fp_entry_owner(handle->segment, protocol, port));
}

bool fp_number_listed(const struct fp_guest *guest, unsigned protocol, uint16_t port) {
    const struct fp_settings *settings = &guest->settings;
    if (fp_portset_has(&settings->named[protocol], port))
        return true;
    return fp_settings_has_sentinel(settings, protocol, port) && !fp_number_given(guest, protocol, port);
}

/* True if the session has a port for the number, as a sentinel of this process or of another one of the session. */
static bool session_has(const struct fp_guest *guest, unsigned protocol, uint16_t port) {
    const struct freeport *handle = &guest->handle;
    fp_meaning meaning;
    return active(guest) && fp_hint(handle->segment->sentinels[protocol], port) &&
           fp_index_find(handle->segment, &handle->session, protocol, port, &meaning) != 0;
}

enum fp_number fp_number_meaning(const struct fp_guest *guest, unsigned protocol, uint16_t port) {
    const struct fp_settings *settings = &guest->settings;
    if (!settings->managed[protocol])
        return FP_NUMBER_FOREIGN;
    if (fp_portset_has(&settings->named[protocol], port))
        return FP_NUMBER_SENTINEL;
    if (fp_number_given(guest, protocol, port))
        return FP_NUMBER_OWN;
    if (fp_settings_has_sentinel(settings, protocol, port) || session_has(guest, protocol, port))
        return FP_NUMBER_SENTINEL;
    return fp_portset_has(&settings->ranges[protocol].ports, port) ? FP_NUMBER_OWN : FP_NUMBER_FOREIGN;
}
