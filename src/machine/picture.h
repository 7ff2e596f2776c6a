/* Pictures as SVG text: lines over a parameter, stacked bars, timelines, a roofline. Colours are chosen to stay apart
 * for colour-blind readers (Okabe and Ito). */
#ifndef TW_MACHINE_PICTURE_H
#define TW_MACHINE_PICTURE_H

#include "machine/timeline.h"

typedef struct tw_series {
    const char *name;
    const double *x, *y; /* NaN: a gap */
    int points;
} tw_series;

typedef struct tw_axes {
    const char *title, *x, *y;
    bool log_x, log_y;
} tw_axes;

typedef struct tw_bar_part {
    const char *name;
    double value;
} tw_bar_part;

void tw_picture_lines(tw_text *out, const tw_axes *axes, const tw_series *series, int count);
/* One bar a row, cut into parts; parts of one name have one colour. `unit` stands behind each value. */
typedef struct tw_bar {
    const char *name;
    tw_bar_part part[16];
    int parts;
} tw_bar;
void tw_picture_bars(tw_text *out, const char *title, const char *unit, const tw_bar *bar, int bars);
void tw_picture_timeline(tw_text *out, const tw_timeline *timeline, int most_stages);
/* Points under min(peak, bandwidth x intensity). */
typedef struct tw_roof_point {
    const char *name;
    double intensity, rate; /* FLOP/byte, FLOP/s */
} tw_roof_point;
void tw_picture_roofline(tw_text *out, double peak, double bandwidth, const tw_roof_point *point, int points);

void tw_text_escape(tw_text *out, const char *text); /* for XML: & < > " */

#endif
