/* The kernels as a graph for Graphviz: `dot -Tsvg`. A box is a launch with its operations inside, an arrow a value that
 * crosses memory. Launches of one batch, which run at the same time, stand side by side. */
#include "explain/explain.h"

static const char *const colours[TW_KINDS] = {"#9ecae1", "#a1d99b", "#fdd0a2", "#dadaeb", "#d9d9d9"};

static void add_escaped(const char *text, tw_text *out)
{
    for (; *text; text++)
        tw_text_add(out, *text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
}

static void add_box(size_t plan, int number, const explained_launch *l, tw_text *out)
{
    enum { MOST_LINES = 40 };
    tw_text_add(out, "    p%zu_%d [fillcolor=\"%s\", label=\"%d: ", plan, number, colours[l->kind], number);
    add_escaped(l->name, out);
    tw_text_add(out, "\\n%.1f us, %.2f MFLOP, %.2f MB\\n", l->ns * 1e-3, (double)l->flops * 1e-6,
                (double)(l->bytes_read + l->bytes_written) * 1e-6);
    for (int i = 0; i < TW_MIN(l->insides, (int)MOST_LINES); i++) {
        add_escaped(l->inside[i], out);
        tw_text_add(out, "\\l");
    }
    if (l->insides > MOST_LINES)
        tw_text_add(out, "and %d more\\l", l->insides - MOST_LINES);
    tw_text_add(out, "\"];\n");
}

static void add_batches(size_t plan, const explained_plan *p, tw_text *out)
{
    for (int l = 0; l < p->launches;) {
        int batch = p->launch[l].batch;
        tw_text_add(out, "    { rank=same;");
        for (; l < p->launches && p->launch[l].batch == batch; l++)
            tw_text_add(out, " p%zu_%d;", plan, l);
        tw_text_add(out, " }\n");
    }
}

tw_status explain_graphviz(const tw_explanation *e, const char *title, tw_text *out)
{
    tw_text_add(out, "digraph step {\n    label=\"");
    add_escaped(title, out);
    tw_text_add(out, "\";\n    node [shape=box, style=filled, fontname=\"monospace\", fontsize=9];\n"
                     "    edge [fontname=\"monospace\", fontsize=8];\n");
    for (size_t i = 0; i < e->plans.count; i++) {
        const explained_plan *p = e->plans.data[i];
        for (int l = 0; l < p->launches; l++)
            add_box(i, l, &p->launch[l], out);
        add_batches(i, p, out);
        for (int k = 0; k < p->edges; k++) {
            tw_text_add(out, "    p%zu_%d -> p%zu_%d [label=\"", i, p->edge[k].from, i, p->edge[k].to);
            add_escaped(p->edge[k].value, out);
            tw_text_add(out, "\", edgetooltip=\"");
            add_escaped(p->edge[k].reason, out);
            tw_text_add(out, "\"];\n");
        }
    }
    tw_text_add(out, "}\n");
    return TW_OK;
}
