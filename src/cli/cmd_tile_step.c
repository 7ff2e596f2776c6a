/* tw tile step: a stepping debugger. It stops where the line changes and shows what the line before computed. */
#include <math.h>
#include <stdlib.h>

#include "base/os.h"
#include "cli/tile.h"

typedef struct stepper {
    const tile_request *r;
    int64_t wanted[3];      /* program that is stepped through; -1: any */
    uint32_t place;         /* of the operations that ran last */
    const tw_op *done[256]; /* what they were */
    int count;
    int line; /* to stop at; 0: at every one */
    bool running, terminal;
} stepper;

static const char *short_type(const tile_request *r, const tw_value *v, char *room, size_t size)
{
    tw_text text = {0};
    tw_type_print(r->program.graph, &v->type, &text);
    snprintf(room, size, "%s", tw_text_string(&text));
    tw_text_free(&text);
    return room;
}

static void extremes(const tw_type *t, const void *data, int64_t count, double *low, double *high)
{
    *low = INFINITY;
    *high = -INFINITY;
    for (int64_t i = 0; i < count; i++) {
        double x = tw_tile_element(t, data, i);
        if (isnan(x))
            continue;
        *low = fmin(*low, x);
        *high = fmax(*high, x);
    }
}

/* A tile of two dimensions as a picture: the larger the value, the darker; ? is NaN. */
static void print_picture(const tw_type *t, const void *data)
{
    static const char shades[] = " .:-=+*#%@";
    enum { MOST_ROWS = 16, MOST_COLUMNS = 64 };
    int64_t rows = t->dims[t->rank - 2], columns = t->dims[t->rank - 1];
    double low, high;
    extremes(t, data, rows * columns, &low, &high);
    for (int64_t i = 0; i < TW_MIN(rows, (int64_t)MOST_ROWS); i++) {
        printf("        |");
        for (int64_t j = 0; j < TW_MIN(columns, (int64_t)MOST_COLUMNS); j++) {
            double x = tw_tile_element(t, data,
                                       (i * rows / TW_MIN(rows, (int64_t)MOST_ROWS)) * columns +
                                           j * columns / TW_MIN(columns, (int64_t)MOST_COLUMNS));
            int shade = high > low ? (int)((x - low) / (high - low) * 9.999) : 0;
            putchar(isnan(x) ? '?' : shades[TW_MAX(TW_MIN(shade, 9), 0)]);
        }
        printf("|\n");
    }
}

static void print_value(const tile_request *r, const tw_value *v, const void *data, const char *what, bool whole)
{
    enum { FEW = 8, MANY = 256 };
    char type[80];
    const tw_type *t = &v->type;
    int64_t count = 1, shown = whole ? MANY : FEW;
    for (int i = 0; i < t->rank; i++)
        count *= t->dims[i];
    printf("    %%%-5u %-12s %-16s", v->id, what, short_type(r, v, type, sizeof type));
    if (!data) {
        printf(" (not computed)\n");
        return;
    }
    for (int64_t i = 0; i < TW_MIN(count, shown); i++)
        printf(t->pointer ? " %.0f" : " %.6g", tw_tile_element(t, data, i));
    if (count > shown) {
        double low, high;
        extremes(t, data, count, &low, &high);
        printf(" ... from %.6g to %.6g", low, high);
    }
    printf("\n");
    if (t->rank >= 2 && !t->pointer && t->dims[t->rank - 1] > 1 && whole)
        print_picture(t, data);
}

static void show_done(stepper *s, const tw_tile_machine *m)
{
    for (int i = 0; i < s->count; i++)
        for (uint32_t k = 0; k < s->done[i]->results; k++)
            if (s->done[i]->code != TW_T_CONSTANT && s->done[i]->code != TW_T_BROADCAST)
                print_value(s->r, &s->done[i]->result[k], tw_tile_machine_value(m, &s->done[i]->result[k]),
                            s->done[i]->info->name, false);
}

static void help(void)
{
    printf("  s, Enter   next line          c          run to the end or to the line of `b`\n"
           "  b LINE     stop at a line     p N        value %%N in full, with a picture\n"
           "  w          where              g X,Y,Z    stop in that program only (-1: any)\n"
           "  q          quit\n");
}

static const tw_value *value_by_id(const tw_block *block, uint32_t id)
{
    tw_for_each_op (op, block) {
        for (uint32_t i = 0; i < op->results; i++)
            if (op->result[i].id == id)
                return &op->result[i];
        for (uint32_t i = 0; i < op->regions; i++) {
            for (uint32_t k = 0; k < op->region[i]->args; k++)
                if (op->region[i]->arg[k]->id == id)
                    return op->region[i]->arg[k];
            const tw_value *v = value_by_id(op->region[i], id);
            if (v)
                return v;
        }
    }
    return NULL;
}

