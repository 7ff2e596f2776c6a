/* Canonical primitive graphs: rules that change no bit of any result. See README.md. */
#ifndef TW_SIMPLIFY_H
#define TW_SIMPLIFY_H

#include "ir/ir.h"

/* Views composed, identities removed, transposed products turned round, equal computations shared, dead ones removed. */
tw_status tw_pass_simplify(tw_graph **g, bool *changed);

#endif
