// The extension `maescan._kernels`: checks every argument and picks the CPU's or the GPU's loops. Outputs are the
// caller's arrays. Private: `maescan.kernels` is the interface.
#include "call.h"

namespace maescan {
namespace {

Tokens tokens_of(Call& call, py::handle ids, const TensorView& slices, int32_t side) {
  const int64_t height = slices.size(1), width = slices.size(2);
  if (side < 1 || height % side || width % side || height == 0 || width == 0)
    slices.fail("must have sides that are multiples of the patch side " + std::to_string(side));
  const int64_t cells = height / side * (width / side);
  if (cells > INT32_MAX || static_cast<int64_t>(side) * side > INT32_MAX) slices.fail("has too many patches");
  Tokens tokens{nullptr, static_cast<int32_t>(cells), side, static_cast<int32_t>(width / side),
                static_cast<int32_t>(cells)};
  if (ids.is_none()) return tokens;
  const TensorView view = call.in(ids, "token_ids");
  view.int32().shaped({slices.size(0), -1}).contiguous().below(tokens.cells);
  tokens.ids = view.data<const int32_t>(), tokens.count = view.size32(1);
  return tokens;
}

void make_masks(py::object slice_ids, py::object keep_ids, py::object restore_ids, py::object hidden_ids,
                uint64_t seed, int passes, bool complementary, int threads, uintptr_t stream) {
  Call call(threads, stream);
  const TensorView slices = call.in(slice_ids, "slice_ids"), keep = call.out(keep_ids, "keep_ids");
  const TensorView restore = call.out(restore_ids, "restore_ids");
  slices.int64().shaped({-1}).contiguous();
  keep.int32().shaped({slices.size(0) * passes, -1}), restore.int32().shaped({slices.size(0) * passes, -1});
  MakeMasks a{slices.data<const uint64_t>(),
              keep.data<int32_t>(),
              restore.data<int32_t>(),
              nullptr,
              slices.size(0),
              passes,
              restore.size32(1),
              keep.size32(1),
              seed,
              complementary};
  if (a.keep > a.tokens) keep.fail("must not be longer than restore_ids");
  if (complementary && static_cast<int64_t>(a.keep) * passes != a.tokens)
    keep.fail("times passes must be every token");
  if (!hidden_ids.is_none()) {
    const TensorView hidden = call.out(hidden_ids, "hidden_ids").int32();
    a.hidden_ids = hidden.shaped({keep.size(0), a.tokens - a.keep}).data<int32_t>();
  }
  call.run(cpu::make_masks, cuda::make_masks, a);
}

void patchify(py::object slices, py::object keep_ids, py::object token_ids, py::object patches, int passes, int side,
              int threads, uintptr_t stream) {
  Call call(threads, stream);
  const TensorView pixels = call.in(slices, "slices");
  Patchify a{};
  a.slices = pixels.slices(), a.tokens = tokens_of(call, token_ids, pixels, side);
  a.rows = pixels.size(0) * passes, a.passes = passes, a.keep = a.tokens.count;
  if (!keep_ids.is_none()) {
    const TensorView keep = call.in(keep_ids, "keep_ids");
    keep.int32().shaped({a.rows, -1}).contiguous().below(a.tokens.count);
    a.keep_ids = keep.data<const int32_t>(), a.keep = keep.size32(1);
  }
  const TensorView out = call.out(patches, "patches").shaped({a.rows, a.keep, a.tokens.pixels()});
  a.patches = out.data<void>(), a.dtype = out.floating();
  call.run(cpu::patchify, cuda::patchify, a);
}

float* output(Call& call, py::handle object, const char* name, std::initializer_list<int64_t> shape) {
  return object.is_none() ? nullptr : call.out(object, name).float32().shaped(shape).data<float>();
}

void average_difference(py::object slices, py::object predictions, py::object restore_ids, py::object token_ids,
                        int passes, int keep, int side, py::object difference, py::object reconstruction,
                        py::object squared, py::object by_token, py::object partials, py::object mse, py::object mae,
                        int threads, uintptr_t stream) {
  Call call(threads, stream);
  const TensorView pixels = call.in(slices, "slices");
  AverageDifference a{};
  a.slices = pixels.slices(), a.tokens = tokens_of(call, token_ids, pixels, side);
  a.count = pixels.size(0), a.height = pixels.size(1), a.width = pixels.size(2), a.passes = passes, a.keep = keep;
  const int64_t rows = a.count * passes, patch = a.tokens.pixels();
  const TensorView predicted = call.in(predictions, "predictions").shaped({rows, -1, patch});
  a.predicted = predicted.size32(1);
  if (a.predicted != a.tokens.count && a.predicted != a.tokens.count - a.keep)
    predicted.fail("must be of every token, or of the hidden ones");
  a.dtype = predicted.contiguous().floating(), a.predictions = predicted.data<const void>();
  const TensorView restore = call.in(restore_ids, "restore_ids");
  restore.int32().shaped({rows, a.tokens.count}).contiguous();
  if (a.predicted != a.tokens.count) restore.below(a.tokens.count);  // where a prediction is looked up
  a.restore_ids = restore.data<const int32_t>();
  a.difference = output(call, difference, "difference", {a.count, 1, a.height, a.width});
  a.reconstruction = output(call, reconstruction, "reconstruction", {a.count, a.height, a.width});
  a.squared = output(call, squared, "squared", {a.count, 1, a.height, a.width});
  a.by_token = output(call, by_token, "tokens", {a.count, a.tokens.count, patch});
  a.partials = output(call, partials, "partials", {a.count, a.tokens.cells, 2});
  a.mse = output(call, mse, "mse", {a.count}), a.mae = output(call, mae, "mae", {a.count});
  if (!a.difference || (a.partials && !(a.mse && a.mae))) throw std::invalid_argument("an output is missing");
  call.run(cpu::average_difference, cuda::average_difference, a);
}

void pseudo_abnormal(py::object reconstructions, py::object boxes, py::object factors, py::object altered,
                     int threads, uintptr_t stream) {
  Call call(threads, stream);
  const TensorView pixels = call.in(reconstructions, "reconstructions"), box = call.in(boxes, "boxes");
  PseudoAbnormal a{};
  a.reconstructions = pixels.slices();
  a.count = pixels.size(0), a.height = pixels.size(1), a.width = pixels.size(2);
  a.boxes.boxes = box.int32().shaped({a.count, -1, 4}).contiguous().data<const Box>(), a.boxes.each = box.size32(1);
  const TensorView factor = call.in(factors, "factors");
  const bool one_a_box = factor.rank() == 2;
  if (one_a_box)
    a.boxes.by_box = factor.float32().shaped({a.count, a.boxes.each}).contiguous().data<const float>();
  else
    a.boxes.by_pixel = factor.float32().shaped({a.count, a.height, a.width}).contiguous().data<const float>();
  a.altered = call.out(altered, "altered").float32().shaped({a.count, a.height, a.width}).data<float>();
  call.run(cpu::pseudo_abnormal, cuda::pseudo_abnormal, a);
}

void ssim(py::object slices, py::object reconstructions, double data_range, py::object partials, py::object scores,
          int threads, uintptr_t stream) {
  Call call(threads, stream);
  const TensorView pixels = call.in(slices, "slices"), other = call.in(reconstructions, "reconstructions");
  Ssim a{};
  a.slices = pixels.slices(), a.count = pixels.size(0), a.height = pixels.size(1), a.width = pixels.size(2);
  if (a.height < kWindow || a.width < kWindow) pixels.fail("must have sides of at least 7 pixels");
  a.reconstructions = other.shaped({a.count, a.height, a.width}).slices(), a.data_range = data_range;
  const TensorView sums = call.out(partials, "partials").of(dlpack::kFloat, 64, "float64");
  a.partials = sums.shaped({a.count, a.height - kWindow + 1}).data<double>();
  a.ssim = output(call, scores, "ssim", {a.count});
  call.run(cpu::ssim, cuda::ssim, a);
}

Taps taps_of(Call& call, py::handle index, py::handle weights, const char* axis, int64_t inputs) {
  const std::string name(axis);
  const TensorView first = call.in(index, (name + ".index").c_str()),
                   each = call.in(weights, (name + ".weights").c_str());
  each.float32().shaped({first.size(0), -1}).contiguous();
  if (each.size(1) > inputs)
    each.fail("reach over " + std::to_string(each.size(1)) + " of " + std::to_string(inputs) + " voxels");
  first.int32().shaped({-1}).contiguous().below(static_cast<int32_t>(inputs - each.size(1) + 1));
  return {first.data<const int32_t>(), each.data<const float>(), first.size32(0), each.size32(1)};
}

void extract_slices(py::object volume, py::object row_index, py::object row_weights, py::object column_index,
                    py::object column_weights, float scale, float offset, py::object background, float low,
                    float high, float ripple, float floor, py::object slices, int threads, uintptr_t stream) {
  Call call(threads, stream);
  const TensorView voxels = call.in(volume, "volume").shaped({-1, -1, -1});
  ExtractSlices a{};
  a.volume = voxels.data<const void>(), a.voxel = voxels.voxel();
  a.along_s = voxels.stride(0), a.along_y = voxels.stride(1), a.along_x = voxels.stride(2);
  a.count = voxels.size(0), a.height = voxels.size(1), a.width = voxels.size(2);
  a.rows = taps_of(call, row_index, row_weights, "rows", a.height);
  a.columns = taps_of(call, column_index, column_weights, "cols", a.width);
  const bool has_background = !background.is_none();
  a.intensity = {scale,          offset, low,  high, has_background ? background.cast<float>() : 0.0f,
                 has_background, ripple, floor};
  const TensorView out = call.out(slices, "slices").shaped({a.count, a.rows.outputs, a.columns.outputs});
  a.slices = out.data<void>(), a.dtype = out.floating();
  call.run(cpu::extract_slices, cuda::extract_slices, a);
}

}  // namespace
}  // namespace maescan

