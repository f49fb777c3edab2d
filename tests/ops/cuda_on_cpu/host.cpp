// The binding of the operators as it is in the project, translated, in one unit: torch's headers take seconds.
#include "register.cpp"

#include "cuda/ms_deform_attn.cpp"

#include <memory>

// Defines the operators in a namespace of their own; called once, after the library is loaded.
extern "C" __attribute__((visibility("default"))) void cuda_on_cpu_register(const char* name) {
  static std::unique_ptr<torch::Library> library;
  library = std::make_unique<torch::Library>(torch::Library::DEF, name, std::nullopt, __FILE__, __LINE__);
  cuda_on_cpu_define(*library);
}
