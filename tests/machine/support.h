/* What the tests of the machine model share. */
#ifndef TW_TESTS_MACHINE_SUPPORT_H
#define TW_TESTS_MACHINE_SUPPORT_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "machine/search.h"

static uint64_t random_state = 1;

static inline double random01(void)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (double)(random_state >> 11) / 9007199254740992.0;
}

static inline int random_between(int low, int high)
{
    return low + (int)(random01() * (high - low + 1));
}

static inline void close_to(double got, double want, double share, const char *what)
{
    if (!(fabs(got - want) <= share * fabs(want)))
        fail_msg("%s: %.9g, expected %.9g", what, got, want);
}

static inline const void *need(const tw_library *l, tw_item_kind kind, const char *name)
{
    const tw_description *item;
    if (tw_library_need(l, kind, name, &item) != TW_OK)
        fail_msg("%s", tw_error_message());
    return item;
}

#endif
