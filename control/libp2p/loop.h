/// Where callbacks run: posted to the io_context, never called from inside the call that caused
/// them, and dropped once the host has stopped.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <memory>
#include <utility>

namespace corelay::libp2p {

struct Loop {
  explicit Loop(boost::asio::io_context& context) : io(context) {}
  boost::asio::io_context& io;
  bool is_stopped = false;
};
using LoopPtr = std::shared_ptr<Loop>;

template <class Call>
void post(const LoopPtr& loop, Call call) {
  boost::asio::post(loop->io, [loop, call = std::move(call)]() mutable {
    if (!loop->is_stopped) call();
  });
}

}  // namespace corelay::libp2p
