/* tw explain: what the training step of a GPT, or a graph in text form, is compiled to, and how fast that is. */
#include <stdlib.h>

#include "base/os.h"
#include "cli/graph_file.h"
#include "cli/training.h"
#include "tilewright/explain.h"

typedef struct destination {
    tw_explain_form form;
    const char *path; /* NULL: not wanted */
} destination;

enum { DESTINATIONS = 3 };
typedef struct outputs {
    bool tsv;
    destination file[DESTINATIONS];
} outputs;

/* Before anything runs, so that a wrong path costs no time. */
static tw_status check_paths(const outputs *to)
{
    tw_os_writer *w = NULL;
    for (int i = 0; i < DESTINATIONS; i++) {
        if (to->file[i].path)
            TW_TRY(tw_os_writer_open(to->file[i].path, &w));
        tw_os_writer_cancel(w);
        w = NULL;
    }
    return TW_OK;
}

static tw_status write_file(const tw_explanation *e, const char *title, const destination *d)
{
    tw_os_writer *w = NULL;
    char *text = tw_explain_text(e, d->form, title);
    tw_status status = text ? tw_os_writer_open(d->path, &w) : tw_error_code();
    if (status == TW_OK && (status = tw_os_writer_write(w, text, strlen(text))) != TW_OK)
        tw_os_writer_cancel(w);
    else if (status == TW_OK)
        status = tw_os_writer_commit(w, false);
    tw_text_release(text);
    if (status == TW_OK)
        fprintf(stderr, "wrote %s\n", d->path);
    return status;
}

static tw_status explain(tw_explained_step *step, void *user, const char *title, const outputs *to)
{
    TW_TRY(check_paths(to));
    tw_explanation *e = tw_explain_step(step, user);
    char *text = e ? tw_explain_text(e, to->tsv ? TW_EXPLAIN_TSV : TW_EXPLAIN_TABLE, title) : NULL;
    tw_status status = text ? TW_OK : tw_error_code();
    if (text)
        fputs(text, stdout);
    for (int i = 0; i < DESTINATIONS && status == TW_OK; i++)
        if (to->file[i].path)
            status = write_file(e, title, &to->file[i]);
    tw_text_release(text);
    tw_explanation_free(e);
    return status;
}

static tw_status train_once(void *user)
{
    tw_status status;
    training_step(user, &status);
    return status;
}

static tw_status explain_training(training *t, const outputs *to)
{
    char title[200];
    tw_status status = training_open(t, NULL, true);
    snprintf(title, sizeof title, "training step of a GPT: %lld layers, dim %lld, %lld heads, context %lld, batch %lld",
             (long long)t->config.layers, (long long)t->config.dim, (long long)t->config.heads,
             (long long)t->config.context, (long long)t->batch);
    if (status == TW_OK)
        status = explain(train_once, t, title, to);
    training_close(t);
    return status;
}

static tw_status run_graph_once(void *user)
{
    return graph_run_compute(user);
}

static tw_status explain_graph(const char *file, int64_t seed, const outputs *to)
{
    graph_run *r = NULL;
    char title[200];
    snprintf(title, sizeof title, "the graph in %.150s", strcmp(file, "-") ? file : "standard input");
    tw_status status = graph_run_open(file, NULL, seed, &r);
    if (status == TW_OK)
        status = explain(run_graph_once, r, title, to);
    graph_run_close(r);
    return status;
}

int cmd_explain(int argc, char **argv)
{
    training t = training_defaults();
    outputs to = {.file = {{.form = TW_EXPLAIN_HTML}, {.form = TW_EXPLAIN_TRACE}, {.form = TW_EXPLAIN_DOT}}};
    text_list file = {.count = 0};
    int code;
    const option own[] = {
        {"--html", "FILE", "write a page with timeline, kernels, memory and graph", OPTION_TEXT, &to.file[0].path, 0,
         0},
        {"--trace", "FILE", "write a trace for chrome://tracing or ui.perfetto.dev", OPTION_TEXT, &to.file[1].path, 0,
         0},
        {"--dot", "FILE", "write the kernels as a graph for Graphviz", OPTION_TEXT, &to.file[2].path, 0, 0},
        {"--tsv", NULL, "one line a launch instead of the tables", OPTION_FLAG, &to.tsv, 0, 0},
    };
    option options[TRAINING_OPTIONS + TW_COUNT(own)];
    training_options(&t, options);
    memcpy(options + TRAINING_OPTIONS, own, sizeof own);
    const command_line line = {
        .name = "explain",
        .about = "Explains the training step of a GPT (options as in tw train; without --data on random bytes), or\n"
                 "the graph in FILE on random inputs: segments, kernels, time, memory, and why.",
        .options = options,
        .count = TW_COUNT(options),
        .operand = "FILE",
        .given = &file,
        .most = 1};
    if (!cli_parse(&line, argc, argv, &code))
        return code;
    tw_status status = TW_OK;
    TW_SCOPE {
        status = file.count ? explain_graph(file.item[0], t.seed, &to) : explain_training(&t, &to);
    }
    tw_scope_end_all();
    return status == TW_OK ? 0 : cli_fail("explain");
}
