/* The text form of a graph. parse.c reads it back to the same thing. */
#include <math.h>

#include "ir/internal.h"

/* Values are numbered in the order in which they are printed, so that equal graphs have equal text. */
typedef struct printer {
    const tw_graph *g;
    tw_text *out;
    uint32_t *number; /* by value id; 0: not yet */
    uint32_t next;
} printer;

static void print_name(printer *p, const tw_value *v)
{
    if (!v)
        tw_text_add(p->out, "_");
    else if (!p->number)
        tw_text_add(p->out, "%%%u", v->id);
    else {
        if (!p->number[v->id])
            p->number[v->id] = ++p->next;
        tw_text_add(p->out, "%%%u", p->number[v->id] - 1);
    }
}

static void print_float(double value, tw_text *out)
{
    if (isnan(value))
        tw_text_add(out, "nan");
    else if (isinf(value))
        tw_text_add(out, value < 0 ? "-inf" : "inf");
    else
        tw_text_add(out, "%.17g", value);
}

/* In double quotes; \ stands before ", itself and n; other control characters are left out. */
static void print_text(const char *text, tw_text *out)
{
    tw_text_add(out, "\"");
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            tw_text_add(out, "\\%c", *text);
        else if (*text == '\n')
            tw_text_add(out, "\\n");
        else if ((unsigned char)*text >= ' ')
            tw_text_add(out, "%c", *text);
    }
    tw_text_add(out, "\"");
}

static void print_attr(const tw_graph *g, const tw_attr_info *info, const tw_attr *attr, tw_text *out)
{
    tw_text_add(out, "%s=", info->name);
    switch (info->kind) {
    case TW_ATTR_INT:
        tw_text_add(out, "%lld", (long long)attr->i);
        return;
    case TW_ATTR_FLOAT:
        print_float(attr->f, out);
        return;
    case TW_ATTR_BOOL:
        tw_text_add(out, attr->i ? "true" : "false");
        return;
    case TW_ATTR_DTYPE:
        tw_text_add(out, "%s", tw_dtype_name((tw_dtype)attr->i));
        return;
    case TW_ATTR_ENUM:
        tw_text_add(out, "%s", info->names[attr->i]);
        return;
    case TW_ATTR_TEXT:
        print_text(attr->text, out);
        return;
    case TW_ATTR_DIMS:
    case TW_ATTR_INTS:
        tw_text_add(out, "[");
        for (int i = 0; i < attr->dims.n; i++) {
            tw_text_add(out, "%s", i ? ", " : "");
            if (info->kind == TW_ATTR_INTS)
                tw_text_add(out, "%lld", (long long)attr->dims.v[i]);
            else
                tw_dim_print(g, attr->dims.v[i], out);
        }
        tw_text_add(out, "]");
        return;
    }
}

static void print_block(printer *p, const tw_block *block, int indent);

static void print_op(printer *p, const tw_op *op, int indent)
{
    tw_text_add(p->out, "%*s", indent, "");
    for (uint32_t i = 0; i < op->results; i++) {
        tw_text_add(p->out, "%s", i ? ", " : "");
        print_name(p, &op->result[i]);
    }
    tw_text_add(p->out, "%s%s", op->results ? " = " : "", op->info->name);
    for (uint32_t i = 0; i < op->operands; i++) {
        tw_text_add(p->out, "%s", i ? ", " : " ");
        print_name(p, op->operand[i]);
    }
    for (int i = 0; i < op->info->attrs; i++) {
        tw_text_add(p->out, i ? ", " : " {");
        print_attr(p->g, &op->info->attr_info[i], &op->attr[i], p->out);
    }
    tw_text_add(p->out, "%s", op->info->attrs ? "}" : "");
    for (uint32_t i = 0; i < op->results; i++) {
        tw_text_add(p->out, "%s", i ? ", " : " : ");
        tw_type_print(p->g, &op->result[i].type, p->out);
    }
    for (uint32_t i = 0; i < op->regions; i++) {
        tw_text_add(p->out, " (");
        for (uint32_t j = 0; j < op->region[i]->args; j++) {
            tw_text_add(p->out, "%s", j ? ", " : "");
            print_name(p, op->region[i]->arg[j]);
            tw_text_add(p->out, ": ");
            tw_type_print(p->g, &op->region[i]->arg[j]->type, p->out);
        }
        tw_text_add(p->out, ") {\n");
        print_block(p, op->region[i], indent + 4);
        tw_text_add(p->out, "%*s}", indent, "");
    }
    tw_text_add(p->out, "\n");
}

static void print_block(printer *p, const tw_block *block, int indent)
{
    tw_for_each_op (op, block)
        print_op(p, op, indent);
}

void tw_graph_print(const tw_graph *g, tw_text *out)
{
    printer p = {g, out, tw_alloc_zero(g->values + 1, sizeof(uint32_t)), 0};
    if (!p.number) {
        out->failed = true;
        return;
    }
    if (!strcmp(g->table->name, "tile"))
        tw_text_add(out, "program %s\n", *g->name ? g->name : "_");
    print_block(&p, g->body, 0);
    tw_free(p.number);
}

void tw_op_print(const tw_graph *g, const tw_op *op, int indent, tw_text *out)
{
    printer p = {g, out, NULL, 0};
    print_op(&p, op, indent);
}

/* For debuggers only: `call tw_graph_dump(g)`. */
void tw_graph_dump(const tw_graph *g)
{
    tw_text text = {0};
    tw_graph_print(g, &text);
    fputs(tw_text_string(&text), stderr);
    tw_text_free(&text);
}
