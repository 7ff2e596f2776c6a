/* The published measurements of data/machine, compiled into the program. */
#ifndef TW_CLI_MEASUREMENTS_H
#define TW_CLI_MEASUREMENTS_H

#include "machine/internal.h"

extern const tw_embedded tw_embedded_measurements[];

#endif
