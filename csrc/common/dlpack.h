// The in-memory layout that DLPack fixes (https://dmlc.github.io/dlpack, version 1): what `__dlpack__` exports.
#pragma once

#include <cstdint>

namespace maescan::dlpack {

enum DeviceType : int32_t { kCpu = 1, kCuda = 2, kCudaHost = 3, kCudaManaged = 13 };
enum TypeCode : uint8_t { kInt = 0, kUint = 1, kFloat = 2, kBfloat = 4, kBool = 6 };

struct Array {
  void* data;
  int32_t device_type, device_id;
  int32_t rank;
  uint8_t code, bits;
  uint16_t lanes;
  int64_t* shape;
  int64_t* strides;  // in elements; null: row-major and contiguous
  uint64_t byte_offset;
};

struct Managed {  // capsule "dltensor"
  Array array;
  void* context;
  void (*deleter)(Managed*);
};

struct Versioned {  // capsule "dltensor_versioned"
  uint32_t major, minor;
  void* context;
  void (*deleter)(Versioned*);
  uint64_t flags;  // bit 0: read only
  Array array;
};

}  // namespace maescan::dlpack
