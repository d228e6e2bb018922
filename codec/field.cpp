// Choosing a backend, and what all backends share.
#include "codec/field.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>

#include "codec/check.h"
#include "codec/kernel/kernel.h"
#include "codec/kernel/tables.h"

namespace corelay::codec {
namespace {

constexpr std::array<const Kernel*, 4> kernels = {&scalar_kernel, &isal_kernel, &avx2_kernel,
                                                  &gfni_kernel};
constexpr std::array<std::string_view, 4> names = {"scalar", "isal", "avx2", "gfni"};

const Kernel& kernel_of(Backend backend) noexcept {
  return *kernels[static_cast<std::size_t>(backend)];
}

struct Available {
  std::array<Backend, 4> list{Backend::scalar, Backend::isal};
  std::size_t count = 2;

  Available() noexcept {
    if (__builtin_cpu_supports("avx2")) list[count++] = Backend::avx2;
    if (__builtin_cpu_supports("gfni") && __builtin_cpu_supports("avx512f") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512vbmi")) {
      list[count++] = Backend::gfni;
    }
  }
};

// Set once by whichever thread comes first (all choose the same), or by force_backend().
std::atomic<const Kernel*> chosen{nullptr};

}  // namespace

std::span<const Backend> available_backends() noexcept {
  static const Available available;
  return {available.list.data(), available.count};
}

const Kernel& active_kernel() noexcept {
  const Kernel* kernel = chosen.load(std::memory_order_acquire);
  if (kernel == nullptr) [[unlikely]] {
    kernel = &kernel_of(available_backends().back());
    chosen.store(kernel, std::memory_order_release);
  }
  return *kernel;
}

Backend active_backend() noexcept { return active_kernel().backend; }

bool force_backend(Backend backend) noexcept {
  const std::span<const Backend> available = available_backends();
  if (std::find(available.begin(), available.end(), backend) == available.end()) return false;
  chosen.store(&kernel_of(backend), std::memory_order_release);
  return true;
}

std::string_view backend_name(Backend backend) noexcept {
  return names[static_cast<std::size_t>(backend)];
}

std::optional<Backend> parse_backend(std::string_view name) noexcept {
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i] == name) return static_cast<Backend>(i);
  }
  return std::nullopt;
}

std::uint8_t product(std::uint8_t a, std::uint8_t b) noexcept { return products[a][b]; }

std::uint8_t inverse(std::uint8_t a) noexcept { return inverses[a]; }

void multiply(std::size_t m, std::size_t k, const std::uint8_t* coefficients,
              std::size_t coefficient_stride, const std::uint8_t* const* rows,
              std::uint8_t* const* out, std::size_t bytes) noexcept {
  CHECK(m >= 1 && m <= k_max && k >= 1 && k <= k_max && coefficient_stride >= k);
  if (bytes == 0) return;
  active_kernel().multiply(m, k, coefficients, coefficient_stride, rows, out, bytes);
}

void multiply(Backend backend, std::size_t m, std::size_t k, const std::uint8_t* coefficients,
              std::size_t coefficient_stride, const std::uint8_t* const* rows,
              std::uint8_t* const* out, std::size_t bytes) noexcept {
  CHECK(m >= 1 && m <= k_max && k >= 1 && k <= k_max && coefficient_stride >= k);
  if (bytes == 0) return;
  kernel_of(backend).multiply(m, k, coefficients, coefficient_stride, rows, out, bytes);
}

void multiply_by_windows(decltype(Kernel::multiply) multiply, std::uint8_t* scratch,
                         std::size_t window_bytes, std::size_t m, std::size_t k,
                         const std::uint8_t* coefficients, std::size_t coefficient_stride,
                         std::uint8_t* const* rows, const std::uint8_t* targets,
                         std::size_t bytes) noexcept {
  const std::uint8_t* sources[k_max];
  std::uint8_t* out[k_max];
  for (std::size_t offset = 0; offset < bytes; offset += window_bytes) {
    const std::size_t window = std::min(window_bytes, bytes - offset);
    for (std::size_t j = 0; j < k; ++j) sources[j] = rows[j] + offset;
    for (std::size_t i = 0; i < m; ++i) {
      std::uint8_t* const copy = scratch + i * window_bytes;
      out[i] = rows[targets[i]] + offset;
      std::memcpy(copy, out[i], window);
      sources[targets[i]] = copy;
    }
    multiply(m, k, coefficients, coefficient_stride, sources, out, window);
  }
}

}  // namespace corelay::codec
