/* Everything that a program needs. */
#ifndef TILEWRIGHT_H
#define TILEWRIGHT_H

#include "tilewright/control.h"
#include "tilewright/explain.h"
#include "tilewright/io.h"
#include "tilewright/kernel.h"
#include "tilewright/nn.h"
#include "tilewright/ops.h"
#include "tilewright/optim.h"
#include "tilewright/tensor.h"

#endif
