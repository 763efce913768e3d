#include "ops/gemm.h"
