/* Operation by operation: a plan of one operation each, and every result in memory until its last use. */
#include "capture/internal.h"
#include "ops/graph_ops.h"

typedef struct stepper {
    void **data; /* by value id */
    bool *owned;
    uint32_t *uses;
} stepper;

static size_t bytes_of(const tw_value *v)
{
    size_t bytes = tw_dtype_size((tw_dtype)v->type.dtype);
    for (int i = 0; i < v->type.rank; i++)
        bytes *= (size_t)v->type.dims[i];
    return bytes;
}

static tw_graph *alone(const tw_graph *g, const tw_op *op, tw_value **map)
{
    tw_graph *one = tw_graph_create(g->table);
    tw_op *copy = NULL;
    for (uint32_t i = 0; one && i < op->operands; i++) {
        bool repeated = false;
        for (uint32_t j = 0; j < i; j++)
            repeated = repeated || op->operand[j] == op->operand[i];
        if (op->operand[i] && !repeated && !(map[op->operand[i]->id] = tw_graph_input(one, op->operand[i]->type))) {
            tw_graph_destroy(one);
            return NULL;
        }
    }
    if (one)
        copy = tw_graph_clone_op(one, g, op, map);
    if (copy && tw_g_output(one, 1, (tw_value *[]){&copy->result[0]}))
        return one;
    tw_graph_destroy(one);
    return NULL;
}

static tw_status step_operation(const tw_graph *g, const tw_op *op, stepper *s, tw_value **map)
{
    enum { MOST = 64 };
    void *input[MOST], *output[1];
    int inputs = 0, none = -1;
    const tw_value *y = &op->result[0];
    tw_graph *one = alone(g, op, map);
    if (!one)
        return TW_ERR_MEMORY;
    for (uint32_t i = 0; i < op->operands; i++) {
        bool repeated = false;
        for (uint32_t j = 0; j < i; j++)
            repeated = repeated || op->operand[j] == op->operand[i];
        if (op->operand[i] && !repeated)
            input[inputs++] = s->data[op->operand[i]->id];
    }
    tw_segment_io io = {inputs, 1, input, NULL, output, &none};
    known *k = tw_known(one, &io);
    tw_status status = k ? tw_known_compile(k, one, &none, NULL, false, "", NULL) : TW_ERR_MEMORY;
    tw_graph_destroy(one);
    output[0] = s->data[y->id];
    if (status == TW_OK && !output[0]) {
        output[0] = s->data[y->id] = tw_alloc_aligned(TW_MAX(bytes_of(y), (size_t)1), 64);
        s->owned[y->id] = output[0] != NULL;
        tw_count_bytes(output[0] ? (int64_t)bytes_of(y) : 0);
        status = output[0] ? TW_OK : TW_ERR_MEMORY;
    }
    if (status == TW_OK)
        status = tw_run_executable(atomic_load(&k->executable), &io);
    tw_known_done(k);
    return status;
}

static void drop_operands(stepper *s, const tw_op *op)
{
    for (uint32_t i = 0; i < op->operands; i++) {
        const tw_value *v = op->operand[i];
        if (!v || --s->uses[v->id] > 0 || !s->owned[v->id])
            continue;
        tw_count_bytes(-(int64_t)bytes_of(v));
        tw_free(s->data[v->id]);
        s->data[v->id] = NULL;
        s->owned[v->id] = false;
    }
}

static void finish_outputs(const tw_op *output, stepper *s, tw_segment_io *io)
{
    for (uint32_t i = 0; i < output->operands; i++) {
        const void *from = s->data[output->operand[i]->id];
        if (io->output[i] && from != io->output[i])
            memcpy(io->output[i], from, bytes_of(output->operand[i]));
    }
    for (uint32_t i = 0; i < output->operands; i++) /* renewed inputs last: others may have been copied from them */
        if (!io->output[i])
            memcpy(io->input[io->in_place[i]], s->data[output->operand[i]->id], bytes_of(output->operand[i]));
}

/* Single operations read row-major values: the program's strided memory is packed for them. */
static tw_status bind_input(stepper *s, const tw_value *v, const tw_segment_io *io, int i)
{
    s->data[v->id] = io->input[i];
    if (!io->stride || !io->stride[i])
        return TW_OK;
    void *packed = tw_alloc_aligned(TW_MAX(bytes_of(v), (size_t)1), 64);
    if (!packed)
        return TW_ERR_MEMORY;
    tw_copy_from_strides(packed, io->input[i], v->type.rank, v->type.dims, io->stride[i],
                         tw_dtype_size((tw_dtype)v->type.dtype));
    s->data[v->id] = packed;
    s->owned[v->id] = true;
    tw_count_bytes((int64_t)bytes_of(v));
    return TW_OK;
}

tw_status tw_run_operations(const tw_graph *g, tw_segment_io *io)
{
    tw_arena *a = tw_arena_create(0);
    tw_value **map = tw_alloc_zero(g->values + 1, sizeof *map);
    stepper s = {tw_alloc_zero(g->values + 1, sizeof(void *)), tw_alloc_zero(g->values + 1, sizeof(bool)),
                 a ? tw_graph_use_counts(g, a) : NULL};
    tw_status status = map && s.data && s.owned && s.uses ? TW_OK : TW_ERR_MEMORY;
    const tw_op *output = g->body->last;
    int inputs = 0;
    for (uint32_t i = 0; status == TW_OK && i < output->operands; i++) {
        const tw_value *v = output->operand[i];
        if (io->output[i] && v->def->code != TW_G_INPUT && !s.data[v->id])
            s.data[v->id] = io->output[i];
    }
    for (const tw_op *op = g->body->first; op && status == TW_OK; op = op->next) {
        if (op->code == TW_G_INPUT) {
            status = bind_input(&s, &op->result[0], io, inputs++);
        } else if (op->code == TW_G_OUTPUT) {
            finish_outputs(op, &s, io);
        } else if (s.uses[op->result[0].id] > 0) {
            status = step_operation(g, op, &s, map);
            if (status == TW_OK)
                drop_operands(&s, op);
        }
    }
    for (const tw_op *op = g->body->first; op && s.data && s.owned; op = op->next) {
        if (!op->results || !s.owned[op->result[0].id])
            continue;
        tw_count_bytes(-(int64_t)bytes_of(&op->result[0]));
        tw_free(s.data[op->result[0].id]);
    }
    tw_free(s.data);
    tw_free(s.owned);
    tw_free(map);
    tw_arena_destroy(a);
    return status;
}
