/* The training of a GPT on the bytes of a text: what tw train and tw explain share. */
#ifndef TW_CLI_TRAINING_H
#define TW_CLI_TRAINING_H

#include "cli/cli.h"
#include "cli/model.h"

typedef struct training {
    const char *data; /* a path; NULL: random bytes */
    int64_t batch, seed;
    double lr;
    tw_gpt_config config;
    tw_gpt model;
    tw_adamw optimiser;
    vocabulary words;
    int64_t *tokens, train_count, count; /* the first train_count are for training, the rest for validation */
    uint64_t random;
} training;

/* The settings before any option is read, and the options for them: fills TRAINING_OPTIONS rows. */
enum { TRAINING_OPTIONS = 9 };
training training_defaults(void);
void training_options(training *t, option *rows);

/* Reads the text, makes the model and its optimiser; `resume`: a checkpoint to go on from, or NULL. */
tw_status training_open(training *t, const char *resume);
void training_close(training *t);

void training_batch(const training *t, uint64_t *random, bool training_part, tw_tensor **x, tw_tensor **y);
double training_step(training *t, tw_status *status); /* forward, backward, update; returns the loss */

#endif
