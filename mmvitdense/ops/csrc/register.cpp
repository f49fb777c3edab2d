// Registers one device's implementations of the operators, whose schemas mmvitdense/ops/schemas.py defines.
// Compiled once into each library: with MMVITDENSE_DEVICE=CPU and MMVITDENSE_NAMESPACE=cpu, or CUDA and cuda.

#include <torch/library.h>

#include "ops.h"

#define MMVITDENSE_STRING_(x) #x
#define MMVITDENSE_STRING(x) MMVITDENSE_STRING_(x)

// Which torch, sources and platform this library belongs to. Read from the file before it is loaded.
extern "C" __attribute__((used, visibility("default"))) const char mmvitdense_build_key[] =
    "mmvitdense-build-key:" MMVITDENSE_STRING(MMVITDENSE_BUILD_KEY) ";";

TORCH_LIBRARY_IMPL(mmvitdense, MMVITDENSE_DEVICE, library) {
  namespace ops = mmvitdense::MMVITDENSE_NAMESPACE;
  library.impl("ms_deform_attn", &ops::ms_deform_attn);
  library.impl("ms_deform_attn_backward", &ops::ms_deform_attn_backward);
  library.impl("ms_deform_attn_fused", &ops::ms_deform_attn_fused);
  library.impl("ms_deform_attn_fused_backward", &ops::ms_deform_attn_fused_backward);
}
