/* Published measurements against the model: a table (TSV, the columns of data/machine/validation.tsv) in, a prediction
 * and its error for each row out. */
#ifndef TW_MACHINE_VALIDATE_H
#define TW_MACHINE_VALIDATE_H

#include "machine/search.h"

/* One row's outcome. Texts live in the validation. */
typedef struct tw_outcome {
    const char *id, *kind, *split, *hw, *source, *metric, *unit, *model;
    double measured, predicted;   /* in the row's unit; predicted NaN: not computable, and `why` says why */
    double measured2, predicted2; /* the second metric, where there is one and it was predicted */
    const char *metric2;
    double error;           /* predicted / measured - 1 */
    const char *why, *plan; /* plan: what was assumed, "" otherwise */
    const char *job;        /* rows of the same job are plans to choose from; "": not such a row */
    double seconds;         /* of the predicted step, where there is one */
} tw_outcome;

typedef struct tw_validation {
    tw_arena *arena;
    tw_outcome *row;
    int rows;
} tw_validation;

/* `constants`: name of a [fit] used for every chip instead of its own; NULL: each its own. */
tw_status tw_validate(const tw_library *library, const char *file, const char *text, size_t bytes,
                      const char *constants, tw_validation *out);
void tw_validation_free(tw_validation *v);

/* Of several measured plans for one job: the one that the model calls fastest, and the one that was. */
typedef struct tw_plan_choice {
    const char *job;
    int plans;
    const tw_outcome *chosen, *best;
} tw_plan_choice;
tw_status tw_validation_choices(const tw_validation *v, tw_plan_choice **choices, int *count);

/* A published training plan beside the one that the search finds for the same model, batch and devices. */
typedef struct tw_plan_duel {
    const char *id, *published, *found, *differs; /* differs: "tensor 8 for 4, ..." */
    double published_time, found_time;            /* both in the model */
    double missing; /* bytes that the published plan lacks by our sums of memory; 0: it fits */
} tw_plan_duel;
/* Of every training row that gives tensor and pipeline parallelism. In the validation's arena. */
tw_status tw_plan_duels(const tw_library *library, const char *file, const char *text, size_t bytes, tw_arena *arena,
                        tw_plan_duel **duel, int *count);

typedef struct tw_error_stats {
    int rows;
    double median, mean, p90, worst; /* of |error| */
    const char *worst_id;
} tw_error_stats;
/* Of the rows that `select` takes. */
tw_error_stats tw_validation_stats(const tw_validation *v, bool (*select)(const tw_outcome *row, const void *data),
                                   const void *data);

#endif
