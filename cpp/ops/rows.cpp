#include "ops/rows.h"
