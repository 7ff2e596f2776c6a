/* Graphs as text. */
#include "cli/graph_file.h"

#include <stdio.h>

#include "base/os.h"
#include "ops/graph_ops.h"
#include "tensor/hooks.h"
#include "tilewright/io.h"

static tw_status read_standard_input(void **data, size_t *bytes)
{
    size_t room = 1 << 16;
    *bytes = 0;
    *data = tw_alloc(room);
    while (*data) {
        *bytes += fread((char *)*data + *bytes, 1, room - *bytes, stdin);
        if (*bytes < room)
            return TW_OK;
        void *grown = tw_realloc(*data, room *= 2);
        if (!grown)
            tw_free(*data);
        *data = grown;
    }
    return TW_ERR_MEMORY;
}

tw_status graph_file_read(const char *path, tw_graph **g)
{
    void *text = NULL;
    size_t bytes;
    tw_status status =
        strcmp(path, "-") ? tw_os_read_file(path, (size_t)64 << 20, &text, &bytes) : read_standard_input(&text, &bytes);
    *g = NULL;
    if (status == TW_OK && !(*g = tw_graph_parse(&tw_graph_table, text, bytes))) {
        char message[400];
        snprintf(message, sizeof message, "%s", tw_error_message());
        status = tw_error(TW_ERR_FORMAT, "%s:%s", path, message);
    }
    tw_free(text);
    return status;
}

/* input0, input1 ... as TW_CHECK=1 saves them. */
static tw_status load_inputs(graph_run *r, const char *path)
{
    tw_tensor_file *file = NULL;
    tw_status status = tw_open_safetensors(path, &file);
    TW_SCOPE {
        for (int i = 0; i < r->inputs && status == TW_OK; i++) {
            char name[24];
            tw_array *a = &r->in[i];
            snprintf(name, sizeof name, "input%d", i);
            tw_tensor *t = tw_file_tensor(file, name);
            status = tw_tensor_status(t);
            if (status == TW_OK && (tw_tensor_dtype(t) != a->dtype || tw_numel(t) != tw_array_count(a)))
                status = tw_error(TW_ERR_SHAPE, "%s: %s has %lld elements of %s; the graph expects %lld of %s", path,
                                  name, (long long)tw_numel(t), tw_dtype_name(tw_tensor_dtype(t)),
                                  (long long)tw_array_count(a), tw_dtype_name(a->dtype));
            if (status == TW_OK)
                status = tw_copy_out(t, a->data, a->bytes);
        }
    }
    tw_close_safetensors(file);
    return status;
}

static tw_status make_outputs(graph_run *r, const char *path)
{
    const tw_op *last = r->g->body->last;
    if (!last || last->code != TW_G_OUTPUT || last->operands > MOST_OUTPUTS)
        return tw_error(TW_ERR_FORMAT, "%s: the last operation is no output of 0 to %d values", path, MOST_OUTPUTS);
    for (; r->outputs < (int)last->operands; r->outputs++) {
        const tw_type *t = &last->operand[r->outputs]->type;
        for (int d = 0; d < t->rank; d++)
            if (!tw_dim_constant(t->dims[d]))
                return tw_error(TW_ERR_VALUE, "%s: output %d has a size that is not constant", path, r->outputs);
        TW_TRY(tw_array_create((tw_dtype)t->dtype, t->rank, t->dims, &r->out[r->outputs]));
    }
    return TW_OK;
}

/* What the arrays hold counts as what tensors hold. */
static void count_arrays(const graph_run *r, int64_t sign)
{
    for (int i = 0; i < r->inputs; i++)
        tw_count_bytes(sign * (int64_t)r->in[i].bytes);
    for (int i = 0; i < r->outputs; i++)
        tw_count_bytes(sign * (int64_t)r->out[i].bytes);
}

tw_status graph_run_open(const char *path, const char *inputs, int64_t seed, graph_run **run)
{
    graph_run *r = *run = tw_alloc_zero(1, sizeof *r);
    if (!r)
        return TW_ERR_MEMORY;
    tw_status status = graph_file_read(path, &r->g);
    if (status == TW_OK)
        status = make_outputs(r, path);
    if (status == TW_OK && (r->inputs = tw_reference_inputs(r->g, (uint64_t)seed, r->in, MOST_INPUTS)) < 0) {
        r->inputs = 0;
        status = tw_error(TW_ERR_VALUE, "%s: inputs must be at most %d, of constant sizes", path, MOST_INPUTS);
    }
    count_arrays(r, 1);
    return status == TW_OK && inputs ? load_inputs(r, inputs) : status;
}

tw_status graph_run_compute(graph_run *r)
{
    void *in[MOST_INPUTS], *out[MOST_OUTPUTS];
    int in_place[MOST_OUTPUTS];
    tw_segment_io io = {.inputs = r->inputs, .outputs = r->outputs, .input = in, .output = out, .in_place = in_place};
    for (int i = 0; i < r->inputs; i++)
        in[i] = r->in[i].data;
    for (int i = 0; i < r->outputs; i++) {
        out[i] = r->out[i].data;
        in_place[i] = -1;
    }
    return tw_segment_runner(r->g, &io, "the end of the graph");
}

void graph_run_close(graph_run *r)
{
    if (!r)
        return;
    count_arrays(r, -1);
    for (int i = 0; i < MOST_INPUTS; i++)
        tw_array_free(&r->in[i]);
    for (int i = 0; i < MOST_OUTPUTS; i++)
        tw_array_free(&r->out[i]);
    tw_graph_destroy(r->g);
    tw_free(r);
}
