#include "ops/reduce.h"
