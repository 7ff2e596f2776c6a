/* A prediction for one row, by what kind of measurement it is. */
#ifndef TW_MACHINE_PREDICT_H
#define TW_MACHINE_PREDICT_H

#include "machine/row.h"

typedef struct tw_prediction {
    double value, value2; /* in the row's units; NaN: not predicted */
    double seconds;
    char plan[240];
} tw_prediction;

/* error: why it cannot be computed. */
tw_status tw_predict(const tw_library *l, const tw_row *r, const tw_fit *constants, tw_prediction *out);

/* By kind; predict.c chooses. */
tw_status tw_predict_kernel(const tw_library *l, const tw_row *r, const tw_fit *constants, tw_prediction *out);
tw_status tw_predict_links(const tw_library *l, const tw_row *r, tw_prediction *out);
tw_status tw_predict_training(const tw_library *l, const tw_row *r, const tw_fit *constants, tw_prediction *out);
tw_status tw_predict_memory(const tw_library *l, const tw_row *r, const tw_fit *constants, tw_prediction *out);
tw_status tw_predict_inference(const tw_library *l, const tw_row *r, const tw_fit *constants, tw_prediction *out);
tw_status tw_predict_run(const tw_library *l, const tw_row *r, const tw_fit *constants, tw_prediction *out);
tw_status tw_predict_power(const tw_library *l, const tw_row *r, const tw_fit *constants, tw_prediction *out);

#endif
