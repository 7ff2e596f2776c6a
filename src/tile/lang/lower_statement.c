/* Statements: assignments and branches.
 *
 * What is known at compile time is decided and unrolled here. What is not becomes `if`, `for` and `while` operations
 * whose results are the variables that their regions change. return, break and continue set flags (variables with names
 * that no program can write): once a flag may be set, the statements behind stand in `if (no flag)`. */
#include "tile/lang/control.h"

/* ---- assignments ---- */

/* A number becomes a tensor when a variable takes it, as in Triton; in host functions it stays. */
static bool settled(lowering *c, const node *n, val *v)
{
    if (c->frame->host)
        return true;
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
        if (!settled(c, n, &t.item[i]))
            return false;
    }
    *v = t;
    return true;
}

static bool assign_parts(lowering *c, const node *target, val v, bool keep)
{
    val parts;
    int count = (int)target->count, star = -1;
    if (!tw_lang_iterate(c, target, &v, &parts))
        return false;
    for (int i = 0; i < count; i++)
        star = target->child[i]->kind == N_STARRED ? i : star;
    if (star < 0 ? parts.count != count : parts.count < count - 1)
        return tw_lang_error(c, target, "found %d values, expected %d", (int)parts.count, count);
    for (int i = 0, from = 0; i < count; i++) {
        val item = parts.item[TW_MIN(from, TW_MAX(parts.count - 1, 0))];
        if (i == star) {
            item = tw_lang_tuple(c, parts.count - count + 1);
            for (int j = 0; j < item.count; j++)
                item.item[j] = parts.item[from++];
        } else {
            from++;
        }
        if (!tw_lang_assign(c, target->child[i]->kind == N_STARRED ? target->child[i]->child[0] : target->child[i],
                            item, keep))
            return false;
    }
    return true;
}

/* name[index] = v: of a tuple, or (an extension) of a tile. */
static bool assign_item(lowering *c, const node *target, val v)
{
    val of, index;
    if (!tw_lang_evaluate(c, target->child[0], &of) || !tw_lang_evaluate(c, target->child[1], &index))
        return false;
    if (target->child[0]->kind != N_NAME)
        return tw_lang_error(c, target, "not supported: an assignment to a part of %s", tw_lang_type_text(c, &of));
    if (of.kind == V_TUPLE) {
        int64_t i;
        if (!tw_lang_to_int(c, target, &index, "an index", &i))
            return false;
        i += i < 0 ? of.count : 0;
        if (i < 0 || i >= of.count)
            return tw_lang_error(c, target, "index %lld of %s", (long long)i, tw_lang_type_text(c, &of));
        val t = tw_lang_tuple(c, of.count);
        for (int j = 0; j < t.count; j++)
            t.item[j] = j == i ? v : of.item[j];
        return tw_lang_define(c, target->child[0]->name, t);
    }
    if (of.kind != V_TENSOR || rank_of(&of) != 1 || index.kind == V_SLICE || index.kind == V_TUPLE)
        return tw_lang_error(c, target, "not supported: an assignment to a part of %s", tw_lang_type_text(c, &of));
    val at;
    return tw_lang_note(c, target, "an assignment to an element of a tile") && tw_lang_to_tensor(c, target, &v) &&
           tw_lang_cast(c, target, &v, of.s) && tw_lang_iota(c, target, 0, of.v->type.dims[0], number(S_I32), &at) &&
           tw_lang_compare(c, target, CMP_EQ, &at, &index, &at) && tw_lang_where(c, target, at, v, of, &of) &&
           tw_lang_define(c, target->child[0]->name, of);
}

bool tw_lang_assign(lowering *c, const node *target, val v, bool keep)
{
    switch (target->kind) {
    case N_NAME:
        if (!keep && !settled(c, target, &v))
            return false;
        return tw_lang_define(c, target->name, v);
    case N_TUPLE:
    case N_LIST:
        return assign_parts(c, target, v, keep);
    case N_SUBSCRIPT:
        return (keep || settled(c, target, &v)) && assign_item(c, target, v);
    default:
        return tw_lang_error(c, target, "not supported: an assignment to this expression");
    }
}

static bool is_constexpr(const node *annotation)
{
    if (annotation && annotation->kind == N_SUBSCRIPT)
        annotation = annotation->child[0];
    return annotation &&
           ((annotation->kind == N_ATTRIBUTE || annotation->kind == N_NAME || annotation->kind == N_STRING) &&
            (!strcmp(annotation->name, "constexpr") || !strcmp(annotation->name, "tl.constexpr")));
}

