/* SPDX-License-Identifier: MIT */
/* How people reach a server: the scheme of the address, by the port that its protocol usually has. */
#ifndef FREEPORT_ENV_SCHEME_H
#define FREEPORT_ENV_SCHEME_H

#include <stddef.h>
#include <stdint.h>

/* "http://" if the TCP port is not known; "" if its protocol has no scheme. */
static inline const char *fp_scheme(uint16_t sentinel) {
    static const struct {
        uint16_t port;
        const char *scheme;
    } known[] = {
        {21, "ftp://"},    {22, "ssh://"},        {25, "smtp://"},    {53, ""},
        {443, "https://"}, {1025, "smtp://"},     {1883, "mqtt://"},  {2181, ""},
        {2379, "http://"}, {3306, "mysql://"},    {4222, "nats://"},  {5432, "postgresql://"},
        {5672, "amqp://"}, {6379, "redis://"},    {8443, "https://"}, {9092, ""},
        {11211, ""},       {27017, "mongodb://"},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i].port == sentinel)
            return known[i].scheme;
    return "http://";
}

#endif
