/* What the files of this folder share.
 *
 * A tensor is either materialised (it has a storage) or pending (it is a value of the thread's segment), or both, when
 * a segment reads it. References: handles that scopes, users and the tape hold. `idle` counts those of the tape that
 * only need the tensor's place in the history, not its value; a pending tensor with nothing but idle references is
 * never computed on its own. */
#ifndef TW_TENSOR_INTERNAL_H
#define TW_TENSOR_INTERNAL_H

#include "ops/graph_ops.h"
#include "tensor/hooks.h"
#include "tensor/record.h"

typedef struct storage {
    int references;
    void *data;
    size_t bytes;
    void (*free)(void *user); /* of the user's memory; NULL: ours */
    void *user;
    bool foreign;
} storage;

typedef struct tape_node tape_node;

struct tw_tensor {
    int references, idle;
    tw_status status;
    tw_dtype dtype;
    int rank;
    int64_t shape[TW_MAX_RANK], stride[TW_MAX_RANK];
    int64_t count;
    storage *storage; /* NULL: pending */
    uint64_t segment; /* of `value`; another number: none in the current one */
    tw_value *value;
    int input;   /* number of the segment's input that holds its old content; -1 */
    int pending; /* place in the segment's list of pending tensors; -1 */
    uint64_t version;
    bool requires_grad;
    tw_tensor *grad;
    tape_node *node;
};

struct tape_node { /* how a tensor was made */
    const tw_op_info *info;
    int code;
    tw_attr *attrs; /* copied, lists included, in `memory` */
    void *memory;
    tw_type type; /* of the result */
    uint32_t operands;
    tw_tensor **operand;
    uint64_t *version; /* of each operand when it was used */
    uint64_t order;
};

typedef struct segment {
    uint64_t number; /* changes at every flush */
    tw_graph *g;
    tw_vec(tw_tensor *) pending; /* NULL where the tensor died */
    tw_vec(storage *) inputs;
    tw_vec(
        tw_tensor *) holders; /* by input: the tensor whose content it is; only while traced (may be dead otherwise) */
    bool running, traced, eager; /* eager: TW_EAGER when it was opened */
} segment;

typedef struct pending_result { /* a pending tensor that somebody still holds, and where its content goes */
    tw_tensor *t;
    storage *storage;
} pending_result;

typedef struct results {
    pending_result *item;
    tw_value **value;
    void **output, **input;
    int *in_place, count;
    bool *done;
} results;

/* Runs what the segment holds in place of the usual runner. */
typedef tw_status tw_segment_sink(void *user, segment *s, const results *r, tw_segment_io *io);

segment *tw_segment_current(void);       /* NULL: no memory */
tw_value *tw_tensor_value(tw_tensor *t); /* in the current segment; NULL: error set */
tw_status tw_segment_flush(void);
tw_status tw_segment_flush_into(tw_segment_sink *sink, void *user);
int tw_segment_renews(const segment *s, const tw_tensor *t);

tw_tensor *tw_tensor_create(tw_dtype dtype, int rank,
                            const int64_t *shape); /* materialised by the caller; owned by the scope */
tw_tensor *tw_tensor_failed(tw_status status);     /* carries an error */
tw_tensor *tw_tensor_pending(tw_value *v);         /* of the current segment */
storage *tw_storage_create(size_t bytes);
void tw_storage_release(storage *s);
bool tw_scope_own(tw_tensor *t);
void tw_tensor_set_value(tw_tensor *t, tw_value *v); /* the new content of t */

/* ---- tape.c ---- */
tw_status tw_tape_add(tw_tensor *result, int code, int operands, tw_tensor *const *operand, const tw_op *op);
void tw_tape_forget(tw_tensor *t);
bool tw_tape_keeps(const tw_tensor *t); /* its own rule reads its value */

int64_t tw_tensor_memory_now(void);

#endif
