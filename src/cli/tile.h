/* What the subcommands of `tw tile` share: the files, the kernel, its arguments, its arrays. */
#ifndef TW_CLI_TILE_H
#define TW_CLI_TILE_H

#include "cli/cli.h"
#include "io/npy.h"
#include "tile/interpret.h"

enum { TILE_MOST_FILES = 256, TILE_MOST_ARGS = 160 };

typedef struct tile_arg { /* --arg or --const */
    char name[64], type[64], text[512], input[512], output[512];
    bool constant, array, given_type;
    tw_npy data;           /* of an array */
    struct tile_arg *same; /* "&x": the array of another argument */
    int buffer;            /* of the interpreter; -1: none yet */
    tw_dtype dtype;
    int64_t bits; /* of a scalar */
} tile_arg;

typedef struct tile_request {
    text_list files;
    const char *kernel, *emit;
    tile_arg arg[TILE_MOST_ARGS];
    int args;
    int64_t grid[3], config;
    double flops; /* of one launch, as the caller says */
    bool strict, interpret, general;
    tw_lang *lang;
    tw_lang_program program;
} tile_request;

tw_status cli_tile_add(tw_lang *l, const char *path);

/* Reads options and files. false: the command ends with *code. `run`: arrays and a grid are wanted. */
bool tile_parse(tile_request *r, const char *command, const char *about, bool run, int argc, char **argv, int *code);
tw_status tile_compile(tile_request *r); /* the program; the message has the context of an error */
tw_status tile_load(tile_request *r);    /* arrays */
tw_status tile_save(tile_request *r);
/* Buffers and arguments of the interpreter, in the order of the program's; arrays must be loaded. */
tw_status tile_bind(tile_request *r, tw_tile_buffer *buffer, int *buffers, tw_tile_argument *argument,
                    tw_tile_run *run);
/* Buffers as addresses: what a launcher takes. */
void tile_words(const tile_request *r, const tw_tile_buffer *buffer, const tw_tile_argument *argument, int64_t *word);
void tile_free(tile_request *r);
int tile_fail(tile_request *r, const char *command);
const tw_lang_place *tile_place(const tile_request *r, const tw_op *op);
/* "file:line", the line's text, and the calls that led there. */
void tile_say_place(const tile_request *r, const tw_op *op, FILE *to);

int tile_cmd_compile(int argc, char **argv);
int tile_cmd_run(int argc, char **argv);
int tile_cmd_bench(int argc, char **argv);
int tile_cmd_check(int argc, char **argv);
int tile_cmd_step(int argc, char **argv);

#endif