/* One command; returns 's' to go on by a line, 'c' to go on, 'q' to end, 0 for another command. */
static int command(stepper *s, const tw_tile_machine *m, const tw_op *op, char *line)
{
    char *rest = line + 1 + strspn(line + 1, " ");
    rest[strcspn(rest, "\r\n")] = '\0';
    switch (line[0]) {
    case '\n':
    case 's':
        return 's';
    case 'c':
        return 'c';
    case 'q':
        return 'q';
    case 'b':
        s->line = (int)strtol(rest, NULL, 10);
        printf("  stops at line %d\n", s->line);
        return 0;
    case 'g':
        for (int i = 0; i < 3; i++) {
            s->wanted[i] = strtoll(rest, &rest, 10);
            rest += *rest == ',';
        }
        return 0;
    case 'w':
        tile_say_place(s->r, op, stdout);
        return 0;
    case 'p': {
        const tw_value *v = value_by_id(s->r->program.graph->body, (uint32_t)strtoul(rest + (*rest == '%'), NULL, 10));
        if (v)
            print_value(s->r, v, tw_tile_machine_value(m, v), v->def ? v->def->info->name : "carried", true);
        else
            printf("  no value %s\n", rest);
        return 0;
    }
    default:
        help();
        return 0;
    }
}

static bool here(const stepper *s, const int64_t *program)
{
    for (int i = 0; i < 3; i++)
        if (s->wanted[i] >= 0 && s->wanted[i] != program[i])
            return false;
    return true;
}

static bool on_step(void *user, tw_tile_machine *m, const tw_op *op)
{
    stepper *s = user;
    char line[128];
    const int64_t *program = tw_tile_machine_program(m);
    if (!here(s, program))
        return true;
    if (op->place == s->place || !tile_place(s->r, op)) {
        if (s->count < (int)TW_COUNT(s->done))
            s->done[s->count++] = op;
        return true;
    }
    if (!s->running)
        show_done(s, m);
    s->place = op->place;
    s->count = 0;
    s->done[s->count++] = op;
    const tw_lang_place *p = tile_place(s->r, op);
    if (s->running && (s->line == 0 || p->line != s->line))
        return true;
    s->running = false;
    printf("program (%lld, %lld, %lld)\n", (long long)program[0], (long long)program[1], (long long)program[2]);
    tile_say_place(s->r, op, stdout);
    for (int answer = 0; !answer;) {
        if (s->terminal)
            printf("(step) ");
        fflush(stdout);
        if (!fgets(line, sizeof line, stdin))
            return false;
        answer = command(s, m, op, line);
        if (answer == 'q')
            return false;
        s->running = answer == 'c';
    }
    return true;
}

static void print_line(void *user, const char *line)
{
    (void)user;
    puts(line);
}

int tile_cmd_step(int argc, char **argv)
{
    tw_tile_buffer buffer[TILE_MOST_ARGS];
    tw_tile_argument argument[TILE_MOST_ARGS * 8];
    const tw_op *failed_at = NULL;
    tw_tile_run run;
    int buffers, code = 1;
    tile_request *r = tw_alloc_zero(1, sizeof *r);
    stepper s = {.r = r, .wanted = {-1, -1, -1}, .terminal = tw_os_terminal(stdout)};
    if (!r || !tile_parse(r, "step", "Runs a kernel in the interpreter line by line; h lists the commands.", true, argc,
                          argv, &code)) {
        tw_free(r);
        return code;
    }
    tw_status status = tile_load(r);
    if (status == TW_OK)
        status = tile_compile(r);
    if (status == TW_OK)
        status = tile_bind(r, buffer, &buffers, argument, &run);
    if (status == TW_OK) {
        run.print = print_line;
        run.step = on_step;
        run.user = &s;
        run.failed_at = &failed_at;
        status = tw_tile_interpret(r->program.graph, &run);
    }
    if (status == TW_OK)
        status = tile_save(r);
    code = status == TW_OK ? 0 : status == TW_ERR_INTERRUPTED ? CLI_INTERRUPTED : tile_fail(r, "step");
    if (status != TW_OK && status != TW_ERR_INTERRUPTED)
        tile_say_place(r, failed_at, stderr);
    tile_free(r);
    return code;
}
