// One call from Python: arrays come in as DLPack, the GIL goes out while loops run, and the thread's device is kept.
#pragma once

#include <pybind11/pybind11.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "common/tensor_view.h"
#include "ops.h"

namespace maescan {

namespace py = pybind11;

#ifdef MAESCAN_SHIM
inline bool host_runs_cuda = false;  // tests: CUDA's launches run on host memory, in loops
#else
constexpr bool host_runs_cuda = false;
#endif

class OnDevice {  // for its lifetime the calling thread's CUDA device is the arrays'
 public:
  OnDevice(bool cuda, int device) : cuda_(cuda), before_(cuda ? cuda::use_device(device) : 0) {}
  OnDevice(const OnDevice&) = delete;
  ~OnDevice() {
    if (cuda_) cuda::restore_device(before_);
  }

 private:
  bool cuda_;
  int before_;
};

class WithoutGil {  // for its lifetime; a thread that outlives the interpreter waits for the process to end
 public:
  WithoutGil() : state_(PyEval_SaveThread()) {}
  WithoutGil(const WithoutGil&) = delete;
  ~WithoutGil() {
    try {
      PyEval_RestoreThread(state_);
    } catch (...) {  // Python before 3.14 ends such a thread by unwinding it, which nothing here may let through
      for (;;) pause();
    }
  }

 private:
  PyThreadState* state_;
};

class Call {
 public:
  Call(int threads, uintptr_t stream) : threads_(threads), stream_(reinterpret_cast<void*>(stream)) {}

  TensorView in(py::handle object, const char* name) {
    const TensorView view = exported(object, name);
    if (!view.on_host() && !view.on_cuda()) view.fail("must be in host or CUDA memory");
    if (capsules_.size() == 1) cuda_ = view.on_cuda(), device_ = view.device_id(), first_ = name;
    if (view.on_cuda() != cuda_ || (cuda_ && view.device_id() != device_))
      view.fail("is on another device than " + first_);
    return view;
  }
  TensorView out(py::handle object, const char* name) { return in(object, name).writable(); }

  template <class Arguments>
  void run(void (*on_cpu)(const Arguments&, int), void (*on_cuda)(const Arguments&, void*), const Arguments& a) {
    const WithoutGil released;
    const OnDevice device(cuda_, device_);
    cuda_ || host_runs_cuda ? on_cuda(a, stream_) : on_cpu(a, threads_);
  }

 private:
  TensorView exported(py::handle object, const char* name) {
    if (!py::hasattr(object, "__dlpack__"))
      throw py::type_error(std::string(name) + " must be an array, not " + type_of(object));
    if (py::hasattr(object, "is_neg") && object.attr("is_neg")().cast<bool>())  // of torch; DLPack forgets it
      throw py::value_error(std::string(name) + " is a view with its sign turned: give its resolve_neg()");
    try {
      capsules_.push_back(capsule_of(object));
    } catch (py::error_already_set& error) {
      throw std::invalid_argument(std::string(name) +
                                  " cannot be exported: " + py::str(error.value()).cast<std::string>());
    }
    PyObject* capsule = capsules_.back().ptr();
    if (PyCapsule_IsValid(capsule, "dltensor_versioned")) {
      const auto* managed = static_cast<dlpack::Versioned*>(PyCapsule_GetPointer(capsule, "dltensor_versioned"));
      if (managed->major != 1)
        throw std::invalid_argument(std::string(name) + " is exported as DLPack " + std::to_string(managed->major) +
                                    "." + std::to_string(managed->minor) + ", which is not version 1");
      return {managed->array, name, (managed->flags & 1) != 0};
    }
    const auto* managed = static_cast<dlpack::Managed*>(PyCapsule_GetPointer(capsule, "dltensor"));
    if (!managed) throw py::error_already_set();
    return {managed->array, name, false};
  }

  // The producer must not wait for a stream: the caller's stream is where the data is ready.
  static py::object capsule_of(py::handle object) {
    py::dict options;
    const int type = object.attr("__dlpack_device__")().cast<py::tuple>()[0].cast<int>();
    if (type == dlpack::kCuda || type == dlpack::kCudaManaged) options["stream"] = -1;
    try {
      return object.attr("__dlpack__")(**options, py::arg("max_version") = py::make_tuple(1, 0));
    } catch (py::error_already_set& error) {
      if (!error.matches(PyExc_TypeError)) throw;
      return object.attr("__dlpack__")(**options);
    }
  }
  static std::string type_of(py::handle object) { return Py_TYPE(object.ptr())->tp_name; }

  std::vector<py::object> capsules_;
  int threads_;
  void* stream_;
  bool cuda_ = false;
  int32_t device_ = 0;
  std::string first_;
};

}  // namespace maescan
