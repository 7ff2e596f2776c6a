/* Loops: unrolled where the number of rounds is known and asked for, else `for` and `while` operations that carry the
 * variables which the body changes. A loop that may be left early becomes a `while` with a flag. */
#include "tile/lang/control.h"

/* ---- what a loop changes ---- */

/* Calls `visit` for every name that statements assign, nested functions excepted. */
static bool assigned_names(lowering *c, const node *n, bool target, bool (*visit)(lowering *, const char *, void *),
                           void *data)
{
    if (!n)
        return true;
    if (n->kind == N_NAME)
        return !target || visit(c, n->name, data);
    if (n->kind == N_DEFINITION || n->kind == N_LAMBDA)
        return true;
    bool first = n->kind == N_WALRUS || n->kind == N_AUGMENTED || n->kind == N_ANNOTATED || n->kind == N_FOR;
    bool parts = n->kind == N_TUPLE || n->kind == N_LIST || n->kind == N_STARRED;
    for (uint32_t i = 0; i < n->count; i++) {
        bool inner = n->kind == N_ASSIGN ? i + 1 < n->count
                     : first             ? i == 0
                     : parts             ? target
                                         : n->kind == N_SUBSCRIPT && target && i == 0;
        if (!assigned_names(c, n->child[i], inner, visit, data))
            return false;
    }
    return true;
}

/* Does the body leave the loop early? Loops inside have their own break. */
static void leaves_early(const node *n, bool outermost, bool *breaks, bool *continues, bool *returns)
{
    if (!n || n->kind == N_DEFINITION)
        return;
    *breaks = *breaks || (n->kind == N_BREAK && outermost);
    *continues = *continues || (n->kind == N_CONTINUE && outermost);
    *returns = *returns || n->kind == N_RETURN;
    for (uint32_t i = 0; i < n->count; i++)
        leaves_early(n->child[i], outermost && n->kind != N_FOR && n->kind != N_WHILE, breaks, continues, returns);
}

typedef struct carried {
    tw_vec(const char *) names; /* variables that the body changes */
    val_list init;              /* their tensors before the loop */
    val_list start;             /* by name: the value at the start of a round */
    const char **lost;          /* by name: why it ends with the loop; NULL: it is carried */
} carried;

static bool carry(lowering *c, const char *name, void *data)
{
    carried *x = data;
    for (size_t i = 0; i < x->names.count; i++)
        if (x->names.data[i] == name)
            return true;
    const val *v = tw_lang_variable(c->frame, name);
    if (!v || v->kind == V_UNDEFINED)
        return true;
    return tw_vec_push(&x->names, name) || tw_lang_error(c, NULL, "out of memory");
}

static void free_carried(carried *x)
{
    tw_vec_free(&x->names);
    tw_vec_free(&x->init);
    tw_vec_free(&x->start);
}

/* Numbers become tensors: the body may change them. */
static bool as_tensors(lowering *c, const node *n, val *v)
{
    if (is_number(v))
        return tw_lang_to_tensor(c, n, v);
    if (v->kind != V_TUPLE)
        return true;
    val t = tw_lang_tuple(c, v->count);
    if (t.count != v->count)
        return tw_lang_error(c, n, "out of memory");
    t.fields = v->fields;
    for (int i = 0; i < t.count; i++) {
        t.item[i] = v->item[i];
        if (!as_tensors(c, n, &t.item[i]))
            return false;
    }
    *v = t;
    return true;
}

static bool begin_carrying(lowering *c, const node *n, const node *body, carried *x)
{
    if (!assigned_names(c, body, false, carry, x))
        return false;
    for (size_t i = 0; i < x->names.count; i++) {
        val *v = tw_lang_variable(c->frame, x->names.data[i]);
        if (!as_tensors(c, n, v) || !tw_lang_leaves(c, v, &x->init))
            return false;
    }
    x->lost = tw_arena_zero(c->l->arena, x->names.count + 1, sizeof *x->lost);
    return x->lost || tw_lang_error(c, n, "out of memory");
}

