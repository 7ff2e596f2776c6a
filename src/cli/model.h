/* A language model over bytes, its text and its checkpoint: shared by train and generate. */
#ifndef TW_CLI_MODEL_H
#define TW_CLI_MODEL_H

#include "tilewright/io.h"
#include "tilewright/nn.h"
#include "tilewright/optim.h"

typedef struct vocabulary {
    int size;
    unsigned char byte[256]; /* of a token */
    int token[256];          /* of a byte; -1: none */
} vocabulary;

void vocabulary_from_text(vocabulary *v, const unsigned char *text, size_t bytes);

/* Weights, moments and settings in one safetensors file, replaced atomically. */
tw_status checkpoint_save(const char *path, tw_gpt *m, const tw_adamw *o, const vocabulary *v, uint64_t random_state);
tw_status checkpoint_config(const char *path, tw_tensor_file **file, tw_gpt_config *config, vocabulary *v);
tw_status checkpoint_restore(const tw_tensor_file *file, tw_gpt *m, tw_adamw *o,
                             uint64_t *random_state); /* o may be NULL */

#endif
