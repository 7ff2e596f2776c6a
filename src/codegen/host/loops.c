/* Loops: a counted loop with carried values, and the walk over an index space one vector at a time. */
#include "codegen/host/lower.h"

void cg_set_width(cg *x, int lanes)
{
    LLVMValueRef lane_number[64];
    x->W = lanes;
    for (int i = 0; i < lanes; i++)
        lane_number[i] = LLVMConstInt(LLVMInt32TypeInContext(x->c), (unsigned)i, false);
    x->iota32 = LLVMConstVector(lane_number, (unsigned)lanes);
}

loop cg_loop_begin(cg *x, LLVMValueRef first, LLVMValueRef limit, int64_t step, int phis, const LLVMValueRef *initial)
{
    loop l = {.phis = phis, .step = cg_i64(x, step)};
    LLVMBasicBlockRef from = LLVMGetInsertBlock(x->b), body;
    l.header = LLVMAppendBasicBlockInContext(x->c, x->function, "");
    body = LLVMAppendBasicBlockInContext(x->c, x->function, "");
    l.after = LLVMAppendBasicBlockInContext(x->c, x->function, "");
    LLVMBuildBr(x->b, l.header);
    LLVMPositionBuilderAtEnd(x->b, l.header);
    l.index = LLVMBuildPhi(x->b, LLVMInt64TypeInContext(x->c), "");
    LLVMAddIncoming(l.index, &first, &from, 1);
    for (int i = 0; i < phis; i++) {
        l.phi[i] = LLVMBuildPhi(x->b, LLVMTypeOf(initial[i]), "");
        LLVMAddIncoming(l.phi[i], (LLVMValueRef[]){initial[i]}, &from, 1);
    }
    LLVMBuildCondBr(x->b, LLVMBuildICmp(x->b, LLVMIntSLT, l.index, limit, ""), body, l.after);
    LLVMPositionBuilderAtEnd(x->b, body);
    cg_forget(x);
    return l;
}

void cg_loop_end(cg *x, loop *l, const LLVMValueRef *next)
{
    LLVMBasicBlockRef latch = LLVMGetInsertBlock(x->b);
    LLVMValueRef advanced = LLVMBuildAdd(x->b, l->index, l->step, "");
    LLVMAddIncoming(l->index, &advanced, &latch, 1);
    for (int i = 0; i < l->phis; i++)
        LLVMAddIncoming(l->phi[i], (LLVMValueRef[]){next[i]}, &latch, 1);
    LLVMBuildBr(x->b, l->header);
    LLVMMoveBasicBlockAfter(l->after, latch);
    LLVMPositionBuilderAtEnd(x->b, l->after);
    cg_forget(x);
}

static void run_body(cg *x, const tw_type *t, cg_body *body, void *data, const place *at)
{
    cg_forget(x);
    x->space = t;
    memcpy(x->space_at, at, t->rank * sizeof *at);
    body(x, data, at);
    x->space = NULL;
}

/* Full vectors, then the rest under a mask. */
static void walk_vectors(cg *x, const tw_type *t, place *at, cg_body *body, void *data)
{
    int d = t->rank - 1;
    LLVMValueRef n = cg_size(x, t->dims[d]), full = cg_rounded_down(x, n, x->W);
    bool known = t->dims[d] >= 0;
    if (x->end)
        full = x->end;
    at[d] = (place){cg_i64(x, 0), true, NULL};
    if (known && !x->end && t->dims[d] / x->W == 1) {
        run_body(x, t, body, data, at);
    } else if (!known || t->dims[d] >= x->W) {
        loop l = cg_loop_begin(x, cg_i64(x, 0), full, x->W, 0, NULL);
        at[d].v = l.index;
        run_body(x, t, body, data, at);
        cg_loop_end(x, &l, NULL);
    }
    if (x->end || (known && t->dims[d] % x->W == 0))
        return;
    loop l = {0};
    if (!known) /* runs once or not at all */
        l = cg_loop_begin(x, full, n, x->W, 0, NULL);
    x->tail = cg_first_lanes(x, LLVMBuildSub(x->b, n, full, ""));
    at[d].v = full;
    run_body(x, t, body, data, at);
    x->tail = NULL;
    if (!known)
        cg_loop_end(x, &l, NULL);
}

static void walk(cg *x, const tw_type *t, int d, place *at, cg_body *body, void *data)
{
    if (d == t->rank - 1) {
        walk_vectors(x, t, at, body, data);
        return;
    }
    at[d] = (place){cg_i64(x, 0), false, NULL};
    if (t->dims[d] == 1) {
        walk(x, t, d + 1, at, body, data);
        return;
    }
    loop l = cg_loop_begin(x, cg_i64(x, 0), cg_size(x, t->dims[d]), 1, 0, NULL);
    at[d].v = l.index;
    walk(x, t, d + 1, at, body, data);
    cg_loop_end(x, &l, NULL);
}

/* What the loop kept can be read from now on. */
void cg_finish_kept(cg *x)
{
    for (int i = 0; i < x->kept_count; i++) {
        value_state *s = &x->state[x->kept[i]->id];
        cg_push_memory(x, x->kept[i], s->scalar);
        s->scalar = NULL;
    }
    x->kept_count = 0;
}

void cg_for_each_vector(cg *x, const tw_type *t, cg_body *body, void *data)
{
    place at[TW_MAX_RANK];
    if (t->rank == 0) {
        cg_forget(x);
        body(x, data, at);
        return;
    }
    walk(x, t, 0, at, body, data);
    cg_finish_kept(x);
    cg_forget(x);
}
