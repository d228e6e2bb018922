/// The field GF(2^8) with the polynomial x^8+x^4+x^3+x^2+1 (0x11d, ISA-L's), and the one product
/// everything in the codec is made of: out = coefficients x rows. One oracle (scalar), three fast
/// backends, the same bytes from each.
///
/// The fastest backend the CPU has is chosen once, on first use, by CPUID; force_backend()
/// overrides it. Does not allocate, lock or throw after that first use.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace corelay::codec {

inline constexpr std::size_t k_max = 256;                  // shards of one generation
inline constexpr std::size_t shard_bytes_max = 64 * 1024;  // bytes of one shard

enum class Backend : std::uint8_t { scalar, isal, avx2, gfni };

/// The backends this CPU can run, slowest first; scalar and isal are always there.
[[nodiscard]] std::span<const Backend> available_backends() noexcept;

/// The backend that multiply() uses now.
[[nodiscard]] Backend active_backend() noexcept;

/// Makes multiply() use `backend` from now on. False, changing nothing, where the CPU lacks it.
/// Call before any thread multiplies.
bool force_backend(Backend backend) noexcept;

/// "scalar", "isal", "avx2", "gfni".
[[nodiscard]] std::string_view backend_name(Backend backend) noexcept;
[[nodiscard]] std::optional<Backend> parse_backend(std::string_view name) noexcept;

/// Product and inverse of field elements. inverse(0) is 0.
[[nodiscard]] std::uint8_t product(std::uint8_t a, std::uint8_t b) noexcept;
[[nodiscard]] std::uint8_t inverse(std::uint8_t a) noexcept;

/// out[i][0..bytes) = sum over j of coefficients[i * coefficient_stride + j] * rows[j][0..bytes),
/// for i < m, j < k.
///   coefficients  m rows of k bytes, `coefficient_stride` >= k bytes apart.
///   rows          k pointers to `bytes` readable bytes; out: m pointers to `bytes` writable bytes.
/// 1 <= m, k <= 256; any alignment, any `bytes` including 0; no byte outside the given ranges is
/// read or written. An output may not overlap a row or another output. Uses up to 72 KiB of stack.
/// Fastest at m >= 4, rows 64-byte aligned and an odd multiple of 64 bytes apart; bench:
/// tools/bench codec.
void multiply(std::size_t m, std::size_t k, const std::uint8_t* coefficients,
              std::size_t coefficient_stride, const std::uint8_t* const* rows,
              std::uint8_t* const* out, std::size_t bytes) noexcept;

/// The same on a named backend, which must be available.
void multiply(Backend backend, std::size_t m, std::size_t k, const std::uint8_t* coefficients,
              std::size_t coefficient_stride, const std::uint8_t* const* rows,
              std::uint8_t* const* out, std::size_t bytes) noexcept;

}  // namespace corelay::codec
