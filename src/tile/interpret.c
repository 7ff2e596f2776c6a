/* The interpreter's machine: arrays of values, control flow, one program instance after the other. */
#include <math.h>

#include "tile/interpret_internal.h"
#include "tile/say.h"

static const size_t MOST_BYTES = (size_t)8 << 30; /* of all values together */

tw_status tw_tile_fail(tw_tile_machine *m, const char *format, ...)
{
    char text[300];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return tw_error(TW_ERR_VALUE, "program (%lld, %lld, %lld): %s", (long long)m->program[0], (long long)m->program[1],
                    (long long)m->program[2], text);
}

double tw_tile_element(const tw_type *t, const void *data, int64_t i)
{
    if (t->pointer)
        return (double)((const int64_t *)data)[i];
    return tw_dtype_load((tw_dtype)t->dtype, (const char *)data + (size_t)i * tw_dtype_size((tw_dtype)t->dtype));
}

const void *tw_tile_machine_value(const tw_tile_machine *m, const tw_value *v)
{
    return m->value[v->id].data;
}

const int64_t *tw_tile_machine_program(const tw_tile_machine *m)
{
    return m->program;
}

/* ---- arrays ---- values that are read for the last time give theirs back */

static slot take(tw_tile_machine *m, size_t bytes)
{
    for (size_t i = m->pool.count; i-- > 0;) {
        if (m->pool.data[i].bytes < bytes || m->pool.data[i].bytes > 2 * bytes + 64)
            continue;
        slot s = m->pool.data[i];
        m->pool.data[i] = m->pool.data[--m->pool.count];
        return s;
    }
    size_t rounded = (bytes + 63) / 64 * 64;
    if (m->bytes + rounded > MOST_BYTES) {
        tw_tile_fail(m, "its tiles need more than %zu GiB", MOST_BYTES >> 30);
        return (slot){0};
    }
    slot s = {tw_alloc(rounded), rounded};
    m->bytes += s.data ? rounded : 0;
    return s;
}

static void give_back(tw_tile_machine *m, slot *s)
{
    if (s->data && !tw_vec_push(&m->pool, *s))
        tw_free(s->data);
    *s = (slot){0};
}

void *tw_tile_allocate(tw_tile_machine *m, const tw_value *v)
{
    size_t bytes = (size_t)tile_count(&v->type) * element_bytes(&v->type);
    slot *s = &m->value[v->id];
    if (s->data && s->bytes >= bytes)
        return s->data;
    give_back(m, s);
    *s = take(m, TW_MAX(bytes, (size_t)8));
    return s->data;
}

static void release_dead(tw_tile_machine *m, const tw_op *op)
{
    for (uint32_t i = 0; i < op->operands && !m->run->step; i++) {
        const tw_value *v = op->operand[i];
        if (v && m->last[v->id] == op)
            give_back(m, &m->value[v->id]);
    }
}

/* last[v]: the operation of v's own block in which v is used last, be it inside a region. */
static void find_last(tw_tile_machine *m, const tw_block *block)
{
    tw_for_each_op (op, block) {
        for (uint32_t i = 0; i < op->operands; i++) {
            const tw_value *v = op->operand[i];
            const tw_op *user = op;
            const tw_block *home = v ? (v->def ? v->def->block : v->block) : NULL;
            while (home && user->block != home)
                user = user->block->parent;
            if (v)
                m->last[v->id] = user;
        }
        for (uint32_t i = 0; i < op->regions; i++)
            find_last(m, op->region[i]);
    }
}

static tw_status copy_value(tw_tile_machine *m, const tw_value *to, const tw_value *from)
{
    void *data = tw_tile_allocate(m, to);
    if (!data)
        return TW_ERR_MEMORY;
    memcpy(data, data_of(m, from), (size_t)tile_count(&to->type) * element_bytes(&to->type));
    return TW_OK;
}

/* to[i] = from[i], all at once: a loop may swap its values. */
static tw_status copy_values(tw_tile_machine *m, tw_value *const *to, tw_value *const *from, uint32_t count)
{
    slot *fresh = tw_alloc_zero((size_t)count + 1, sizeof *fresh);
    tw_status status = fresh ? TW_OK : TW_ERR_MEMORY;
    for (uint32_t i = 0; i < count && status == TW_OK; i++) {
        size_t bytes = (size_t)tile_count(&to[i]->type) * element_bytes(&to[i]->type);
        fresh[i] = take(m, TW_MAX(bytes, (size_t)8));
        if (!fresh[i].data)
            status = TW_ERR_MEMORY;
        else
            memcpy(fresh[i].data, data_of(m, from[i]), bytes);
    }
    for (uint32_t i = 0; i < count && status == TW_OK; i++) {
        give_back(m, &m->value[to[i]->id]);
        m->value[to[i]->id] = fresh[i];
    }
    tw_free(fresh);
    return status;
}

