/* tw tile compile, run, check. */
#include "cli/tile.h"
#include "runtime/launch.h"
#include "tile/optimise.h"
#include "tile/say.h"

/* ---- compile ---- */

/* Code is made from the program that a launch would have made, with nothing known of the arguments. */
static tw_status emit_code(const tile_request *r, tw_text *text)
{
    tw_graph *g = tw_graph_clone(r->program.graph);
    const tw_backend *backend;
    tw_status status = g ? tw_backend_chosen(&backend) : TW_ERR_MEMORY;
    if (status == TW_OK)
        status = tw_tile_optimise(&g);
    if (status == TW_OK && !backend->emit)
        status = tw_error(TW_ERR_UNSUPPORTED, "--emit '%s': the back end %s makes no code", r->emit, backend->name);
    if (status == TW_OK)
        status = backend->emit(g, r->emit, text);
    tw_graph_destroy(g);
    return status;
}

static tw_status emit(const tile_request *r)
{
    tw_text text = {0};
    tw_status status = TW_OK;
    if (!strcmp(r->emit, "tile"))
        tw_graph_print(r->program.graph, &text);
    else if (!strcmp(r->emit, "llvm") || !strcmp(r->emit, "asm"))
        status = emit_code(r, &text);
    else
        status = tw_error(TW_ERR_VALUE, "--emit '%s'; expected tile, llvm or asm", r->emit);
    if (status == TW_OK)
        fputs(tw_text_string(&text), stdout);
    tw_text_free(&text);
    return status;
}

int tile_cmd_compile(int argc, char **argv)
{
    tile_request *r = tw_alloc_zero(1, sizeof *r);
    int code = 1;
    if (!r ||
        !tile_parse(r, "compile", "Compiles one kernel for the given types and prints it.", false, argc, argv, &code)) {
        tw_free(r);
        return code;
    }
    tw_status status = tile_compile(r);
    if (status == TW_OK) {
        fputs(r->program.notes, stderr);
        status = emit(r);
    }
    code = status == TW_OK ? 0 : tile_fail(r, "compile");
    tile_free(r);
    return code;
}

/* ---- run and check ---- */

static void print_line(void *user, const char *line)
{
    (void)user;
    puts(line);
}

typedef struct findings {
    const tile_request *r;
    const tw_op *seen[64]; /* said once an operation and kind */
    tw_tile_finding_kind kind[64];
    int count, counts[TW_TILE_FINDINGS];
} findings;

static void say_finding(void *user, const tw_tile_finding *f)
{
    findings *x = user;
    x->counts[f->kind]++;
    for (int i = 0; i < x->count; i++)
        if (x->seen[i] == f->op && x->kind[i] == f->kind)
            return;
    if (x->count == (int)TW_COUNT(x->seen))
        return;
    x->seen[x->count] = f->op;
    x->kind[x->count++] = f->kind;
    const tw_lang_place *p = tile_place(x->r, f->op);
    printf("%s:%d: %s: %s, in program (%lld, %lld, %lld)\n", p ? p->file : "?", p ? p->line : 0,
           tw_tile_finding_name(f->kind), f->text, (long long)f->program[0], (long long)f->program[1],
           (long long)f->program[2]);
    tile_say_place(x->r, f->op, stdout);
}

/* The interpreter's buffers as addresses. */
static tw_status run_compiled(const tile_request *r, const tw_tile_buffer *buffer, const tw_tile_argument *argument,
                              const tw_op **failed_at)
{
    int64_t word[TILE_MOST_ARGS * 8];
    tw_launcher *l;
    const tw_launch_options options = {.general = r->general, .print = print_line};
    tile_words(r, buffer, argument, word);
    TW_TRY(tw_launcher_create(r->program.graph, &options, &l));
    int64_t failed = -1;
    tw_status status = tw_launcher_run(l, r->grid, word, &failed);
    tw_launcher_destroy(l);
    const tw_op **statement =
        tw_alloc((size_t)tw_tile_statements(r->program.graph->body, NULL) * sizeof *statement + 1);
    if (statement && failed >= 0) {
        tw_tile_statements(r->program.graph->body, statement);
        *failed_at = statement[failed];
    }
    tw_free((void *)statement);
    return status;
}

static int run_kernel(const char *command, const char *about, bool check, int argc, char **argv)
{
    tw_tile_buffer buffer[TILE_MOST_ARGS];
    tw_tile_argument argument[TILE_MOST_ARGS * 8];
    const tw_op *failed_at = NULL;
    tw_tile_run run;
    int buffers, code = 1;
    tile_request *r = tw_alloc_zero(1, sizeof *r);
    findings x = {.r = r};
    if (!r || !tile_parse(r, command, about, true, argc, argv, &code)) {
        tw_free(r);
        return code;
    }
    tw_status status = tile_load(r);
    if (status == TW_OK)
        status = tile_compile(r);
    if (status == TW_OK)
        fputs(r->program.notes, stderr);
    if (status == TW_OK)
        status = tile_bind(r, buffer, &buffers, argument, &run);
    if (status == TW_OK) {
        run.print = print_line;
        run.failed_at = &failed_at;
        run.most_operations = (int64_t)1 << 36;
        if (check) {
            run.check_races = run.check_unwritten = run.check_nan = true;
            run.found = say_finding;
            run.user = &x;
            run.most_operations = (int64_t)1 << 30;
        }
        status = check || r->interpret ? tw_tile_interpret(r->program.graph, &run)
                                       : run_compiled(r, buffer, argument, &failed_at);
    }
    if (status == TW_OK)
        status = tile_save(r);
    if (status == TW_OK && check)
        printf("%d out of bounds, %d races, %d reads of unwritten memory, %d NaN\n", x.counts[0], x.counts[1],
               x.counts[2], x.counts[3]);
    code = status != TW_OK ? tile_fail(r, command) : x.count > 0;
    if (status != TW_OK)
        tile_say_place(r, failed_at, stderr);
    tile_free(r);
    return code;
}

int tile_cmd_run(int argc, char **argv)
{
    return run_kernel("run", "Compiles a kernel and runs it on .npy arrays.", false, argc, argv);
}

int tile_cmd_check(int argc, char **argv)
{
    return run_kernel(
        "check",
        "Runs a kernel in the interpreter and says where it reads or writes outside of its arrays, where program\n"
        "instances race, where it reads what nobody wrote, and where the first NaN comes from. Exit status 1 where\n"
        "something was found.",
        true, argc, argv);
}