/* Gives every carried variable the tensors of `leaf`, in order. */
static bool give(lowering *c, carried *x, const val *leaf, bool start)
{
    int used = 0;
    x->start.count = start ? 0 : x->start.count;
    for (size_t i = 0; i < x->names.count; i++) {
        val *v = tw_lang_variable(c->frame, x->names.data[i]), like = start ? *v : x->start.data[i];
        if (!tw_lang_rebuild(&like, leaf, &used, c, v))
            return false;
        if (start && !tw_vec_push(&x->start, *v))
            return tw_lang_error(c, NULL, "out of memory");
        if (x->lost[i])
            *v = (val){.kind = V_UNDEFINED, .name = x->lost[i]};
    }
    return true;
}

static bool begin_region(lowering *c, const node *n, tw_block *region, carried *x, bool first)
{
    val_list args = {0};
    bool fine = true;
    for (size_t i = 0; i < x->init.count && fine; i++) {
        val leaf = x->init.data[i];
        leaf.v = tw_block_add_arg(c->g, region, leaf.v->type);
        fine = leaf.v && tw_vec_push(&args, leaf);
    }
    tw_graph_insert_at_end(c->g, region);
    fine = fine ? give(c, x, args.data, first) : tw_lang_error(c, n, "out of memory");
    tw_vec_free(&args);
    return fine;
}

static bool uses_value(const tw_block *block, const tw_value *v)
{
    tw_for_each_op (op, block) {
        for (uint32_t i = 0; i < op->operands; i++)
            if (op->operand[i] == v)
                return true;
        for (uint32_t i = 0; i < op->regions; i++)
            if (uses_value(op->region[i], v))
                return true;
    }
    return false;
}

/* What a round leaves in a variable, made to fit what the round began with. A variable that gets another type before it
 * is ever read is no carried one: it ends with the loop. */
static bool end_of_round(lowering *c, const node *n, tw_block *region, carried *x, size_t i, val_list *out)
{
    val was = x->start.data[i], is = *tw_lang_variable(c->frame, x->names.data[i]), a = was, b = is;
    val_list leaves = {0};
    if (!tw_lang_reconcile(c, n, x->names.data[i], &a, &b, region, region))
        return false;
    if (tw_lang_same(&a, &was) && a.kind != V_UNDEFINED)
        return tw_lang_leaves(c, &b, out);
    bool used = false, fine = tw_lang_leaves(c, &was, &leaves);
    for (size_t k = 0; k < leaves.count && fine; k++) {
        used = used || uses_value(region, leaves.data[k].v);
        fine = tw_vec_push(out, leaves.data[k]);
    }
    tw_vec_free(&leaves);
    x->lost[i] = tw_arena_text(c->l->arena, "it is %s before the loop and %s after a round", tw_lang_type_text(c, &was),
                               tw_lang_type_text(c, &is));
    if (used || !fine || !x->lost[i])
        return tw_lang_error(c, n, "'%s' is %s before the loop and %s after a round; expected one type (cast it)",
                             x->names.data[i], tw_lang_type_text(c, &was), tw_lang_type_text(c, &is));
    return true;
}

static bool end_region(lowering *c, const node *n, tw_block *region, carried *x, val_list *out)
{
    for (size_t i = 0; i < x->names.count; i++)
        if (!end_of_round(c, n, region, x, i, out))
            return false;
    return true;
}

static bool yield(lowering *c, const node *n, tw_value *first, const val_list *values)
{
    size_t extra = first != NULL;
    tw_value **v = tw_arena_alloc(c->l->arena, (values->count + 2) * sizeof *v);
    if (!v)
        return tw_lang_error(c, n, "out of memory");
    v[0] = first;
    for (size_t i = 0; i < values->count; i++)
        v[extra + i] = values->data[i].v;
    if (tw_graph_add(c->g, TW_T_YIELD, (int)(values->count + extra), v, NULL))
        return true;
    return tw_lang_error(c, n, "%s", tw_error_message());
}

/* Variables after the loop: as before, those that it carries from its results, new ones gone. */
static bool after_loop(lowering *c, const tw_op *op, carried *x, const environment *before)
{
    environment inside = c->frame->env;
    c->frame->env = tw_lang_copy_environment(c, before);
    for (int i = before->count; i < inside.count; i++)
        if (!tw_lang_define(c, inside.item[i].name,
                            (val){.kind = V_UNDEFINED, .name = "only the body of a loop defines it"}))
            return false;
    for (size_t i = 0; i < x->init.count; i++)
        x->init.data[i].v = &op->result[i];
    return give(c, x, x->init.data, false);
}