namespace py = pybind11;
using py::arg;

PYBIND11_MODULE(_kernels, m, py::mod_gil_not_used()) {
  m.doc() = "Fused kernels of maescan; use them through maescan.kernels.";
#ifdef MAESCAN_HAS_CUDA
  m.attr("has_cuda") = true;
#else
  m.attr("has_cuda") = false;
#endif
#ifdef MAESCAN_SHIM
  m.def("run_cuda_on_host", [](bool on) { maescan::host_runs_cuda = on; });
#endif
  const py::kw_only named;
  const py::arg threads("threads"), stream("stream");
  const auto none = [](const char* name) { return arg(name).none(true); };
  m.def("make_masks", &maescan::make_masks, "Masks of slices.", arg("slice_ids"), named, arg("keep_ids"),
        arg("restore_ids"), none("hidden_ids") = py::none(), arg("seed"), arg("passes"), arg("complementary"),
        threads, stream);
  m.def("patchify", &maescan::patchify, "Patches of the visible tokens, or of all.", arg("slices"), named,
        none("keep_ids"), none("token_ids"), arg("patches"), arg("passes"), arg("side"), threads, stream);
  m.def("average_difference", &maescan::average_difference, "Slices less their mean reconstruction.", arg("slices"),
        named, arg("predictions"), arg("restore_ids"), none("token_ids"), arg("passes"), arg("keep"), arg("side"),
        arg("difference"), none("reconstruction"), none("squared"), none("by_token"), none("partials"), none("mse"),
        none("mae"), threads, stream);
  m.def("pseudo_abnormal", &maescan::pseudo_abnormal, "Boxes times factors.", arg("reconstructions"), named,
        arg("boxes"), arg("factors"), arg("altered"), threads, stream);
  m.def("ssim", &maescan::ssim, "Structural similarity.", arg("slices"), named, arg("reconstructions"),
        arg("data_range"), arg("partials"), arg("ssim"), threads, stream);
  m.def("extract_slices", &maescan::extract_slices, "Slices of a volume on the models' grid.", arg("volume"), named,
        arg("row_index"), arg("row_weights"), arg("column_index"), arg("column_weights"), arg("scale"), arg("offset"),
        none("background"), arg("low"), arg("high"), arg("ripple"), arg("floor"), arg("slices"), threads, stream);
}
