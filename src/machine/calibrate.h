/* How fast this machine runs the library's kernels: a curve by class and size, measured on training steps of small
 * models, and what another step would take by it. */
#ifndef TW_MACHINE_CALIBRATE_H
#define TW_MACHINE_CALIBRATE_H

#include "machine/captured.h"
#include "tilewright/nn.h"

typedef struct tw_calibration {
    tw_captured_launch *sample;
    int samples, room;
    double per_operation;           /* s of a step beside its launches, for one recorded operation */
    double peak, bandwidth, launch; /* best of all samples: FLOP/s, byte/s, s */
} tw_calibration;

/* Trains `config` for a few steps of `batch` random sequences and notes what it runs. */
tw_status tw_captured_training(const tw_gpt_config *config, int64_t batch, int times, tw_captured *captured);

/* The models that calibrate: index from 0; false: no more. */
bool tw_calibration_model(int index, tw_gpt_config *config, int64_t *batch);

/* What was captured here as samples. error: no memory. */
tw_status tw_calibration_add(tw_calibration *c, const tw_captured *captured);
void tw_calibration_free(tw_calibration *c);

/* Seconds of a step with those launches. The efficiency of each is that of samples of its class that are nearest in
 * operations, bytes and programs, on a logarithmic scale. */
double tw_calibrated_time(const tw_calibration *c, const tw_captured *captured);

/* As a table of samples, and back. error: TW_ERR_FORMAT with file, line and column. */
void tw_calibration_print(const tw_calibration *c, tw_text *out);
tw_status tw_calibration_parse(const char *file, const char *text, size_t bytes, tw_calibration *out);

#endif
