/* SVG by hand: a picture is a few hundred rectangles and lines. */
#include "machine/picture.h"

#include <math.h>

enum { WIDTH = 900, HEIGHT = 420, LEFT = 90, RIGHT = 190, TOP = 40, BOTTOM = 56 };

static const char *const palette[] = {"#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9",
                                      "#b8a800", "#777777", "#332288", "#7fceb9", "#882255", "#cccccc"};

static const char *const work_colours[TW_WORKS] = {
    [TW_WORK_FORWARD] = "#0072b2", [TW_WORK_BACKWARD] = "#009e73", [TW_WORK_WEIGHT] = "#7fceb9",
    [TW_WORK_HOST] = "#999999",    [TW_WORK_TENSOR] = "#d55e00",   [TW_WORK_EXPERT] = "#cc79a7",
    [TW_WORK_CONTEXT] = "#b8a800", [TW_WORK_SEND] = "#e69f00",     [TW_WORK_DATA] = "#56b4e9",
    [TW_WORK_UPDATE] = "#332288",  [TW_WORK_OTHER] = "#cccccc"};

void tw_text_escape(tw_text *out, const char *text)
{
    for (; *text; text++)
        switch (*text) {
        case '&':
            tw_text_add(out, "&amp;");
            break;
        case '<':
            tw_text_add(out, "&lt;");
            break;
        case '>':
            tw_text_add(out, "&gt;");
            break;
        case '"':
            tw_text_add(out, "&quot;");
            break;
        default:
            tw_text_add_bytes(out, text, 1);
        }
}

static void open_picture(tw_text *out, int width, int height)
{
    tw_text_add(out,
                "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" "
                "font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"%d\" height=\"%d\" fill=\"#ffffff\"/>\n",
                width, height, width, height, width, height);
}

