/* What the subcommands of `tw tile` share. */
#ifndef TW_CLI_TILE_H
#define TW_CLI_TILE_H

#include "tile/lang/lang.h"

tw_status cli_tile_add(tw_lang *l, const char *path);

#endif
