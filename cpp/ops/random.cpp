#include "ops/random.h"
