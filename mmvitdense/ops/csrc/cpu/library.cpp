// All that includes headers of torch, as one unit: reading those takes most of the time of a build.
#include "../register.cpp"

#include "map_attention_operator.h"
#include "operators.h"
#include "soft_nms.h"
#include "token_maps_operator.h"
#include "winograd_operator.h"
