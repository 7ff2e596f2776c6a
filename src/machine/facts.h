/* The facts of the document that this model grew from: what it says, what comes out, and whether the two agree. The
 * table is data (data/machine/seed.tsv): every check is an expression that `tw machine eval` computes too. */
#ifndef TW_MACHINE_FACTS_H
#define TW_MACHINE_FACTS_H

#include "machine/expression.h"

typedef struct tw_check {
    const char *fact, *says, *kind, *given, *unit, *expression, *note;
    double ours, off; /* off: relative to the nearest given value, NaN where there is none */
    char verdict; /* '=' reproduces, '~' within rounding, '!' does not add up, 'F' forecast, '-' nothing to compare */
    char noted;   /* the verdict that the table expects */
} tw_check;

typedef struct tw_facts {
    tw_arena *arena;
    tw_check *check;
    int checks;
} tw_facts;

/* `measurements`: the text of validation.tsv for row.ID and row2.ID (values of a row); NULL: none.
 * error: an expression or the table is broken: file, line, and why. */
tw_status tw_facts_compute(const tw_library *l, const char *file, const char *text, size_t bytes,
                           const char *measurements, size_t measurement_bytes, tw_facts *out);
/* One expression, with the same paths: row.ID, row2.ID, share.MODEL.CHIP.pass_time beside those of expression.h. */
tw_status tw_fact_evaluate(const tw_library *l, const char *expression, const char *measurements,
                           size_t measurement_bytes, double *value);
void tw_facts_free(tw_facts *f);
char tw_fact_verdict(const tw_facts *f, const char *fact); /* the worst of its checks: ! ~ = F - */

#endif
