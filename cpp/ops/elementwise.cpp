#include "ops/elementwise.h"