static bool assign_annotated(lowering *c, const node *n)
{
    val v, known;
    if (!n->child[2])
        return true;
    if (!tw_lang_evaluate(c, n->child[2], &v))
        return false;
    if (!is_constexpr(n->child[1]))
        return tw_lang_assign(c, n->child[0], v, false);
    if (v.kind == V_TENSOR) {
        if (!tw_lang_constant(&v, &known))
            return tw_lang_error(c, n, "a tl.constexpr is given %s; expected a value known at compile time",
                                 tw_lang_type_text(c, &v));
        v = known;
    }
    return tw_lang_assign(c, n->child[0], v, true);
}

static bool assign_augmented(lowering *c, const node *n)
{
    val a, b, r;
    if (!tw_lang_evaluate(c, n->child[0], &a) || !tw_lang_evaluate(c, n->child[1], &b))
        return false;
    bool keep = is_number(&a) && is_number(&b); /* a tl.constexpr stays one */
    return tw_lang_binary(c, n, n->op, &a, &b, &r) && tw_lang_assign(c, n->child[0], r, keep);
}

/* ---- flags ---- */

static const val *flag_value(lowering *c, const char *name)
{
    static const val no = {.kind = V_BOOL};
    const val *v = tw_lang_variable(c->frame, name);
    return v && v->kind != V_UNDEFINED ? v : &no;
}

bool tw_lang_set_flag(lowering *c, const char *name, bool truth)
{
    return tw_lang_define(c, name, of_bool(truth));
}

/* Is one of the flags set: never, surely, or (a tensor in *any) perhaps? */
bool tw_lang_flags(lowering *c, const node *n, bool *surely, val *any)
{
    const char *const names[] = {c->returned, c->broken, c->continued};
    *surely = false;
    *any = of_none();
    for (int i = 0; i < 3; i++) {
        const val *v = flag_value(c, names[i]);
        if (v->kind == V_BOOL) {
            *surely = *surely || v->truth;
            continue;
        }
        if (any->kind == V_NONE)
            *any = *v;
        else if (!tw_lang_binary(c, n, OP1('|'), any, v, any))
            return false;
    }
    return true;
}

/* ---- branches at run time ---- */

typedef struct way { /* one region of an `if`: some statements and those that follow, or an expression */
    const node *block, *expression;
    node *const *rest;
    uint32_t rest_count;
    bool (*run)(lowering *c, void *data); /* or anything else */
    void *data;
    environment env;
    tw_block *region;
    val value;
} way;

environment tw_lang_copy_environment(lowering *c, const environment *e)
{
    environment copy = {.count = e->count, .room = e->count};
    copy.item = tw_arena_alloc(c->l->arena, (size_t)(e->count + 1) * sizeof *copy.item);
    if (!copy.item)
        return (environment){0};
    if (e->count)
        memcpy(copy.item, e->item, (size_t)e->count * sizeof *copy.item);
    return copy;
}

static bool run_way(lowering *c, way *w)
{
    w->value = of_none();
    tw_graph_insert_at_end(c->g, w->region);
    if (w->expression)
        return tw_lang_evaluate(c, w->expression, &w->value);
    if (w->run) {
        const char *const names[] = {c->returned, c->broken, c->continued};
        for (int i = 0; i < 3; i++) /* here none of them is set */
            if (flag_value(c, names[i])->kind != V_BOOL && !tw_lang_set_flag(c, names[i], false))
                return false;
        return w->run(c, w->data);
    }
    if (w->block && !tw_lang_statements(c, w->block->child, w->block->count))
        return false;
    if (!w->rest_count)
        return true;
    bool surely;
    val any;
    if (!tw_lang_flags(c, w->block, &surely, &any))
        return false;
    return surely || tw_lang_statements(c, w->rest, w->rest_count);
}

/* A boolean scalar, also of a tile with one element. */
bool tw_lang_condition(lowering *c, const node *n, val *v)
{
    if (!tw_lang_to_bool(c, n, v))
        return false;
    if (rank_of(v) == 0)
        return true;
    for (int i = 0; i < rank_of(v); i++)
        if (v->v->type.dims[i] != 1)
            return tw_lang_error(c, n, "the condition is %s; expected a scalar (reduce it, or use tl.where)",
                                 tw_lang_type_text(c, v));
    return tw_lang_emit(c, n, tw_t_reshape(c->g, v->v, 0, NULL), v->s, v);
}

