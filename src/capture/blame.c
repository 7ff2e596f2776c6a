/* Which operation of a kernel is wrong: each is compiled alone and run on the reference's values of what it takes. If
 * one differs, it is the first that does; if none does, the kernel is wrong although its operations are right. Either
 * is saved as text and values that `tw run` runs again. */
#include "base/os.h"
#include "capture/capture.h"
#include "capture/check.h"
#include "ops/build.h"

tw_check_save *tw_check_saver;

/* A graph and what to run it on. */
typedef struct specimen {
    tw_graph *g;
    const tw_array **in;
    int inputs;
} specimen;

static void free_specimen(specimen *s)
{
    tw_graph_destroy(s->g);
    tw_free(s->in);
    *s = (specimen){0};
}

/* ---- saving ---- */

static tw_status save_text(const char *path, const tw_graph *g)
{
    tw_text text = {0};
    tw_os_writer *w = NULL;
    tw_graph_print(g, &text);
    tw_status status = text.failed ? TW_ERR_MEMORY : tw_os_writer_open(path, &w);
    if (status == TW_OK && (status = tw_os_writer_write(w, text.data, text.count)) != TW_OK)
        tw_os_writer_cancel(w);
    else if (status == TW_OK)
        status = tw_os_writer_commit(w, false);
    tw_text_free(&text);
    return status;
}

static tw_status save_inputs(const char *path, const specimen *s)
{
    const char **names = tw_alloc_zero((size_t)s->inputs + 1, sizeof *names);
    char(*text)[16] = tw_alloc_zero((size_t)s->inputs + 1, sizeof *text);
    tw_tensor **tensors = tw_alloc_zero((size_t)s->inputs + 1, sizeof *tensors);
    tw_status status = names && text && tensors ? TW_OK : TW_ERR_MEMORY;
    TW_SCOPE {
        for (int i = 0; i < s->inputs && status == TW_OK; i++) {
            snprintf(text[i], sizeof text[i], "input%d", i);
            names[i] = text[i];
            tensors[i] = tw_from_data(s->in[i]->data, s->in[i]->rank, s->in[i]->shape, s->in[i]->dtype);
        }
        if (status == TW_OK)
            status = tw_check_saver ? tw_check_saver(path, s->inputs, names, tensors, 0, NULL, NULL)
                                    : tw_error(TW_ERR_UNSUPPORTED, "this program has nothing that saves tensors");
    }
    tw_free(names);
    tw_free(text);
    tw_free(tensors);
    return status;
}

/* Says in `how` what to do to see it again. */
static void save(const specimen *s, char *how, size_t room)
{
    char folder[512], path[600], inputs[620], message[200];
    const char *own = tw_env("TW_CHECK_DIR");
    tw_hash h = {0};
    tw_status status = tw_graph_hash(s->g, &h);
    if (own)
        snprintf(folder, sizeof folder, "%s", own);
    else
        tw_os_temporary_folder(folder, sizeof folder);
    snprintf(path, sizeof path, "%s/tw-check-%016llx.tw", folder, (unsigned long long)h.lo);
    snprintf(inputs, sizeof inputs, "%.*s.safetensors", (int)strlen(path) - 3, path);
    if (status == TW_OK && own)
        status = tw_os_make_folders(own);
    if (status == TW_OK)
        status = save_text(path, s->g);
    if (status == TW_OK)
        status = save_inputs(inputs, s);
    snprintf(message, sizeof message, "%s", tw_error_message());
    if (status == TW_OK)
        snprintf(how, room, "see it again: tw run %s --inputs %s --compare", path, inputs);
    else
        snprintf(how, room, "it could not be saved: %s", message);
}

/* ---- one operation alone ---- */

static bool take_operands(specimen *s, const tw_op *op, const tw_array *const *of, tw_value **map)
{
    for (uint32_t i = 0; i < op->operands; i++) {
        const tw_value *v = op->operand[i];
        bool again = false;
        for (uint32_t j = 0; j < i; j++)
            again = again || op->operand[j] == v;
        if (again)
            continue;
        if (!(map[v->id] = tw_graph_input(s->g, v->type)))
            return false;
        s->in[s->inputs++] = of[v->id];
    }
    return true;
}

static bool isolate(const tw_graph *g, const tw_op *op, const tw_array *const *of, specimen *s)
{
    tw_value **map = tw_alloc_zero(g->values + 1, sizeof *map);
    *s = (specimen){tw_graph_create(g->table), tw_alloc_zero(op->operands + 1, sizeof *s->in), 0};
    tw_op *copy = map && s->g && s->in && take_operands(s, op, of, map) ? tw_graph_clone_op(s->g, g, op, map) : NULL;
    tw_free(map);
    return copy && tw_g_output(s->g, 1, (tw_value *[]){&copy->result[0]});
}

static tw_status spoil(void *user, int launch, void *const *buffers, bool done)
{
    const tw_plan *plan = user;
    if (done && tw_check_spoiler)
        tw_check_spoiler(plan, launch, buffers);
    return TW_OK;
}

static tw_status run_alone(const specimen *s, tw_array *got)
{
    tw_executable *e = NULL;
    const tw_type *t = &s->g->body->last->operand[0]->type;
    void **in = tw_alloc_zero((size_t)s->inputs + 1, sizeof *in), *out[1];
    tw_status status = in ? tw_array_create((tw_dtype)t->dtype, t->rank, t->dims, got) : TW_ERR_MEMORY;
    for (int i = 0; i < s->inputs && in; i++)
        in[i] = s->in[i]->data;
    out[0] = got->data;
    if (status == TW_OK)
        status = tw_compile_graph(s->g, NULL, NULL, &e);
    if (status == TW_OK)
        status = tw_execute_watched(e, in, out, &(tw_launch_watcher){spoil, e->plan});
    if (e)
        tw_executable_destroy(e);
    tw_free(in);
    return status;
}