static bool finished(lowering *c, const node *n, tw_op *op)
{
    return tw_op_finish(c->g, op) == TW_OK || tw_lang_error(c, n, "%s", tw_error_message());
}

/* ---- for ---- */

typedef struct range {
    val lower, upper, step;
    sca s;         /* of the variable */
    int64_t known; /* the step, where it is a constant; else 0 */
} range;

static bool body_of(lowering *c, const node *body)
{
    return tw_lang_set_flag(c, c->continued, false) && tw_lang_statements(c, body->child, body->count);
}

static bool integer_scalar(lowering *c, const node *n, val *v)
{
    if (!tw_lang_to_tensor(c, n, v))
        return false;
    if (!is_integer(v->s) || rank_of(v))
        return tw_lang_error(c, n, "a bound of range() is %s; expected an integer scalar", tw_lang_type_text(c, v));
    return true;
}

static bool range_tensors(lowering *c, const node *n, range *r)
{
    val known, a = r->lower, b = r->upper;
    r->known = 0;
    if (tw_lang_constant(&r->step, &known) && !tw_lang_to_int(c, n, &r->step, "the step", &r->known))
        return false;
    if (tw_lang_constant(&r->step, &known) && r->known == 0)
        return tw_lang_error(c, n, "range() with step 0");
    if (!integer_scalar(c, n, &r->lower) || !integer_scalar(c, n, &r->upper) || !integer_scalar(c, n, &r->step))
        return false;
    a = r->lower;
    b = r->upper;
    val s = r->step;
    if (!tw_lang_promote(c, n, &a, &b, false) || !tw_lang_promote(c, n, &a, &s, false))
        return false;
    r->s = a.s;
    return tw_lang_cast(c, n, &r->lower, number(S_I64)) && tw_lang_cast(c, n, &r->upper, number(S_I64)) &&
           tw_lang_cast(c, n, &r->step, number(S_I64));
}

/* A negative step: rounds 0, 1, ... count - 1 instead; the variable is lower + round * step. */
static bool turn_around(lowering *c, const node *n, range *r, val *origin, val *stride)
{
    val one = of_int(-r->known - 1), by = of_int(-r->known), count;
    *origin = r->lower;
    *stride = r->step;
    return tw_lang_binary(c, n, OP1('-'), &r->lower, &r->upper, &count) &&
           tw_lang_binary(c, n, OP1('+'), &count, &one, &count) &&
           tw_lang_binary(c, n, op_of("//"), &count, &by, &count) &&
           (r->upper = count, one = of_int(0), by = of_int(1), true) &&
           tw_lang_number(c, n, &one, number(S_I64), &r->lower) && tw_lang_number(c, n, &by, number(S_I64), &r->step);
}

static bool loop_variable(lowering *c, const node *n, tw_value *index, const range *r, const val *origin,
                          const val *stride)
{
    val i = of_tensor(index, number(S_I64));
    if (r->known < 0 &&
        (!tw_lang_binary(c, n, OP1('*'), &i, stride, &i) || !tw_lang_binary(c, n, OP1('+'), &i, origin, &i)))
        return false;
    return tw_lang_cast(c, n, &i, r->s) && tw_lang_assign(c, n->child[0], i, true);
}

static bool plain_for(lowering *c, const node *n, range *r, const val *origin, const val *stride, carried *x)
{
    environment before = c->frame->env;
    tw_block *outer = c->g->insert_block;
    val_list out = {0};
    tw_value **operand = tw_arena_alloc(c->l->arena, (x->init.count + 3) * sizeof *operand);
    if (!operand)
        return tw_lang_error(c, n, "out of memory");
    operand[0] = r->lower.v;
    operand[1] = r->upper.v;
    operand[2] = r->step.v;
    for (size_t i = 0; i < x->init.count; i++)
        operand[3 + i] = x->init.data[i].v;
    tw_op *op = tw_graph_add(c->g, TW_T_FOR, (int)x->init.count + 3, operand, NULL);
    tw_value *index = op ? tw_block_add_arg(c->g, op->region[0], tw_type_scalar(TW_I64)) : NULL;
    if (!index)
        return tw_lang_error(c, n, "%s", tw_error_message());
    c->frame->env = tw_lang_copy_environment(c, &before);
    bool fine = begin_region(c, n, op->region[0], x, true) && loop_variable(c, n, index, r, origin, stride) &&
                body_of(c, n->child[2]) && end_region(c, n, c->g->insert_block, x, &out) && yield(c, n, NULL, &out);
    tw_graph_insert_at_end(c->g, outer);
    tw_vec_free(&out);
    return fine && finished(c, n, op) && after_loop(c, op, x, &before);
}

