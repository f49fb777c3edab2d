// The kernels for any processor of the platform.
#define MMVITDENSE_ISA baseline
#include "kernels.h"
#include "lanes.h"
#include "token_maps_kernels.h"
#include "winograd_kernels.h"