static tw_status copy_results(tw_tile_machine *m, const tw_op *op, tw_value *const *from)
{
    for (uint32_t i = 0; i < op->results; i++)
        TW_TRY(copy_value(m, &op->result[i], from[i]));
    return TW_OK;
}

/* ---- control flow ---- */

static bool truth(const tw_tile_machine *m, const tw_value *v)
{
    return *(const uint8_t *)data_of(m, v) != 0;
}

static tw_status run_for(tw_tile_machine *m, const tw_op *op)
{
    const tw_block *body = op->region[0];
    int64_t i = *(int64_t *)data_of(m, op->operand[0]), upper = *(int64_t *)data_of(m, op->operand[1]),
            step = *(int64_t *)data_of(m, op->operand[2]);
    uint32_t carried = op->operands - 3;
    if (step <= 0)
        return tw_tile_fail(m, "a loop with step %lld, expected at least 1", (long long)step);
    TW_TRY(copy_values(m, body->arg + 1, op->operand + 3, carried));
    for (; i < upper; i += step) {
        const tw_op *end;
        int64_t *index = tw_tile_allocate(m, body->arg[0]);
        if (!index)
            return TW_ERR_MEMORY;
        *index = i;
        TW_TRY(tw_tile_run_block(m, body, &end));
        TW_TRY(copy_values(m, body->arg + 1, end->operand, carried));
        if (i > INT64_MAX - step)
            break;
    }
    return copy_results(m, op, body->arg + 1);
}

static tw_status run_while(tw_tile_machine *m, const tw_op *op)
{
    const tw_block *test = op->region[0], *body = op->region[1];
    const tw_op *end;
    TW_TRY(copy_values(m, test->arg, op->operand, op->operands));
    while (true) {
        TW_TRY(tw_tile_run_block(m, test, &end));
        bool goes_on = truth(m, end->operand[0]);
        TW_TRY(copy_values(m, body->arg, end->operand + 1, end->operands - 1));
        if (!goes_on)
            return copy_results(m, op, body->arg);
        TW_TRY(tw_tile_run_block(m, body, &end));
        TW_TRY(copy_values(m, test->arg, end->operand, end->operands));
    }
}

static tw_status run_if(tw_tile_machine *m, const tw_op *op)
{
    const tw_op *end;
    TW_TRY(tw_tile_run_block(m, op->region[truth(m, op->operand[0]) ? 0 : 1], &end));
    return copy_results(m, op, end->operand);
}

/* ---- what has no operands ---- */

static tw_status scalar(tw_tile_machine *m, const tw_op *op, int64_t value)
{
    int64_t *to = tw_tile_allocate(m, &op->result[0]);
    if (!to)
        return TW_ERR_MEMORY;
    *to = value;
    return TW_OK;
}

static tw_status run_constant(tw_tile_machine *m, const tw_op *op)
{
    tw_dtype dtype = (tw_dtype)op->result[0].type.dtype;
    void *to = tw_tile_allocate(m, &op->result[0]);
    if (!to)
        return TW_ERR_MEMORY;
    if (tw_dtype_floating(dtype))
        tw_dtype_store(dtype, to, op->attr[0].f);
    else if (dtype == TW_BOOL)
        *(uint8_t *)to = op->attr[1].i != 0;
    else
        memcpy(to, &op->attr[1].i, tw_dtype_size(dtype));
    return TW_OK;
}

static tw_status run_argument(tw_tile_machine *m, const tw_op *op)
{
    int64_t index = op->attr[0].i;
    if (index < 0 || index >= m->run->arguments)
        return tw_tile_fail(m, "argument %lld of %d", (long long)index, m->run->arguments);
    const tw_tile_argument *a = &m->run->argument[index];
    if (!op->attr[2].i)
        return scalar(m, op, a->bits);
    if (a->buffer < 0 || a->buffer >= m->run->buffers)
        return tw_tile_fail(m, "argument %lld is no array", (long long)index);
    return scalar(m, op, (((int64_t)a->buffer + 1) << ADDRESS_SHIFT) + a->bits);
}

static tw_status run_arange(tw_tile_machine *m, const tw_op *op)
{
    int64_t *to = tw_tile_allocate(m, &op->result[0]);
    if (!to)
        return TW_ERR_MEMORY;
    for (int64_t i = 0; i < op->result[0].type.dims[0]; i++)
        to[i] = i;
    return TW_OK;
}