/* The variables of both ways, made alike; *changed are those that differ. */
static bool reconcile_ways(lowering *c, const node *n, way w[2], environment *merged, val_list leaves[2])
{
    *merged = tw_lang_copy_environment(c, &w[0].env);
    for (int k = 0; k < w[1].env.count; k++) { /* names that only the second way has */
        const variable *x = &w[1].env.item[k];
        bool known = false;
        for (int i = 0; i < merged->count && !known; i++)
            known = merged->item[i].name == x->name;
        if (known)
            continue;
        frame *f = c->frame;
        environment kept = f->env;
        f->env = *merged;
        bool fine = tw_lang_define(c, x->name, (val){.kind = V_UNDEFINED, .name = "only one way defines it"});
        *merged = f->env;
        f->env = kept;
        if (!fine)
            return false;
    }
    for (int i = 0; i < merged->count; i++) {
        variable *x = &merged->item[i];
        val a = x->v, b = {.kind = V_UNDEFINED, .name = "only one way defines it"};
        bool flag_name = x->name == c->returned || x->name == c->broken || x->name == c->continued;
        if (i < w[1].env.count && w[1].env.item[i].name == x->name)
            b = w[1].env.item[i].v;
        else
            for (int k = 0; k < w[1].env.count; k++)
                b = w[1].env.item[k].name == x->name ? w[1].env.item[k].v : b;
        if (flag_name && a.kind == V_UNDEFINED)
            a = of_bool(false);
        if (flag_name && b.kind == V_UNDEFINED)
            b = of_bool(false);
        bool same = tw_lang_same(&a, &b);
        if (!same && !tw_lang_reconcile(c, n, x->name, &a, &b, w[0].region, w[1].region))
            return false;
        x->v = a;
        if (same || a.kind == V_UNDEFINED)
            continue;
        if (!tw_lang_leaves(c, &a, &leaves[0]) || !tw_lang_leaves(c, &b, &leaves[1]))
            return false;
        x->v.name = "merged"; /* to be rebuilt from the results */
    }
    return true;
}

static bool finish_region(lowering *c, const node *n, tw_block *region, const val_list *values)
{
    tw_value **v = tw_arena_alloc(c->l->arena, (values->count + 1) * sizeof *v);
    if (!v)
        return tw_lang_error(c, n, "out of memory");
    for (size_t i = 0; i < values->count; i++)
        v[i] = values->data[i].v;
    tw_graph_insert_at_end(c->g, region);
    if (tw_graph_add(c->g, TW_T_YIELD, (int)values->count, v, NULL))
        return true;
    return tw_lang_error(c, n, "%s", tw_error_message());
}

static bool take_results(lowering *c, const node *n, tw_op *op, val_list *leaves)
{
    if (tw_op_finish(c->g, op) != TW_OK)
        return tw_lang_error(c, n, "%s", tw_error_message());
    for (size_t i = 0; i < leaves->count; i++)
        leaves->data[i].v = &op->result[i];
    return true;
}

/* Both ways from the same start; afterwards the frame has what is left. Expressions: *value is theirs. */
static bool branch(lowering *c, const node *n, val condition, way *first, way *second, val *value)
{
    way w[2] = {*first, *second};
    val_list leaves[2] = {{0}, {0}};
    tw_block *outer = c->g->insert_block;
    frame *f = c->frame;
    environment start = f->env, merged;
    int used = 0;
    if (!tw_lang_condition(c, n, &condition))
        return false;
    tw_op *op = tw_t_if(c->g, condition.v);
    if (!op)
        return tw_lang_error(c, n, "%s", tw_error_message());
    for (int i = 0; i < 2; i++) {
        w[i].region = op->region[i];
        f->env = tw_lang_copy_environment(c, &start);
        if (!run_way(c, &w[i]))
            return false;
        w[i].env = f->env;
    }
    bool fine = reconcile_ways(c, n, w, &merged, leaves);
    if (fine && value) {
        fine = tw_lang_reconcile(c, n, "", &w[0].value, &w[1].value, w[0].region, w[1].region);
        if (fine && w[0].value.kind == V_UNDEFINED)
            fine = tw_lang_error(c, n, "the value of a conditional expression: %s", w[0].value.name);
        fine = fine && tw_lang_leaves(c, &w[0].value, &leaves[0]) && tw_lang_leaves(c, &w[1].value, &leaves[1]);
    }
    fine = fine && finish_region(c, n, op->region[0], &leaves[0]) && finish_region(c, n, op->region[1], &leaves[1]);
    tw_graph_insert_at_end(c->g, outer);
    fine = fine && take_results(c, n, op, &leaves[0]);
    for (int i = 0; i < merged.count && fine; i++) {
        val *v = &merged.item[i].v;
        if (v->kind == V_UNDEFINED || !v->name || strcmp(v->name, "merged") != 0)
            continue;
        v->name = NULL;
        fine = tw_lang_rebuild(v, leaves[0].data, &used, c, v);
    }
    if (fine && value)
        fine = tw_lang_rebuild(&w[0].value, leaves[0].data, &used, c, value);
    f->env = merged;
    tw_vec_free(&leaves[0]);
    tw_vec_free(&leaves[1]);
    return fine;
}

