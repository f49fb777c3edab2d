// Kernels for the tests of the emulation itself: some do what lanes may do, the others what they must not.

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#define API extern "C" __attribute__((visibility("default")))

namespace {

constexpr unsigned kAll = 0xffffffffu;

enum Act { kSkip, kLeave, kOtherMask, kNotInMask, kForeignLane, kBarrier, kTwoBarriers, kMisaligned, kWidth, kTrap };

__device__ float skip(int lane) {
  float x = lane;
  if (lane != 5) x = __shfl_xor_sync(kAll, x, 1);
  __syncwarp();
  return x;
}

__global__ void misbehave(Act act, float* numbers) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  switch (act) {
    case kSkip:
      numbers[threadIdx.x] = skip(lane);
      break;
    case kLeave:
      if (lane == 7) return;
      numbers[threadIdx.x] = __shfl_down_sync(kAll, float(lane), 1);
      break;
    case kOtherMask:
      numbers[threadIdx.x] = __shfl_sync(lane < 16 ? 0xffffu : kAll, lane, 0);
      break;
    case kNotInMask:
      numbers[threadIdx.x] = __ballot_sync(0xffffu, lane > 3);
      break;
    case kForeignLane:
      if (lane < 16) numbers[threadIdx.x] = __shfl_sync(0xffffu, lane, lane + 4);
      break;
    case kBarrier:
      if (warp != 1) __syncthreads();
      break;
    case kTwoBarriers:
      if (lane < 16) {
        __syncthreads();
      } else {
        __syncthreads();
      }
      break;
    case kMisaligned:
      numbers[threadIdx.x] = __ldg(reinterpret_cast<const float2*>(numbers + 1)).x;
      break;
    case kWidth:
      numbers[threadIdx.x] = __shfl_xor_sync(kAll, lane, 1, 24);
      break;
    case kTrap:
      __trap();
  }
}

__global__ void votes(int* out) {
  const int lane = threadIdx.x;
  int i = 0;
  const auto give = [&](int x) { out[32 * i++ + lane] = x; };
  give(__shfl_sync(kAll, lane, 3, 8));
  give(__shfl_up_sync(kAll, lane, 2, 16));
  give(__shfl_down_sync(kAll, lane, 2, 16));
  give(__shfl_xor_sync(kAll, lane, 5));
  give(__ballot_sync(kAll, lane % 3 == 0));
  give(__any_sync(kAll, lane == 31) + 2 * __all_sync(kAll, lane < 31));
  give(__match_any_sync(kAll, lane % 4));
  give(__reduce_add_sync(kAll, lane));
  give(__reduce_max_sync(lane < 4 ? 0xfu : 0xfffffff0u, lane));
  give(__shfl_xor_sync(lane < 16 ? 0xffffu : 0xffff0000u, lane, 8));
  give(__syncthreads_count(lane < 5));
}

// Each lane gives its number to the lane before, of the next warp too.
__global__ void rotate(bool wait, const float* in, float* out) {
  __shared__ float numbers[128];
  extern __shared__ __align__(16) unsigned char more[];
  float* copies = reinterpret_cast<float*>(more);
  numbers[threadIdx.x] = in[threadIdx.x];
  copies[threadIdx.x] = 2 * in[threadIdx.x];
  if (wait) __syncthreads();
  const unsigned next = (threadIdx.x + 1) % blockDim.x;
  out[blockIdx.x * blockDim.x + threadIdx.x] = numbers[next] + copies[next];
}

__global__ void add(float* numbers, __nv_bfloat162* pairs) {
  asm volatile("red.global.add.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(numbers), "f"(1.0f), "f"(2.0f), "f"(3.0f),
               "f"(0.5f)
               : "memory");
  atomicAdd(numbers + 4, 1.0f);
  const __nv_bfloat162 both{1.0f, 0.25f};
  unsigned bits;
  memcpy(&bits, &both, 4);
  asm volatile("red.global.add.noftz.bf16x2 [%0], %1;" ::"l"(pairs), "r"(bits) : "memory");
  atomicAdd(pairs + 1, both);
  float x, y;
  asm("{ .reg .pred p; setp.gt.f32 p, %2, 0f3F000000; selp.f32 %0, %2, %3, p; @!p mul.f32 %1, %2, %3;"
      " @p fma.rn.f32 %1, %2, %3, %3; }"
      : "=f"(x), "=f"(y)
      : "f"(0.75f), "f"(2.0f));
  if (threadIdx.x == 0 && blockIdx.x == 0) numbers[5] = x, numbers[6] = y;
}

__global__ void convert(const float* floats, unsigned short* halves, unsigned short* bfloats, float* back) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  halves[i] = __half_as_ushort(__float2half_rn(floats[i]));
  bfloats[i] = __bfloat16_as_ushort(__float2bfloat16_rn(floats[i]));
  back[i] = __half2float(__ushort_as_half(static_cast<unsigned short>(i)));
}

}  // namespace

API const char* misbehave_as(int act, float* numbers) {
  misbehave<<<1, 64>>>(static_cast<Act>(act), numbers);
  return cudaGetErrorString(cudaGetLastError());
}
API const char* run_votes(int* out) {
  votes<<<1, 32>>>(out);
  return cudaGetErrorString(cudaGetLastError());
}
API const char* run_rotate(bool wait, const float* in, float* out) {
  rotate<<<3, 128, 128 * sizeof(float)>>>(wait, in, out);
  return cudaGetErrorString(cudaGetLastError());
}
API const char* run_rotate_with(int shared_bytes, bool ask, const float* in, float* out) {
  if (ask) cudaFuncSetAttribute(rotate, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes);
  rotate<<<3, 128, shared_bytes>>>(true, in, out);
  return cudaGetErrorString(cudaGetLastError());
}
API const char* run_add(float* numbers, void* pairs) {
  add<<<dim3(2, 3), 64>>>(numbers, static_cast<__nv_bfloat162*>(pairs));
  return cudaGetErrorString(cudaGetLastError());
}
API const char* run_convert(const float* floats, unsigned short* halves, unsigned short* bfloats, float* back) {
  convert<<<256, 256>>>(floats, halves, bfloats, back);
  return cudaGetErrorString(cudaGetLastError());
}
API const char* run_too_many() {
  votes<<<1, 2048>>>(nullptr);
  return cudaGetErrorString(cudaGetLastError());
}