/* ---- debugging operations ---- */

static tw_status let_hear(tw_tile_machine *m, const tw_op *op, const void *const *data)
{
    int number = 0;
    while (number < m->statements && m->statement[number] != op)
        number++;
    m->ended = !m->run->say(m->run->user, number, m->program, data);
    return m->ended ? tw_error(TW_ERR_INTERRUPTED, "ended") : TW_OK;
}

static tw_status run_print(tw_tile_machine *m, const tw_op *op)
{
    const void **data = tw_alloc_zero((size_t)op->operands + 1, sizeof *data);
    tw_status status = data ? TW_OK : TW_ERR_MEMORY;
    tw_text line = {0};
    for (uint32_t k = 0; data && k < op->operands; k++)
        data[k] = data_of(m, op->operand[k]);
    if (data && m->run->say) {
        status = let_hear(m, op, data);
    } else if (data && m->run->print) {
        tw_tile_say_print(op, m->program, data, NULL, &line);
        m->run->print(m->run->user, tw_text_string(&line));
    }
    tw_text_free(&line);
    tw_free(data);
    return status;
}

static tw_status run_assert(tw_tile_machine *m, const tw_op *op)
{
    const void *condition = data_of(m, op->operand[0]);
    if (m->run->say)
        return let_hear(m, op, &condition);
    int64_t i = tw_tile_broken(op, condition, NULL);
    return i < 0 ? TW_OK
                 : tw_tile_fail(m, "the assertion does not hold (element %lld)%s%s", (long long)i,
                                *op->attr[0].text ? ": " : "", op->attr[0].text);
}

/* ---- one operation ---- */

static tw_status run_structure(tw_tile_machine *m, const tw_op *op)
{
    switch (op->code) {
    case TW_T_ARG:
        return run_argument(m, op);
    case TW_T_DIM:
        return scalar(m, op, op->attr[0].dims.v[0]); /* an integer, or the bits of a floating dtype */
    case TW_T_PROGRAM_ID:
        return op->attr[0].i < 0 || op->attr[0].i > 2
                   ? tw_tile_fail(m, "axis %lld of the grid", (long long)op->attr[0].i)
                   : scalar(m, op, m->program[op->attr[0].i]);
    case TW_T_NUM_PROGRAMS:
        return op->attr[0].i < 0 || op->attr[0].i > 2
                   ? tw_tile_fail(m, "axis %lld of the grid", (long long)op->attr[0].i)
                   : scalar(m, op, m->run->grid[op->attr[0].i]);
    case TW_T_CONSTANT:
        return run_constant(m, op);
    case TW_T_FOR:
        return run_for(m, op);
    case TW_T_WHILE:
        return run_while(m, op);
    case TW_T_IF:
        return run_if(m, op);
    case TW_T_PRINT:
        return run_print(m, op);
    case TW_T_ASSERT:
        return run_assert(m, op);
    default:
        return tw_tile_fail(m, "operation %s", op->info->name);
    }
}

static tw_status run_op(tw_tile_machine *m, const tw_op *op)
{
    switch (op->info->class) {
    case TW_CLASS_POINTWISE:
        return tw_tile_run_elementwise(m, op);
    case TW_CLASS_VIEW:
    case TW_CLASS_GATHER:
        return tw_tile_run_shape(m, op);
    case TW_CLASS_MEMORY:
        return tw_tile_run_memory(m, op);
    case TW_CLASS_CREATION:
        return run_arange(m, op);
    case TW_CLASS_REDUCTION:
    case TW_CLASS_SCAN:
    case TW_CLASS_CONTRACTION:
        return tw_tile_run_whole(m, op);
    default:
        return run_structure(m, op);
    }
}

tw_status tw_tile_run_block(tw_tile_machine *m, const tw_block *block, const tw_op **terminator)
{
    *terminator = NULL;
    for (const tw_op *op = block->first; op; op = op->next) {
        if (op->info->flags & TW_OP_TERMINATOR) {
            *terminator = op;
            return TW_OK;
        }
        m->op = op;
        if (m->run->most_operations && ++m->operations > m->run->most_operations)
            return tw_tile_fail(m, "more than %lld operations: a loop that waits for another program never ends here",
                                (long long)m->run->most_operations);
        TW_TRY(run_op(m, op));
        m->op = op;
        if (m->run->step && !m->run->step(m->run->user, m, op))
            return tw_error(TW_ERR_INTERRUPTED, "stopped");
        release_dead(m, op);
    }
    return TW_OK;
}

/* ---- sizes ---- a program with symbols is copied, with numbers in their place */

