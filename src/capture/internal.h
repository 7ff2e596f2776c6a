/* What the files of this folder share.
 *
 *     segment ── key ──> known ── plan for its very sizes
 *                          └──> family: all segments that differ from it in sizes only; their kernels serve all sizes
 *
 * capture.c decides what is run and how; compile.c makes plans; sizes.c lets members of a family share kernels;
 * operations.c runs without a plan; background.c compiles beside the program. */
#ifndef TW_CAPTURE_INTERNAL_H
#define TW_CAPTURE_INTERNAL_H

#include <stdatomic.h>

#include "base/os.h"
#include "capture/capture.h"
#include "rematerialise/rematerialise.h"
#include "tensor/hooks.h"

/* ---- sizes.c ---- */
typedef struct family {
    tw_hash key;
    tw_graph *first; /* as it was recorded, at the sizes of the first member; NULL: strided inputs, nothing is shared */
    struct variant *variants; /* structures that its sizes lead to; from the second member on */
    int members, compiles;
    bool said_limit;
} family;

family *tw_family_create(const tw_graph *first, const tw_segment_io *io); /* NULL: no memory */
void tw_family_destroy(family *f);
/* What is different from the first member: the reason for compiling again. */
void tw_family_say_difference(const family *f, const tw_graph *g, char *reason, size_t room);
/* A plan for a simplified graph of the family (which it takes over). Its kernels are those that other sizes have, made
 * more general where needed; kernels of its own where the structure depends on the sizes. */
tw_status tw_family_plan(family *f, tw_graph *simplified, const tw_schedule_options *options, tw_plan **plan);

/* ---- compile.c ---- */
void tw_register_passes(void);
tw_status tw_simplified(const tw_graph *segment, tw_graph **simplified);
/* What the scheduler takes: with operations that are computed again, and outputs that have memory of their own. choice
 * NULL: the best at this price. */
tw_status tw_to_primitives(tw_graph **g, const tw_remat_choice *choice, double price);
/* With a family: kernels are shared with its other sizes. may_compile: else TW_ERR_UNSUPPORTED if a kernel is missing.
 */
tw_status tw_compile_member(const tw_graph *segment, const int *in_place, const int64_t *const *stride, family *f,
                            bool may_compile, tw_executable **executable);

/* ---- operations.c ---- */
tw_status tw_run_operations(const tw_graph *g, tw_segment_io *io);

/* ---- capture.c ---- */
typedef struct known { /* a segment, sizes included */
    tw_hash key;
    family *family;
    tw_executable *_Atomic executable; /* NULL: not compiled (yet) */
    _Atomic int running;
    int sights;
    uint64_t used; /* when: for forgetting the oldest */
    int functions; /* compiled functions that replay it */
    _Atomic bool refused;
    _Atomic bool compiling;
} known;

known *tw_known(const tw_graph *g, const tw_segment_io *io); /* in use until tw_known_done; NULL: no memory */
void tw_known_done(known *k);
/* Compiles unless somebody has; safe from any thread. `ns`: what it took, 0 if nothing; may be NULL. `reason`: "ended
 * by item, is compiled: seen 2 times". */
tw_status tw_known_compile(known *k, const tw_graph *g, const int *in_place, const int64_t *const *stride, bool limited,
                           const char *reason, uint64_t *ns);
tw_status tw_run_executable(tw_executable *e, tw_segment_io *io);

/* ---- background.c ---- */
bool tw_background_free(void); /* is there a core that the program doesn't use? */
tw_status tw_background_compile(known *k, const tw_graph *g, const tw_segment_io *io, const char *reason);

#endif
