#include "control/libp2p/multistream.h"

#include <algorithm>
#include <utility>

#include "codec/check.h"
#include "control/libp2p/varint.h"

namespace corelay::libp2p {
namespace {

constexpr std::string_view header = "/multistream/1.0.0";
constexpr std::string_view not_available = "na";

}  // namespace

Negotiation Negotiation::dial(std::vector<std::string> protocols) {
  CHECK(!protocols.empty());
  Negotiation negotiation;
  negotiation.proposals_ = std::move(protocols);
  negotiation.send(header);
  negotiation.send(negotiation.proposals_.front());
  return negotiation;
}

Negotiation Negotiation::listen(std::function<bool(std::string_view)> is_served) {
  Negotiation negotiation;
  negotiation.role_ = Role::listener;
  negotiation.is_served_ = std::move(is_served);
  return negotiation;
}

void Negotiation::send(std::string_view text) {
  append_varint(output_, text.size() + 1);
  append_bytes(output_, as_bytes(text));
  output_.push_back('\n');
}

std::vector<std::uint8_t> Negotiation::take_output() { return std::exchange(output_, {}); }

Expected<std::size_t> Negotiation::receive(Bytes in) {
  std::size_t used = 0;
  while (!is_done_ && used < in.size()) {
    if (held_.empty() || read_varint(held_).status == VarintStatus::incomplete) {
      held_.push_back(in[used++]);
    }
    const Varint length = read_varint(held_);
    if (length.status == VarintStatus::incomplete) continue;
    if (length.status == VarintStatus::malformed || length.value == 0 ||
        length.value > multistream_text_bytes_max) {
      return fail(ErrorCode::malformed, "multistream", "bad message length");
    }
    const std::size_t wanted = length.bytes + length.value - held_.size();
    const std::size_t taken = std::min(wanted, in.size() - used);
    append_bytes(held_, in.subspan(used, taken));
    used += taken;
    if (taken < wanted) continue;
    const std::vector<std::uint8_t> message = std::exchange(held_, {});
    const std::string_view text = as_text(Bytes(message).subspan(length.bytes));
    if (text.back() != '\n')
      return fail(ErrorCode::malformed, "multistream", "message without newline");
    const auto outcome = on_text(text.substr(0, text.size() - 1));
    if (!outcome) return tl::make_unexpected(outcome.error());
  }
  return used;
}

Expected<void> Negotiation::on_text(std::string_view text) {
  if (!has_header_) {
    if (text != header)
      return fail(ErrorCode::malformed, "multistream", "the peer did not begin with its header");
    has_header_ = true;
    if (role_ == Role::listener) send(header);
    return {};
  }
  return role_ == Role::dialer ? on_answer(text) : on_proposal(text);
}

Expected<void> Negotiation::on_answer(std::string_view text) {
  if (text == proposals_[proposal_]) {
    protocol_ = proposals_[proposal_];
    is_done_ = true;
    return {};
  }
  if (text != not_available) {
    return fail(ErrorCode::malformed, "multistream",
                "answer is neither na nor " + proposals_[proposal_]);
  }
  if (++proposal_ == proposals_.size()) {
    return fail(ErrorCode::not_found, "multistream",
                "the peer does not speak " + proposals_.back());
  }
  send(proposals_[proposal_]);
  return {};
}

Expected<void> Negotiation::on_proposal(std::string_view text) {
  if (is_served_(text)) {
    send(text);
    protocol_ = text;
    is_done_ = true;
    return {};
  }
  if (++proposal_ > multistream_proposals_max) {
    return fail(ErrorCode::too_large, "multistream", "over 1000 proposals");
  }
  send(not_available);
  return {};
}

}  // namespace corelay::libp2p