/* A failure to compile it counts too, and is what the report says. */
static bool differs_alone(const specimen *s, tw_text *report)
{
    tw_array got = {0}, want = {0}, bound = {0};
    tw_array *in = tw_alloc_zero((size_t)s->inputs + 1, sizeof *in);
    for (int i = 0; i < s->inputs && in; i++)
        in[i] = *s->in[i];
    bool known = in && tw_reference_bounds(s->g, NULL, in, s->inputs, &want, &bound, 1) == TW_OK, fine = true;
    if (known && run_alone(s, &got) != TW_OK) {
        tw_text_add(report, "alone it fails: %s", tw_error_message());
        fine = false;
    } else if (known) {
        fine = tw_array_within(&got, &want, &bound, report);
    }
    tw_array_free(&got);
    tw_array_free(&want);
    tw_array_free(&bound);
    tw_free(in);
    return !fine;
}

/* ---- the search ---- */

typedef struct search {
    const tw_check_difference *d;
    tw_graph *g; /* every operation inside is an output */
    tw_array *value;
    const tw_array **of; /* by value id of g */
} search;

static tw_status open_search(search *s)
{
    const tw_plan_launch *l = &s->d->plan->launch[s->d->launch];
    int input = 0;
    s->g = tw_launch_graph(s->d->plan, s->d->launch, true);
    s->value = tw_alloc_zero((size_t)l->insides + 1, sizeof *s->value);
    s->of = s->g ? tw_alloc_zero(s->g->values + 1, sizeof *s->of) : NULL;
    if (!s->g || !s->value || !s->of)
        return TW_ERR_MEMORY;
    TW_TRY(tw_reference_run(s->g, NULL, s->d->read, l->reads, s->value, l->insides));
    for (int i = 0; i < l->insides; i++)
        s->of[s->g->body->last->operand[i]->id] = &s->value[i];
    tw_for_each_op (op, s->g->body)
        if (op->code == TW_G_INPUT)
            s->of[op->result[0].id] = &s->d->read[input++];
    return TW_OK;
}

static void close_search(search *s)
{
    for (int i = 0; s->value && i < s->d->plan->launch[s->d->launch].insides; i++)
        tw_array_free(&s->value[i]);
    tw_free(s->value);
    tw_free(s->of);
    tw_graph_destroy(s->g);
}

static const tw_op *find_first(const search *s, specimen *found, tw_text *report)
{
    tw_for_each_op (op, s->g->body) {
        if (op->code == TW_G_INPUT || op->code == TW_G_OUTPUT)
            continue;
        if (isolate(s->g, op, s->of, found) && differs_alone(found, report))
            return op;
        free_specimen(found);
    }
    return NULL;
}

static bool whole_kernel(const search *s, specimen *all)
{
    const tw_plan_launch *l = &s->d->plan->launch[s->d->launch];
    *all = (specimen){tw_launch_graph(s->d->plan, s->d->launch, false),
                      tw_alloc_zero((size_t)l->reads + 1, sizeof *all->in), l->reads};
    for (int j = 0; all->in && j < l->reads; j++)
        all->in[j] = &s->d->read[j];
    return all->g && all->in;
}

/* "%4 = exp %3" as the saved text has it. */
static void operation_text(const tw_graph *g, const tw_op *op, char *text, size_t room)
{
    tw_text line = {0};
    tw_op_print(g, op, 0, &line);
    snprintf(text, room, "%.*s", (int)strcspn(tw_text_string(&line), "\n"), tw_text_string(&line));
    tw_text_free(&line);
}

tw_status tw_check_blame(const tw_check_difference *d)
{
    search s = {.d = d};
    specimen found = {0}, all = {0};
    tw_text why = {0};
    char operation[100] = "", how[700] = "", output[100] = "";
    const char *kernel = d->plan->kernel[d->plan->launch[d->launch].kernel].name;
    tw_status status = open_search(&s);
    const tw_op *first = status == TW_OK ? find_first(&s, &found, &why) : NULL;
    if (status == TW_OK && whole_kernel(&s, &all)) {
        operation_text(all.g, all.g->body->last->operand[d->output]->def, output, sizeof output);
        if (first)
            operation_text(s.g, first, operation, sizeof operation);
        save(first ? &found : &all, how, sizeof how);
    }
    if (tw_log_on(TW_LOG_CHECK) && all.g) {
        tw_text text = {0};
        tw_graph_print(all.g, &text);
        tw_say(TW_LOG_CHECK, "launch %d, %s, differs at %s: %s\n%s", d->launch, kernel, output, d->report,
               tw_text_string(&text));
        tw_text_free(&text);
    }
    if (status == TW_OK && first)
        tw_error(TW_ERR_INTERNAL,
                 "check: launch %d, %s, is wrong: %s: %.190s; the first operation that differs alone: %s: %.190s; %s",
                 d->launch, kernel, output, d->report, operation, tw_text_string(&why), how);
    else if (status == TW_OK)
        tw_error(TW_ERR_INTERNAL, "check: launch %d, %s, is wrong: %s: %.190s; each of its operations alone agrees; %s",
                 d->launch, kernel, output, d->report, how);
    tw_say(TW_LOG_CHECK, "%s", tw_error_message());
    free_specimen(&found);
    free_specimen(&all);
    tw_text_free(&why);
    close_search(&s);
    return status == TW_OK ? TW_ERR_INTERNAL : status;
}
