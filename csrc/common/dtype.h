// Types of elements that a kernel is told at run time.
#pragma once

#include "half.h"

namespace maescan {

enum class Float { f32, f16, bf16 };
enum class Voxel { f32, i16, u16, u8 };

}  // namespace maescan
