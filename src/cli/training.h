/* The training of a GPT on the bytes of a text: what tw train and tw explain share. */
#ifndef TW_CLI_TRAINING_H
#define TW_CLI_TRAINING_H

#include <signal.h>

#include "cli/cli.h"
#include "cli/model.h"

typedef struct training {
    const char *data; /* a path; NULL: random bytes */
    int64_t batch, seed;
    double lr;
    int64_t budget; /* bytes that a compiled step should stay within; 0: no limit */
    tw_gpt_config config;
    tw_gpt model;
    tw_adamw optimiser;
    vocabulary words;
    int64_t *tokens, train_count, count; /* the first train_count are for training, the rest for validation */
    uint64_t random;
} training;

/* The settings before any option is read, and the options for them: fills TRAINING_OPTIONS rows. */
enum { TRAINING_OPTIONS = 10 };
training training_defaults(void);
void training_options(training *t, option *rows);

/* Reads the text, makes the model and its optimiser; `resume`: a checkpoint to go on from, or NULL; `separate`: steps
 * will run operation by operation too, which takes more memory. */
tw_status training_open(training *t, const char *resume, bool separate);
void training_close(training *t);

void training_batch(const training *t, uint64_t *random, bool training_part, tw_tensor **x, tw_tensor **y);
double training_step(training *t, tw_status *status); /* forward, backward, update; returns the loss */

/* The same steps operation by operation and compiled, from the same state, to which it returns: prints time, memory,
 * losses, what was fused and where the time goes. compare.c. `stop`: ends early when it becomes true. */
tw_status training_compare(training *t, const volatile sig_atomic_t *stop);

#endif