/* ---- while ---- */

typedef struct early { /* a loop that may be left early, or that has a condition of its own */
    const node *n, *body, *test;
    const range *range;
    const val *origin, *stride;
} early;

/* The counter of a loop, as a variable that no program can write. */
static const char *hidden_index(lowering *c, const node *n)
{
    char name[32];
    int length = snprintf(name, sizeof name, "(index %u)", n->at);
    return tw_lang_intern(c->l, name, (size_t)length);
}

/* May the next round begin? */
static bool goes_on(lowering *c, const early *e, val *condition)
{
    bool surely;
    val left;
    *condition = of_bool(true);
    if (e->range && !tw_lang_compare(c, e->n, CMP_LT, tw_lang_variable(c->frame, hidden_index(c, e->n)),
                                     &e->range->upper, condition))
        return false;
    if (e->test && !tw_lang_evaluate(c, e->test, condition))
        return false;
    if (!tw_lang_condition(c, e->n, condition) || !tw_lang_flags(c, e->n, &surely, &left))
        return false;
    if (left.kind == V_NONE)
        return true;
    return tw_lang_unary(c, e->n, OP1('!'), &left, &left) &&
           tw_lang_binary(c, e->n, OP1('&'), condition, &left, condition);
}

static bool one_round(lowering *c, const early *e)
{
    if (e->range &&
        !loop_variable(c, e->n, tw_lang_variable(c->frame, hidden_index(c, e->n))->v, e->range, e->origin, e->stride))
        return false;
    const char *const left[] = {c->returned, c->broken};
    for (int i = 0; i < 2; i++) /* a round begins only where they are not set */
        if (tw_lang_variable(c->frame, left[i]) && !tw_lang_set_flag(c, left[i], false))
            return false;
    if (!body_of(c, e->body) || !tw_lang_set_flag(c, c->continued, false))
        return false;
    if (!e->range)
        return true;
    val *index = tw_lang_variable(c->frame, hidden_index(c, e->n)), next;
    return tw_lang_binary(c, e->n, OP1('+'), index, &e->range->step, &next) &&
           tw_lang_define(c, hidden_index(c, e->n), next);
}

static bool while_loop(lowering *c, const early *e, carried *x)
{
    environment before = c->frame->env;
    tw_block *outer = c->g->insert_block;
    val_list out = {0};
    val condition;
    tw_value **operand = tw_arena_alloc(c->l->arena, (x->init.count + 1) * sizeof *operand);
    if (!operand)
        return tw_lang_error(c, e->n, "out of memory");
    for (size_t i = 0; i < x->init.count; i++)
        operand[i] = x->init.data[i].v;
    tw_op *op = tw_graph_add(c->g, TW_T_WHILE, (int)x->init.count, operand, NULL);
    if (!op)
        return tw_lang_error(c, e->n, "%s", tw_error_message());
    c->frame->env = tw_lang_copy_environment(c, &before);
    bool fine = begin_region(c, e->n, op->region[0], x, true) && goes_on(c, e, &condition) &&
                end_region(c, e->n, c->g->insert_block, x, &out) && yield(c, e->n, condition.v, &out);
    out.count = 0;
    c->frame->env = tw_lang_copy_environment(c, &before);
    fine = fine && begin_region(c, e->n, op->region[1], x, true) && one_round(c, e) &&
           end_region(c, e->n, c->g->insert_block, x, &out) && yield(c, e->n, NULL, &out);
    tw_graph_insert_at_end(c->g, outer);
    tw_vec_free(&out);
    return fine && finished(c, e->n, op) && after_loop(c, op, x, &before);
}

