#include "control/libp2p/multiaddr.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "control/libp2p/varint.h"

namespace corelay::libp2p {
namespace {

constexpr std::size_t text_bytes_max = 1024;
constexpr std::size_t name_bytes_max = 253;  // a DNS name
constexpr std::size_t parts_max = 16;  // each with its value

enum class Value : std::uint8_t { none, ip4, ip6, name, port, peer };

struct Protocol {
  std::string_view name;
  std::uint64_t code;
  Value value;
};

// Codes: https://github.com/multiformats/multiaddr/blob/master/protocols.csv
constexpr std::array<Protocol, 9> protocols{{{"ip4", 0x04, Value::ip4},
                                             {"tcp", 0x06, Value::port},
                                             {"ip6", 0x29, Value::ip6},
                                             {"dns", 0x35, Value::name},
                                             {"dns4", 0x36, Value::name},
                                             {"dns6", 0x37, Value::name},
                                             {"udp", 0x0111, Value::port},
                                             {"p2p", 0x01a5, Value::peer},
                                             {"quic-v1", 0x01cd, Value::none}}};

tl::unexpected<Error> bad_address(std::string what) {
  return fail(ErrorCode::malformed, "multiaddr", std::move(what));
}

const Protocol* find_protocol(std::string_view name) {
  if (name == "ipfs") name = "p2p";  // the old spelling
  const auto* found = std::ranges::find(protocols, name, &Protocol::name);
  return found == protocols.end() ? nullptr : found;
}

const Protocol* find_protocol(std::uint64_t code) {
  const auto* found = std::ranges::find(protocols, code, &Protocol::code);
  return found == protocols.end() ? nullptr : found;
}

Expected<std::vector<std::uint8_t>> parse_ip(const Protocol& protocol, std::string_view text) {
  const bool is_ip4 = protocol.value == Value::ip4;
  std::vector<std::uint8_t> bytes(is_ip4 ? 4 : 16);
  if (::inet_pton(is_ip4 ? AF_INET : AF_INET6, std::string(text).c_str(), bytes.data()) != 1) {
    return bad_address("/" + std::string(protocol.name) + ": expected an " +
                       (is_ip4 ? "IPv4" : "IPv6") + " address, found '" + std::string(text) + "'");
  }
  return bytes;
}

Expected<std::vector<std::uint8_t>> parse_port(const Protocol& protocol, std::string_view text) {
  std::uint32_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc{} || end != text.data() + text.size() || port > 65535) {
    return bad_address("/" + std::string(protocol.name) +
                       ": expected a port from 0 to 65535, found '" + std::string(text) + "'");
  }
  return std::vector<std::uint8_t>{static_cast<std::uint8_t>(port >> 8),
                                   static_cast<std::uint8_t>(port)};
}

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= name_bytes_max && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_';
  });
}

/// The value of one component, from text to its bytes (without a length).
Expected<std::vector<std::uint8_t>> parse_value(const Protocol& protocol, std::string_view text) {
  switch (protocol.value) {
    case Value::ip4:
    case Value::ip6:
      return parse_ip(protocol, text);
    case Value::port:
      return parse_port(protocol, text);
    case Value::name:
      if (!is_name(text)) {
        return bad_address("/" + std::string(protocol.name) + ": expected a DNS name, found '" +
                           std::string(text) + "'");
      }
      return std::vector<std::uint8_t>(text.begin(), text.end());
    case Value::peer: {
      const auto peer = PeerId::parse(text);
      if (!peer) return bad_address("/p2p: " + peer.error().what);
      return std::vector<std::uint8_t>(peer->bytes().begin(), peer->bytes().end());
    }
    case Value::none:
      break;
  }
  return std::vector<std::uint8_t>{};
}

/// The same value as canonical text, with its slash. `bytes` has the length its protocol asks for.
Expected<std::string> format_value(const Protocol& protocol, Bytes bytes) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  switch (protocol.value) {
    case Value::ip4:
      return std::string("/") + ::inet_ntop(AF_INET, bytes.data(), text.data(), text.size());
    case Value::ip6:
      return std::string("/") + ::inet_ntop(AF_INET6, bytes.data(), text.data(), text.size());
    case Value::port:
      return "/" + std::to_string(bytes[0] << 8 | bytes[1]);
    case Value::name:
      if (!is_name(as_text(bytes)))
        return bad_address("/" + std::string(protocol.name) + ": not a DNS name");
      return "/" + std::string(as_text(bytes));
    case Value::peer: {
      const auto peer = PeerId::from_bytes(bytes);
      if (!peer) return bad_address("/p2p: " + peer.error().what);
      return "/" + peer->text();
    }
    case Value::none:
      break;
  }
  return std::string();
}

bool has_length(Value value) { return value == Value::name || value == Value::peer; }

std::size_t fixed_bytes(Value value) {
  switch (value) {
    case Value::ip4:
      return 4;
    case Value::ip6:
      return 16;
    case Value::port:
      return 2;
    default:
      return 0;
  }
}

/// Splits "a/b/c" at its slashes.
std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t slash = text.find('/');
    parts.push_back(text.substr(0, slash));
    if (slash == std::string_view::npos) return parts;
    text.remove_prefix(slash + 1);
  }
}

