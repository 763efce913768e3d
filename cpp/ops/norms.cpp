#include "ops/norms.h"