bool tw_lang_conditional(lowering *c, const node *n, val *out)
{
    val test, known;
    bool truth;
    if (!tw_lang_evaluate(c, n->child[0], &test))
        return false;
    if (test.kind != V_TENSOR || tw_lang_constant(&test, &known))
        return tw_lang_truth(c, n->child[0], &test, &truth) && tw_lang_evaluate(c, n->child[truth ? 1 : 2], out);
    way then = {.expression = n->child[1]}, otherwise = {.expression = n->child[2]};
    return branch(c, n, test, &then, &otherwise, out);
}

/* ---- if ---- */

static bool ends(const node *block) /* nothing behind it is reached */
{
    const node *last = block && block->count ? block->child[block->count - 1] : NULL;
    if (!last)
        return false;
    if (last->kind == N_IF)
        return last->child[2] && ends(last->child[1]) && ends(last->child[2]);
    return last->kind == N_RETURN || last->kind == N_BREAK || last->kind == N_CONTINUE || last->kind == N_RAISE;
}

/* *rest_done: the statements behind were lowered with one of the ways. */
static bool if_statement(lowering *c, const node *n, node *const *rest, uint32_t rest_count, bool *rest_done)
{
    val test, known;
    bool truth;
    *rest_done = false;
    if (!tw_lang_evaluate(c, n->child[0], &test))
        return false;
    if (test.kind != V_TENSOR || tw_lang_constant(&test, &known)) {
        if (!tw_lang_truth(c, n->child[0], &test, &truth))
            return false;
        const node *block = n->child[truth ? 1 : 2];
        return !block || tw_lang_statements(c, block->child, block->count);
    }
    way then = {.block = n->child[1]}, otherwise = {.block = n->child[2]};
    way *goes_on = ends(n->child[1]) ? &otherwise : ends(n->child[2]) ? &then : NULL;
    if (goes_on && rest_count) {
        goes_on->rest = rest;
        goes_on->rest_count = rest_count;
        *rest_done = true;
    }
    return branch(c, n, test, &then, &otherwise, NULL);
}

/* ---- the rest ---- */

/* Under `if condition`: what `run` lowers. */
bool tw_lang_run_if(lowering *c, const node *n, val condition, bool (*run)(lowering *c, void *data), void *data)
{
    way then = {.run = run, .data = data}, otherwise = {.block = NULL};
    return branch(c, n, condition, &then, &otherwise, NULL);
}

static bool return_statement(lowering *c, const node *n)
{
    val v = of_none();
    if (n->child[0] && (!tw_lang_evaluate(c, n->child[0], &v) || !settled(c, n, &v)))
        return false;
    if (!c->frame->caller && v.kind != V_NONE)
        return tw_lang_error(c, n, "a kernel returns %s; expected nothing", tw_lang_type_text(c, &v));
    if (c->frame->run_time_loops && v.kind != V_NONE)
        return tw_lang_error(c, n,
                             "not supported: return of %s inside a loop; assign it, break, and return behind the loop",
                             tw_lang_type_text(c, &v));
    return tw_lang_define(c, c->result, v) && tw_lang_set_flag(c, c->returned, true);
}

static bool assertion(lowering *c, const node *n)
{
    val test, message = {.kind = V_STRING, .text = "", .count = 0}, known;
    bool truth;
    if (!tw_lang_evaluate(c, n->child[0], &test) || (n->child[1] && !tw_lang_evaluate(c, n->child[1], &message)))
        return false;
    const char *text = message.kind == V_STRING ? message.text : "";
    if (test.kind != V_TENSOR || tw_lang_constant(&test, &known)) {
        if (!tw_lang_truth(c, n, &test, &truth))
            return false;
        return truth || tw_lang_error(c, n, "the assertion does not hold%s%.*s", message.count ? ": " : "",
                                      (int)message.count, text);
    }
    return tw_lang_to_bool(c, n, &test) &&
           (tw_t_assert(c->g, test.v, text) || tw_lang_error(c, n, "%s", tw_error_message()));
}