/* Flags that the loop may set are carried; a `return` in a loop has no value. */
static bool carry_flags(lowering *c, const node *n, bool breaks, bool returns, bool ranged, carried *x)
{
    if (breaks && (!tw_lang_set_flag(c, c->broken, false) || !carry(c, c->broken, x)))
        return false;
    if (returns && !tw_lang_variable(c->frame, c->result) && !tw_lang_define(c, c->result, of_none()))
        return false;
    if (returns) {
        if (!tw_lang_variable(c->frame, c->returned) && !tw_lang_set_flag(c, c->returned, false))
            return false;
        if (!carry(c, c->returned, x))
            return false;
    }
    return !ranged || carry(c, hidden_index(c, n), x);
}

static bool after_early(lowering *c, bool breaks)
{
    return !breaks || tw_lang_set_flag(c, c->broken, false);
}

static bool range_loop(lowering *c, const node *n, range *r)
{
    carried x = {0};
    bool breaks = false, continues = false, returns = false;
    val origin = of_none(), stride = of_none();
    leaves_early(n->child[2], true, &breaks, &continues, &returns);
    if (breaks && !tw_lang_note(c, n, "break"))
        return false;
    if (continues && !tw_lang_note(c, n, "continue"))
        return false;
    bool fine = range_tensors(c, n, r) && (r->known >= 0 || turn_around(c, n, r, &origin, &stride));
    bool early_exit = breaks || returns;
    if (fine && early_exit)
        fine = tw_lang_define(c, hidden_index(c, n), r->lower) && carry_flags(c, n, breaks, returns, true, &x);
    fine = fine && begin_carrying(c, n, n->child[2], &x);
    c->frame->run_time_loops++;
    if (fine && early_exit) {
        early e = {.n = n, .body = n->child[2], .range = r, .origin = &origin, .stride = &stride};
        fine = while_loop(c, &e, &x) && after_early(c, breaks);
    } else {
        fine = fine && plain_for(c, n, r, &origin, &stride, &x);
    }
    c->frame->run_time_loops--;
    free_carried(&x);
    return fine;
}

/* ---- unrolled ---- */

typedef struct unrolled {
    const node *n;
    const val *item; /* or, without one, first + i * step */
    int64_t first, step, count, next;
} unrolled;

static bool unrolled_rounds(lowering *c, void *data)
{
    unrolled *u = data;
    for (; u->next < u->count; u->next++) {
        bool surely;
        val any;
        if (!tw_lang_step(c, u->n))
            return false;
        val v = u->item ? u->item[u->next] : of_int((wide)u->first + (wide)u->next * u->step);
        if (!tw_lang_assign(c, u->n->child[0], v, true) || !body_of(c, u->n->child[2]))
            return false;
        if (!tw_lang_set_flag(c, c->continued, false) || !tw_lang_flags(c, u->n, &surely, &any))
            return false;
        if (surely)
            return true;
        if (any.kind == V_NONE)
            continue;
        unrolled rest = *u;
        rest.next++;
        u->next = u->count;
        return rest.next >= rest.count ||
               (tw_lang_unary(c, u->n, OP1('!'), &any, &any) && tw_lang_run_if(c, u->n, any, unrolled_rounds, &rest));
    }
    return true;
}

static bool unroll(lowering *c, unrolled u)
{
    bool breaks = false, continues = false, returns = false;
    leaves_early(u.n->child[2], true, &breaks, &continues, &returns);
    if (breaks && !c->frame->host && !tw_lang_note(c, u.n, "break"))
        return false;
    if (breaks && !tw_lang_set_flag(c, c->broken, false))
        return false;
    return unrolled_rounds(c, &u) && after_early(c, breaks);
}

/* ---- which kind of loop ---- */

