// A DLPack array checked against what a kernel takes: dtype, shape, device, contiguity. Errors name the argument.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <stdexcept>
#include <string>

#include "dlpack.h"
#include "dtype.h"
#include "slices.h"

namespace maescan {

class TensorView {
 public:
  TensorView(const dlpack::Array& array, std::string name, bool read_only)
      : array_(array), name_(std::move(name)), read_only_(read_only) {
    if (array.lanes != 1) fail("has vector elements");
  }

  [[noreturn]] void fail(const std::string& reason) const { throw std::invalid_argument(name_ + " " + reason); }

  bool on_cuda() const { return array_.device_type == dlpack::kCuda || array_.device_type == dlpack::kCudaManaged; }
  bool on_host() const { return array_.device_type == dlpack::kCpu || array_.device_type == dlpack::kCudaHost; }
  int32_t device_id() const { return array_.device_id; }
  int rank() const { return array_.rank; }
  int64_t size(int axis) const { return array_.shape[axis]; }
  int64_t count() const {
    int64_t all = 1;
    for (int i = 0; i < array_.rank; ++i) all *= array_.shape[i];
    return all;
  }
  int64_t stride(int axis) const {
    if (array_.strides) return array_.strides[axis];
    int64_t step = 1;
    for (int i = array_.rank - 1; i > axis; --i) step *= array_.shape[i];
    return step;
  }

  // What a 32-bit count must hold.
  int32_t size32(int axis) const {
    if (size(axis) > std::numeric_limits<int32_t>::max()) fail("is too long along axis " + std::to_string(axis));
    return static_cast<int32_t>(size(axis));
  }

  const TensorView& of(uint8_t code, uint8_t bits, const char* wanted) const {
    if (array_.code != code || array_.bits != bits) fail(std::string("must be ") + wanted + ", not " + dtype());
    return *this;
  }
  const TensorView& float32() const { return of(dlpack::kFloat, 32, "float32"); }
  const TensorView& int32() const { return of(dlpack::kInt, 32, "int32"); }
  const TensorView& int64() const {
    return of(array_.code == dlpack::kUint ? dlpack::kUint : dlpack::kInt, 64, "int64");
  }

  // -1 stands for any length.
  const TensorView& shaped(std::initializer_list<int64_t> wanted) const {
    bool fits = static_cast<size_t>(array_.rank) == wanted.size();
    for (int i = 0; fits && i < array_.rank; ++i) fits = wanted.begin()[i] < 0 || wanted.begin()[i] == size(i);
    if (!fits) fail("must have shape " + text(wanted.begin(), wanted.size()) + ", not " + shape());
    return *this;
  }
  const TensorView& contiguous() const {
    int64_t step = 1;
    for (int i = array_.rank - 1; i >= 0; step *= size(i), --i)
      if (count() != 0 && size(i) != 1 && stride(i) != step) fail("must be contiguous");
    return *this;
  }
  const TensorView& writable() const {
    if (read_only_) fail("is read-only");
    return contiguous();
  }

  template <class T>
  T* data() const {
    return reinterpret_cast<T*>(static_cast<char*>(array_.data) + array_.byte_offset);
  }

  Float floating() const {
    if (array_.code == dlpack::kFloat && array_.bits == 32) return Float::f32;
    if (array_.code == dlpack::kFloat && array_.bits == 16) return Float::f16;
    // numpy has no bfloat16: uint16 stands for its bits
    if ((array_.code == dlpack::kBfloat || array_.code == dlpack::kUint) && array_.bits == 16) return Float::bf16;
    fail("must be float32, float16 or bfloat16, not " + dtype());
  }
  Voxel voxel() const {
    if (array_.code == dlpack::kFloat && array_.bits == 32) return Voxel::f32;
    if (array_.code == dlpack::kInt && array_.bits == 16) return Voxel::i16;
    if (array_.code == dlpack::kUint && array_.bits == 16) return Voxel::u16;
    if (array_.code == dlpack::kUint && array_.bits == 8) return Voxel::u8;
    fail("must be int16, uint16, uint8 or float32, not " + dtype());
  }
  Slices slices() const {
    float32().shaped({-1, -1, -1});
    return {data<const float>(), stride(0), stride(1), stride(2)};
  }

  // Ids in [0, limit); only where the host can read them.
  const TensorView& below(int32_t limit) const {
    const int32_t* ids = data<const int32_t>();
    uint32_t most = 0;
    for (int64_t i = 0, n = count(); on_host() && i < n; ++i) {
      const uint32_t id = static_cast<uint32_t>(ids[i]);
      most = id > most ? id : most;
    }
    if (most >= static_cast<uint32_t>(limit) && count() > 0 && on_host())
      fail("must be from 0 to " + std::to_string(limit - 1) + ", not " + std::to_string(static_cast<int32_t>(most)));
    return *this;
  }

 private:
  std::string dtype() const {
    const char* kind = array_.code == dlpack::kInt      ? "int"
                       : array_.code == dlpack::kUint   ? "uint"
                       : array_.code == dlpack::kFloat  ? "float"
                       : array_.code == dlpack::kBfloat ? "bfloat"
                       : array_.code == dlpack::kBool   ? "bool"
                                                        : "type ";
    return kind + std::to_string(array_.bits);
  }
  std::string shape() const { return text(array_.shape, array_.rank); }
  static std::string text(const int64_t* sizes, size_t rank) {
    std::string all = "[";
    for (size_t i = 0; i < rank; ++i) all += (i ? ", " : "") + (sizes[i] < 0 ? "any" : std::to_string(sizes[i]));
    return all + "]";
  }

  dlpack::Array array_;
  std::string name_;
  bool read_only_;
};

}  // namespace maescan
