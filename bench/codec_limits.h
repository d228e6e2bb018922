/// The speed of the instructions themselves, for the share of it that the GFNI kernel reaches. Only
/// to be called where the gfni backend is available.
#pragma once

#include <cstddef>
#include <cstdint>

#include "bench/codec_rows.h"

namespace corelay::bench {

/// Source bytes times outputs that one step of affine_steps() stands for.
inline constexpr std::size_t affine_step_bytes = 32 * 64;

/// `steps` times: 32 affine products and the 16 ternary XORs that join them, all in registers.
void affine_steps(std::size_t steps);

/// to = the sum of the first k rows, 256 bytes at a time in registers. Rows are read to a multiple
/// of 64 bytes.
void xor_rows(const Rows& rows, std::size_t k, std::uint8_t* to);

}  // namespace corelay::bench