static bool range_arguments(lowering *c, const node *call, range *r)
{
    static const char *const names[3][2] = {{"arg1", "start"}, {"arg2", "end"}, {"step", "step"}};
    val part[3];
    int count = 0, given_by_position = 0;
    for (int i = 0; i < 3; i++)
        part[i] = (val){.kind = V_UNDEFINED};
    for (uint32_t i = 1; i < call->count; i++) {
        const node *a = call->child[i];
        int at = a->kind == N_KEYWORD ? -1 : given_by_position++;
        for (int k = 0; k < 3 && a->kind == N_KEYWORD && a->name; k++)
            at = !strcmp(a->name, names[k][0]) || !strcmp(a->name, names[k][1]) ? k : at;
        if (at > 2 || a->kind == N_STARRED)
            return tw_lang_error(c, call, "range() takes one to three numbers");
        if (at >= 0 && !tw_lang_evaluate(c, a->kind == N_KEYWORD ? a->child[0] : a, &part[at]))
            return false;
        count += at >= 0;
    }
    if (part[0].kind == V_UNDEFINED || count == 0)
        return tw_lang_error(c, call, "range() takes one to three numbers");
    r->lower = part[1].kind == V_UNDEFINED ? of_int(0) : part[0];
    r->upper = part[1].kind == V_UNDEFINED ? part[0] : part[1];
    r->step = part[2].kind == V_UNDEFINED ? of_int(1) : part[2];
    return true;
}

static bool constant_range(lowering *c, const node *n, const range *r, unrolled *u)
{
    int64_t lower, upper;
    if (!tw_lang_to_int(c, n, &r->lower, "the start of an unrolled range", &lower) ||
        !tw_lang_to_int(c, n, &r->upper, "the end of an unrolled range", &upper) ||
        !tw_lang_to_int(c, n, &r->step, "the step of an unrolled range", &u->step))
        return false;
    if (u->step == 0)
        return tw_lang_error(c, n, "range() with step 0");
    wide distance = u->step > 0 ? (wide)upper - lower : (wide)lower - upper,
         size = u->step > 0 ? u->step : -(wide)u->step;
    u->first = lower;
    u->count = distance > 0 ? (int64_t)((distance + size - 1) / size) : 0;
    return true;
}

bool tw_lang_for(lowering *c, const node *n)
{
    const node *iterable = n->child[1];
    unrolled u = {.n = n};
    range r;
    val v;
    if (n->child[3])
        return tw_lang_error(c, n, "not supported: else of a loop");
    if (iterable->kind == N_CALL) {
        if (!tw_lang_evaluate(c, iterable->child[0], &v))
            return false;
        const char *name = v.kind == V_MEANING && v.meaning->kind == IS_SPECIAL ? v.meaning->name : "";
        bool constant = !strcmp(name, "static_range");
        if (constant || !strcmp(name, "range")) {
            if (!range_arguments(c, iterable, &r))
                return false;
            if (constant || c->frame->host)
                return constant_range(c, iterable, &r, &u) && unroll(c, u);
            return range_loop(c, n, &r);
        }
    }
    if (!tw_lang_evaluate(c, iterable, &v) || !tw_lang_iterate(c, iterable, &v, &v))
        return false;
    u.item = v.item;
    u.count = v.count;
    return unroll(c, u);
}

/* A condition that is known: host code runs it; a kernel's loop stays a loop. */
static bool host_while(lowering *c, const node *n)
{
    while (true) {
        val test, any;
        bool truth, surely;
        if (!tw_lang_step(c, n) || !tw_lang_evaluate(c, n->child[0], &test) || !tw_lang_truth(c, n, &test, &truth))
            return false;
        if (!truth)
            return true;
        if (!body_of(c, n->child[1]) || !tw_lang_set_flag(c, c->continued, false) ||
            !tw_lang_flags(c, n, &surely, &any))
            return false;
        if (surely)
            return tw_lang_set_flag(c, c->broken, false);
    }
}

bool tw_lang_while(lowering *c, const node *n)
{
    carried x = {0};
    bool breaks = false, continues = false, returns = false;
    if (n->child[2])
        return tw_lang_error(c, n, "not supported: else of a loop");
    if (c->frame->host)
        return host_while(c, n);
    leaves_early(n->child[1], true, &breaks, &continues, &returns);
    if ((breaks && !tw_lang_note(c, n, "break")) || (continues && !tw_lang_note(c, n, "continue")))
        return false;
    early e = {.n = n, .body = n->child[1], .test = n->child[0]};
    c->frame->run_time_loops++;
    bool fine = carry_flags(c, n, breaks, returns, false, &x) && begin_carrying(c, n, n->child[1], &x) &&
                while_loop(c, &e, &x) && after_early(c, breaks);
    c->frame->run_time_loops--;
    free_carried(&x);
    return fine;
}