/// The value of the first component named so, in canonical text.
std::optional<std::string_view> find_value(std::string_view text, std::string_view name) {
  if (text.empty()) return std::nullopt;
  const std::vector<std::string_view> parts = split(text.substr(1));
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const bool has_value = find_protocol(parts[i])->value != Value::none;
    if (parts[i] == name) return has_value && i + 1 < parts.size() ? parts[i + 1] : "";
    if (has_value) ++i;
  }
  return std::nullopt;
}

}  // namespace

Expected<Multiaddr> Multiaddr::parse(std::string_view text) {
  if (text.empty() || text.front() != '/') {
    return bad_address("expected '/' at the start, as in /ip4/127.0.0.1/tcp/7070, found '" +
                       std::string(text.substr(0, 80)) + "'");
  }
  if (text.size() > text_bytes_max) return bad_address("over 1024 characters");
  if (text.size() > 1 && text.back() == '/') text.remove_suffix(1);
  const std::vector<std::string_view> parts = split(text.substr(1));
  Multiaddr address;
  std::size_t count = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (count++ == parts_max) return bad_address("over 16 components");
    const Protocol* protocol = find_protocol(parts[i]);
    if (protocol == nullptr) {
      return bad_address("unknown component '" + std::string(parts[i]) +
                         "'; known: ip4 ip6 dns dns4 dns6 tcp udp quic-v1 p2p");
    }
    address.text_ += "/" + std::string(protocol->name);
    if (protocol->value == Value::none) continue;
    if (++i == parts.size())
      return bad_address("/" + std::string(protocol->name) + ": value missing");
    const auto bytes = parse_value(*protocol, parts[i]);
    if (!bytes) return tl::make_unexpected(bytes.error());
    const auto value = format_value(*protocol, *bytes);
    if (!value) return tl::make_unexpected(value.error());
    address.text_ += *value;
  }
  return address;
}

Expected<Multiaddr> Multiaddr::from_bytes(Bytes binary) {
  if (binary.empty()) return bad_address("empty");
  Multiaddr address;
  for (std::size_t part = 0; !binary.empty(); ++part) {
    if (part == parts_max) return bad_address("over 16 components");
    const Varint code = read_varint(binary);
    if (code.status != VarintStatus::done) return bad_address("protocol code is not a varint");
    const Protocol* protocol = find_protocol(code.value);
    if (protocol == nullptr)
      return bad_address("unknown protocol code " + std::to_string(code.value));
    binary = binary.subspan(code.bytes);
    std::size_t count = fixed_bytes(protocol->value);
    if (has_length(protocol->value)) {
      const Varint length = read_varint(binary);
      if (length.status != VarintStatus::done || length.value > name_bytes_max) {
        return bad_address("/" + std::string(protocol->name) + ": bad length");
      }
      binary = binary.subspan(length.bytes);
      count = length.value;
    }
    if (count > binary.size())
      return bad_address("/" + std::string(protocol->name) + ": cut short");
    const auto value = format_value(*protocol, binary.first(count));
    if (!value) return tl::make_unexpected(value.error());
    address.text_ += "/" + std::string(protocol->name) + *value;
    if (address.text_.size() > text_bytes_max) return bad_address("over 1024 characters");
    binary = binary.subspan(count);
  }
  return address;
}

Expected<Multiaddr> Multiaddr::tcp(std::string_view address, std::uint16_t port) {
  const bool is_ip6 = address.find(':') != std::string_view::npos;
  return parse((is_ip6 ? "/ip6/" : "/ip4/") + std::string(address) + "/tcp/" +
               std::to_string(port));
}

std::vector<std::uint8_t> Multiaddr::bytes() const {
  std::vector<std::uint8_t> out;
  if (text_.empty()) return out;
  const std::vector<std::string_view> parts = split(std::string_view(text_).substr(1));
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const Protocol& protocol = *find_protocol(parts[i]);
    append_varint(out, protocol.code);
    if (protocol.value == Value::none) continue;
    const auto value = parse_value(protocol, parts[++i]);
    if (has_length(protocol.value)) append_varint(out, value->size());
    append_bytes(out, *value);
  }
  return out;
}

std::string Multiaddr::host() const {
  for (const std::string_view name : {"ip4", "ip6", "dns", "dns4", "dns6"}) {
    if (const auto value = find_value(text_, name)) return std::string(*value);
  }
  return {};
}

bool Multiaddr::is_dns() const noexcept { return text_.starts_with("/dns"); }

std::optional<std::uint16_t> Multiaddr::tcp_port() const {
  const auto value = find_value(text_, "tcp");
  if (!value) return std::nullopt;
  std::uint16_t port = 0;
  std::from_chars(value->data(), value->data() + value->size(), port);
  return port;
}

std::optional<PeerId> Multiaddr::peer_id() const {
  const std::size_t at = text_.rfind("/p2p/");
  if (at == std::string::npos || text_.find('/', at + 5) != std::string::npos) return std::nullopt;
  const auto peer = PeerId::parse(std::string_view(text_).substr(at + 5));
  if (!peer) return std::nullopt;
  return *peer;
}

Multiaddr Multiaddr::with_peer(const PeerId& peer) const {
  Multiaddr address = without_peer();
  address.text_ += "/p2p/" + peer.text();
  return address;
}

Multiaddr Multiaddr::without_peer() const {
  Multiaddr address = *this;
  if (peer_id()) address.text_.resize(text_.rfind("/p2p/"));
  return address;
}

}  // namespace corelay::libp2p
