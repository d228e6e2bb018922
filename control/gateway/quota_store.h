/// Counts of publishes shared by several gateways through Redis: by client and hour, second and day, each a key that
/// expires. Where Redis does not answer, a gateway goes by its own counts. hiredis stays behind this header.
#pragma once

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "codec/expected.h"

namespace corelay::gateway {

/// What all gateways together have counted, this publish included.
struct SharedCounts {
  std::uint64_t hour = 0;
  std::uint64_t second = 0;
  std::uint64_t day_bytes = 0;
};

class QuotaStore {
 public:
  /// `url` is redis://host:port. Errors: invalid_argument. Connects when first used, and again after failures.
  [[nodiscard]] static Expected<std::unique_ptr<QuotaStore>> start(boost::asio::io_context& io, const std::string& url);
  ~QuotaStore();
  QuotaStore(const QuotaStore&) = delete;
  QuotaStore& operator=(const QuotaStore&) = delete;

  /// `done` comes on the loop, with nothing where Redis did not answer.
  using Counted = std::function<void(const SharedCounts*)>;
  void count(const std::string& client, std::size_t bytes, std::int64_t now_s, Counted done);

  struct State;

 private:
  explicit QuotaStore(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace corelay::gateway