static bool raise_statement(lowering *c, const node *n)
{
    const node *what = n->child[0];
    val v;
    if (what && what->kind == N_CALL && what->count > 1 && tw_lang_evaluate(c, what->child[1], &v) &&
        v.kind == V_STRING)
        return tw_lang_error(c, n, "the kernel raises: %.*s", (int)TW_MIN(v.count, 300), v.text);
    return tw_lang_error(c, n, "the kernel raises an exception here");
}

static bool nested_function(lowering *c, const node *n)
{
    val f = {.kind = V_FUNCTION, .function = n->function};
    return tw_lang_define(c, n->function->name, f);
}

static bool statement(lowering *c, const node *n)
{
    val v;
    switch (n->kind) {
    case N_EXPRESSION:
        return n->child[0]->kind == N_STRING || tw_lang_evaluate(c, n->child[0], &v);
    case N_ASSIGN:
        if (!tw_lang_evaluate(c, n->child[n->count - 1], &v))
            return false;
        for (uint32_t i = 0; i + 1 < n->count; i++)
            if (!tw_lang_assign(c, n->child[i], v, false))
                return false;
        return true;
    case N_ANNOTATED:
        return assign_annotated(c, n);
    case N_AUGMENTED:
        return assign_augmented(c, n);
    case N_RETURN:
        return return_statement(c, n);
    case N_FOR:
    case N_WHILE: {
        c->frame->loops++;
        bool fine = n->kind == N_FOR ? tw_lang_for(c, n) : tw_lang_while(c, n);
        c->frame->loops--;
        return fine;
    }
    case N_PASS:
        return true;
    case N_BREAK:
    case N_CONTINUE:
        if (c->frame->loops == 0)
            return tw_lang_error(c, n, "found '%s' outside a loop", n->kind == N_BREAK ? "break" : "continue");
        return tw_lang_set_flag(c, n->kind == N_BREAK ? c->broken : c->continued, true);
    case N_ASSERT:
        return assertion(c, n);
    case N_RAISE:
        return raise_statement(c, n);
    case N_DEFINITION:
        return nested_function(c, n);
    case N_WITH:
        n = n->child[n->count - 1];
        return tw_lang_statements(c, n->child, n->count);
    case N_BLOCK:
        return tw_lang_statements(c, n->child, n->count);
    default:
        return tw_lang_error(c, n, "not supported in a kernel: %s",
                             n->kind == N_UNSUPPORTED ? n->name : "this statement");
    }
}

typedef struct rest {
    node *const *list;
    uint32_t count;
} rest;

static bool run_rest(lowering *c, void *data)
{
    const rest *r = data;
    return tw_lang_statements(c, r->list, r->count);
}

bool tw_lang_statements(lowering *c, node *const *list, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        bool surely, done = false, fine;
        val any;
        c->depth++;
        fine = tw_lang_step(c, list[i]);
        if (fine) {
            tw_lang_set_place(c, list[i]);
            fine = list[i]->kind == N_IF ? if_statement(c, list[i], list + i + 1, count - i - 1, &done)
                                         : statement(c, list[i]);
        }
        c->depth--;
        if (!fine)
            return false;
        if (done)
            return true;
        if (!tw_lang_flags(c, list[i], &surely, &any))
            return false;
        if (surely)
            return true;
        if (any.kind == V_NONE || i + 1 == count)
            continue;
        rest r = {list + i + 1, count - i - 1};
        return tw_lang_unary(c, list[i], OP1('!'), &any, &any) && tw_lang_run_if(c, list[i], any, run_rest, &r);
    }
    return true;
}

/* The body of a function in its own frame; *out is what it returns. */
bool tw_lang_run_body(lowering *c, function *f, val *out)
{
    if (!tw_lang_statements(c, f->body->child, f->body->count))
        return false;
    const val *v = tw_lang_variable(c->frame, c->result);
    *out = v ? *v : of_none();
    if (out->kind == V_UNDEFINED)
        return tw_lang_error(c, f->body, "what %s returns: %s", f->name, out->name);
    return true;
}