static void label(tw_text *out, double x, double y, const char *anchor, const char *text)
{
    tw_text_add(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", x, y, anchor);
    tw_text_escape(out, text);
    tw_text_add(out, "</text>\n");
}

static void box(tw_text *out, double x, double y, double w, double h, const char *colour)
{
    tw_text_add(out, "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" fill=\"%s\"/>\n", x, y, w, h, colour);
}

/* ---- axes ---- */

typedef struct scale {
    double low, high, from, to; /* values, pixels */
    bool log;
} scale;

static double place(const scale *s, double value)
{
    double t =
        s->log ? (log(value) - log(s->low)) / (log(s->high) - log(s->low)) : (value - s->low) / (s->high - s->low);
    return s->from + t * (s->to - s->from);
}

static bool drawable(const scale *s, double value)
{
    return isfinite(value) && (!s->log || value > 0);
}

static void widen(scale *s, double value)
{
    if (!drawable(s, value))
        return;
    s->low = TW_MIN(s->low, value);
    s->high = TW_MAX(s->high, value);
}

/* A linear axis begins at zero unless all values are far from it. */
static void round_off(scale *s)
{
    if (!(s->low <= s->high)) {
        s->low = s->log ? 1 : 0;
        s->high = s->log ? 10 : 1;
    }
    if (!s->log && s->low > 0 && s->low < 0.6 * s->high)
        s->low = 0;
    if (s->low == s->high) {
        s->low = s->log ? s->low / 2 : s->low - 0.5 * fabs(s->low) - 0.5;
        s->high = s->log ? s->high * 2 : s->high + 0.5 * fabs(s->high) + 0.5;
    }
}

/* Distance of marks: 1, 2 or 5 times a power of ten, five or so on an axis. */
static double mark_distance(const scale *s)
{
    double rough = (s->high - s->low) / 5, power = pow(10, floor(log10(rough))), lead = rough / power;
    return power * (lead < 1.5 ? 1 : lead < 3.5 ? 2 : lead < 7.5 ? 5 : 10);
}

static void draw_mark(tw_text *out, const scale *s, double value, bool vertical)
{
    char text[32];
    double at = place(s, value);
    snprintf(text, sizeof text, "%.4g", value);
    if (vertical) {
        tw_text_add(out, "<line x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#dddddd\"/>\n", LEFT,
                    WIDTH - RIGHT, at, at);
        label(out, LEFT - 8, at + 4, "end", text);
    } else {
        tw_text_add(out, "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\" stroke=\"#dddddd\"/>\n", at, at, TOP,
                    HEIGHT - BOTTOM);
        label(out, at, HEIGHT - BOTTOM + 18, "middle", text);
    }
}

static void draw_axis(tw_text *out, const scale *s, const char *name, bool vertical)
{
    if (s->log) {
        bool few = s->high / s->low < 50;
        for (double power = pow(10, floor(log10(s->low))); power <= s->high * 1.0001; power *= 10)
            for (int lead = 1; lead <= 5; lead = lead == 1 ? 2 : lead == 2 ? 5 : 6)
                if ((few || lead == 1) && power * lead >= s->low * 0.9999 && power * lead <= s->high * 1.0001)
                    draw_mark(out, s, power * lead, vertical);
    } else {
        double distance = mark_distance(s);
        for (double value = ceil(s->low / distance) * distance; value <= s->high * (1 + 1e-9); value += distance)
            draw_mark(out, s, value, vertical);
    }
    if (vertical)
        tw_text_add(out, "<g transform=\"rotate(-90 20 %d)\">", (TOP + HEIGHT - BOTTOM) / 2);
    label(out, vertical ? 20 : (LEFT + WIDTH - RIGHT) / 2.0, vertical ? (TOP + HEIGHT - BOTTOM) / 2.0 : HEIGHT - 14,
          "middle", name);
    if (vertical)
        tw_text_add(out, "</g>\n");
}

/* ---- lines ---- */

static void draw_series(tw_text *out, const tw_series *s, const scale *x, const scale *y, const char *colour)
{
    bool open = false;
    for (int i = 0; i <= s->points; i++) {
        bool here = i < s->points && drawable(x, s->x[i]) && drawable(y, s->y[i]);
        if (here)
            tw_text_add(out, "%s%.1f,%.1f", open ? " " : "<polyline fill=\"none\" stroke-width=\"2\" points=\"",
                        place(x, s->x[i]), place(y, s->y[i]));
        else if (open)
            tw_text_add(out, "\" stroke=\"%s\"/>\n", colour);
        open = here;
    }
    for (int i = 0; i < s->points; i++)
        if (drawable(x, s->x[i]) && drawable(y, s->y[i]))
            tw_text_add(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2.5\" fill=\"%s\"/>\n", place(x, s->x[i]),
                        place(y, s->y[i]), colour);
}

void tw_picture_lines(tw_text *out, const tw_axes *axes, const tw_series *series, int count)
{
    scale x = {INFINITY, -INFINITY, LEFT, WIDTH - RIGHT, axes->log_x},
          y = {INFINITY, -INFINITY, HEIGHT - BOTTOM, TOP, axes->log_y};
    for (int k = 0; k < count; k++)
        for (int i = 0; i < series[k].points; i++)
            if (drawable(&x, series[k].x[i]) && drawable(&y, series[k].y[i])) {
                widen(&x, series[k].x[i]);
                widen(&y, series[k].y[i]);
            }
    round_off(&x);
    round_off(&y);
    open_picture(out, WIDTH, HEIGHT);
    label(out, (LEFT + WIDTH - RIGHT) / 2.0, 22, "middle", axes->title);
    draw_axis(out, &x, axes->x, false);
    draw_axis(out, &y, axes->y, true);
    for (int k = 0; k < count; k++) {
        const char *colour = palette[(size_t)k % TW_COUNT(palette)];
        draw_series(out, &series[k], &x, &y, colour);
        box(out, WIDTH - RIGHT + 14, TOP + 18 * k, 12, 12, colour);
        label(out, WIDTH - RIGHT + 32, TOP + 18 * k + 10, "start", series[k].name);
    }
    tw_text_add(out, "</svg>\n");
}

/* ---- bars ---- */

typedef struct legend {
    const char *name[32];
    int count;
} legend;

static int colour_of(legend *l, const char *name)
{
    for (int i = 0; i < l->count; i++)
        if (!strcmp(l->name[i], name))
            return i;
    if (l->count < (int)TW_COUNT(l->name))
        l->name[l->count++] = name;
    return l->count - 1;
}

void tw_picture_bars(tw_text *out, const char *title, const char *unit, const tw_bar *bar, int bars)
{
    double most = 0;
    legend names = {.count = 0};
    for (int i = 0; i < bars; i++) {
        double sum = 0;
        for (int k = 0; k < bar[i].parts; k++) {
            sum += TW_MAX(0.0, bar[i].part[k].value);
            colour_of(&names, bar[i].part[k].name);
        }
        most = TW_MAX(most, isfinite(sum) ? sum : 0);
    }
    int height = TW_MAX(TOP + 34 * bars + 20, TOP + 18 * names.count + 10), left = 190;
    double room = WIDTH - left - RIGHT - 80;
    open_picture(out, WIDTH, height);
    label(out, WIDTH / 2.0, 22, "middle", title);
    for (int i = 0; i < bars; i++) {
        double at = left, sum = 0, y = TOP + 34 * i;
        char text[48];
        label(out, left - 8, y + 17, "end", bar[i].name);
        for (int k = 0; k < bar[i].parts; k++) {
            double value = bar[i].part[k].value, length = most > 0 && value > 0 ? value / most * room : 0;
            box(out, at, y, length, 24, palette[(size_t)colour_of(&names, bar[i].part[k].name) % TW_COUNT(palette)]);
            at += length;
            sum += TW_MAX(0.0, value);
        }
        snprintf(text, sizeof text, "%.4g %s", sum, unit);
        label(out, at + 6, y + 17, "start", text);
    }
    for (int i = 0; i < names.count; i++) {
        box(out, WIDTH - RIGHT + 30, TOP + 18 * i, 12, 12, palette[(size_t)i % TW_COUNT(palette)]);
        label(out, WIDTH - RIGHT + 48, TOP + 18 * i + 10, "start", names.name[i]);
    }
    tw_text_add(out, "</svg>\n");
}

/* ---- timelines ---- */

/* Rows of pixels: what is narrower than a pixel is drawn with its neighbour. */
static void draw_lane(tw_text *out, const tw_timeline *t, int stage, bool hidden, double y, double high, double room)
{
    double from = 0, to = -1;
    int work = -1;
    for (size_t i = 0; i <= t->spans; i++) {
        const tw_span *s = i < t->spans ? &t->span[i] : NULL;
        if (s && (s->stage != stage || s->hidden != hidden))
            continue;
        double start = s ? s->start / t->end * room : 0, end = s ? s->end / t->end * room : 0;
        if (s && s->work == work && start - to < 0.4 && start >= to - 1e-9) {
            to = end;
            continue;
        }
        if (work >= 0 && to - from > 0.05)
            box(out, LEFT + from, y, TW_MAX(to - from, 0.3), high, work_colours[work]);
        from = start;
        to = end;
        work = s ? s->work : -1;
    }
}

void tw_picture_timeline(tw_text *out, const tw_timeline *t, int most)
{
    int rows = TW_MIN(t->stages, most), height = TOP + 30 * rows + 70;
    double room = WIDTH - LEFT - 20;
    char text[96];
    bool seen[TW_WORKS] = {false};
    open_picture(out, WIDTH, height);
    for (int r = 0; r < rows; r++) { /* evenly spread over the pipeline where there are more stages than rows */
        int stage = rows > 1 ? (int)((double)r * (t->stages - 1) / (rows - 1)) : 0;
        double y = TOP + 30 * r;
        snprintf(text, sizeof text, "stage %d", stage);
        label(out, LEFT - 8, y + 15, "end", text);
        box(out, LEFT, y, room, 24, "#f4f4f4");
        draw_lane(out, t, stage, false, y, 16, room);
        draw_lane(out, t, stage, true, y + 17, 7, room);
    }
    for (size_t i = 0; i < t->spans; i++)
        seen[t->span[i].work] = true;
    double x = LEFT, y = TOP + 30 * rows + 20;
    for (int w = 0; w < TW_WORKS; w++) {
        if (!seen[w])
            continue;
        box(out, x, y, 12, 12, work_colours[w]);
        label(out, x + 16, y + 10, "start", tw_work_name((tw_work)w));
        x += 82;
    }
    snprintf(text, sizeof text, "0 to %.4g s; below each stage: communication beside compute", t->end);
    label(out, LEFT, y + 32, "start", text);
    tw_text_add(out, "</svg>\n");
}

/* ---- roofline ---- */

void tw_picture_roofline(tw_text *out, double peak, double bandwidth, const tw_roof_point *point, int points)
{
    scale x = {0.1, 10 * peak / bandwidth, LEFT, WIDTH - RIGHT, true},
          y = {peak / 3000, 2 * peak, HEIGHT - BOTTOM, TOP, true};
    for (int i = 0; i < points; i++) {
        widen(&x, point[i].intensity);
        widen(&y, point[i].rate / 2);
    }
    open_picture(out, WIDTH, HEIGHT);
    draw_axis(out, &x, "FLOP / byte", false);
    draw_axis(out, &y, "FLOP/s", true);
    double knee = peak / bandwidth, first = TW_MAX(x.low, y.low / bandwidth);
    tw_text_add(
        out,
        "<polyline fill=\"none\" stroke=\"#333333\" stroke-width=\"2\" points=\"%.1f,%.1f %.1f,%.1f %.1f,%.1f\"/>\n",
        place(&x, first), place(&y, bandwidth * first), place(&x, knee), place(&y, peak), place(&x, x.high),
        place(&y, peak));
    for (int i = 0; i < points; i++) {
        const char *colour = palette[(size_t)i % TW_COUNT(palette)];
        if (!drawable(&x, point[i].intensity) || !drawable(&y, point[i].rate))
            continue;
        tw_text_add(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"5\" fill=\"%s\"/>\n", place(&x, point[i].intensity),
                    place(&y, point[i].rate), colour);
        box(out, WIDTH - RIGHT + 14, TOP + 18 * i, 12, 12, colour);
        label(out, WIDTH - RIGHT + 32, TOP + 18 * i + 10, "start", point[i].name);
    }
    tw_text_add(out, "</svg>\n");
}