static void put_numbers(const tw_graph *g, tw_dim *dims, int count, const int64_t *symbol)
{
    for (int i = 0; i < count; i++)
        dims[i] = tw_dim_constant(dims[i]) ? dims[i] : tw_dim_eval(g, dims[i], symbol);
}

static void put_numbers_in_block(tw_graph *g, tw_block *block, const int64_t *symbol)
{
    for (uint32_t i = 0; i < block->args; i++)
        put_numbers(g, block->arg[i]->type.dims, block->arg[i]->type.rank, symbol);
    tw_for_each_op (op, block) {
        for (int i = 0; i < op->info->attrs; i++)
            if (op->info->attr_info[i].kind == TW_ATTR_DIMS) /* in the copy's arena */
                put_numbers(g, (tw_dim *)(uintptr_t)op->attr[i].dims.v, op->attr[i].dims.n, symbol);
        for (uint32_t i = 0; i < op->results; i++)
            put_numbers(g, op->result[i].type.dims, op->result[i].type.rank, symbol);
        for (uint32_t i = 0; i < op->regions; i++)
            put_numbers_in_block(g, op->region[i], symbol);
    }
}

static tw_status begin(tw_tile_machine *m, const tw_graph *program, const tw_tile_run *run)
{
    m->run = run;
    if (tw_graph_symbols(program)) {
        if (!run->symbol)
            return tw_error(TW_ERR_VALUE, "program %s has symbols; expected their values", program->name);
        if (!(m->copy = tw_graph_clone(program)))
            return TW_ERR_MEMORY;
        put_numbers_in_block(m->copy, m->copy->body, run->symbol);
        program = m->copy;
    }
    m->g = program;
    m->value = tw_alloc_zero((size_t)program->values + 1, sizeof *m->value);
    m->last = tw_alloc_zero((size_t)program->values + 1, sizeof *m->last);
    if (!m->value || !m->last)
        return TW_ERR_MEMORY;
    find_last(m, program->body);
    m->statements = run->say ? tw_tile_statements(program->body, NULL) : 0;
    if (m->statements && !(m->statement = tw_alloc_zero((size_t)m->statements, sizeof *m->statement)))
        return TW_ERR_MEMORY;
    if (m->statements)
        tw_tile_statements(program->body, m->statement);
    return tw_tile_checks_begin(m);
}

static void end(tw_tile_machine *m)
{
    for (uint32_t i = 0; m->value && m->g && i < m->g->values; i++)
        tw_free(m->value[i].data);
    for (size_t i = 0; i < m->pool.count; i++)
        tw_free(m->pool.data[i].data);
    tw_vec_free(&m->pool);
    tw_free(m->value);
    tw_free((void *)m->last);
    tw_free((void *)m->statement);
    tw_graph_destroy(m->copy);
    tw_tile_checks_end(m);
    tw_free(m);
}

static tw_status run_instance(tw_tile_machine *m, int64_t linear)
{
    const int64_t *grid = m->run->grid;
    const tw_op *terminator;
    m->linear = linear;
    m->program[0] = linear % grid[0];
    m->program[1] = linear / grid[0] % grid[1];
    m->program[2] = linear / grid[0] / grid[1];
    tw_tile_checks_program(m);
    tw_status status = tw_tile_run_block(m, m->g->body, &terminator);
    if (!m->ended)
        return status;
    m->ended = false;
    tw_error_clear();
    return TW_OK;
}

static tw_status count_programs(const int64_t *grid, int64_t *programs)
{
    bool fine = true;
    for (int i = 0; i < 3; i++)
        fine = fine && grid[i] >= 0 && grid[i] <= INT32_MAX;
    return fine && !__builtin_mul_overflow(grid[0] * grid[1], grid[2], programs)
               ? TW_OK
               : tw_error(TW_ERR_VALUE, "a grid of [%lld, %lld, %lld] programs", (long long)grid[0], (long long)grid[1],
                          (long long)grid[2]);
}

tw_status tw_tile_interpret(const tw_graph *program, const tw_tile_run *run)
{
    tw_tile_machine *m = tw_alloc_zero(1, sizeof *m);
    int64_t programs = 0;
    if (!m)
        return TW_ERR_MEMORY;
    tw_status status = count_programs(run->grid, &programs);
    if (status == TW_OK)
        status = begin(m, program, run);
    int64_t first = run->range ? run->range[0] : 0, last = run->range ? TW_MIN(run->range[1], programs) : programs;
    for (int64_t i = first; i < last && status == TW_OK; i++)
        status = run_instance(m, i);
    if (status != TW_OK && run->failed_at)
        *run->failed_at = m->op;
    end(m);
    return status;
}
