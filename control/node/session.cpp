#include "control/node/session.h"

#include <fmt/format.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/sha.h>
#include <sodium.h>

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/steady_timer.hpp>

#include "codec/check.h"
#include "proto/session.pb.h"

namespace corelay::node {
namespace {

constexpr std::size_t hello_bytes_max = 4096;
constexpr std::size_t key_bytes = crypto_scalarmult_BYTES;

using session::SessionHello;

std::vector<std::uint8_t> joined(std::initializer_list<Bytes> parts) {
  std::vector<std::uint8_t> all;
  for (const Bytes part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

std::array<std::uint8_t, 32> sha256(Bytes bytes) {
  std::array<std::uint8_t, 32> hash{};
  SHA256(bytes.data(), bytes.size(), hash.data());
  return hash;
}

/// HKDF-SHA256 (RFC 5869). Its arguments are ours, so a failure is OpenSSL without HKDF.
std::array<std::uint8_t, 56> hkdf(Bytes salt, Bytes secret, std::string_view info) {
  std::array<std::uint8_t, 56> out{};
  std::string digest = "SHA256";
  std::string text(info);
  auto writable = [](Bytes bytes) { return const_cast<std::uint8_t*>(bytes.data()); };  // OpenSSL only reads them
  const std::array<OSSL_PARAM, 5> params{
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest.data(), 0),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, writable(secret), secret.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, writable(salt), salt.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, text.data(), text.size()),
      OSSL_PARAM_construct_end()};
  const std::unique_ptr<EVP_KDF, void (*)(EVP_KDF*)> kdf(EVP_KDF_fetch(nullptr, "HKDF", nullptr), EVP_KDF_free);
  CHECK(kdf != nullptr);
  const std::unique_ptr<EVP_KDF_CTX, void (*)(EVP_KDF_CTX*)> context(EVP_KDF_CTX_new(kdf.get()), EVP_KDF_CTX_free);
  CHECK(context != nullptr);
  CHECK(EVP_KDF_derive(context.get(), out.data(), out.size(), params.data()) == 1);
  return out;
}

dataplane::DirectionKeys direction(Bytes material, std::uint32_t key_id) {
  dataplane::DirectionKeys keys;
  keys.key_id = key_id;
  std::copy_n(material.begin(), keys.key.size(), keys.key.begin());
  std::copy_n(material.begin() + static_cast<std::ptrdiff_t>(keys.key.size()), keys.iv.size(), keys.iv.begin());
  return keys;
}

/// What must match, each difference in words a person can act on.
Expected<void> check_hello(const SessionHello& hello, const SessionTerms& terms) {
  const auto refuse = [](std::string what) { return fail(ErrorCode::permission_denied, "session", std::move(what)); };
  if (hello.wire_version() != wire_version) {
    return refuse(fmt::format("the peer speaks wire version {}, we speak {}", hello.wire_version(), wire_version));
  }
  if (hello.cluster_id() != terms.cluster_id) {
    return refuse(fmt::format("the peer belongs to cluster \"{}\", we belong to \"{}\" (node.cluster_id)",
                              hello.cluster_id(), terms.cluster_id));
  }
  const auto differs = [&](std::string_view setting, std::uint32_t theirs, std::uint32_t ours) {
    return refuse(fmt::format("the peer has {0} = {1}, we have {0} = {2}: every node of a mesh needs the same", setting,
                              theirs, ours));
  };
  if (hello.path_mtu_bytes() != terms.path_mtu_bytes) {
    return differs("relay.path_mtu_bytes", hello.path_mtu_bytes(), terms.path_mtu_bytes);
  }
  if (hello.lanes() != terms.wire.lanes) return differs("dataplane.lanes", hello.lanes(), terms.wire.lanes);
  const auto own_hash = mesh_hash(terms.wire, terms.path_mtu_bytes, terms.cluster_id);
  if (as_bytes(hello.mesh_hash()).size() != own_hash.size() ||
      !std::equal(own_hash.begin(), own_hash.end(), as_bytes(hello.mesh_hash()).begin())) {
    return refuse("the peer's mesh hash is another although its settings are ours: is it of another version?");
  }
  const auto malformed = [](std::string what) { return fail(ErrorCode::malformed, "session", std::move(what)); };
  if (hello.ephemeral_key().size() != key_bytes) return malformed("the peer's ephemeral key is not 32 bytes");
  if (hello.key_id() == 0) return malformed("the peer's key id is 0");
  if (hello.udp_port() == 0 || hello.udp_port() > 65535) return malformed("the peer's UDP port is out of range");
  return {};
}

}  // namespace

std::array<std::uint8_t, 32> mesh_hash(const dataplane::WireParams& wire, std::uint16_t path_mtu_bytes,
                                       std::string_view cluster_id) {
  std::array<std::uint8_t, 8> numbers{};
  store_le(numbers.data(), wire_version);
  store_le(numbers.data() + 4, wire.lanes);
  store_le(numbers.data() + 6, path_mtu_bytes);
  return sha256(joined({as_bytes("corelay-mesh-1"), numbers, as_bytes(cluster_id)}));
}

dataplane::SessionKeys derive_session_keys(Bytes shared, Bytes dialer_hello, Bytes listener_hello, bool is_dialer,
                                           std::uint32_t own_key_id, std::uint32_t peer_key_id) {
  const auto salt = sha256(joined({as_bytes("corelay-session-1"), dialer_hello, listener_hello}));
  auto material = hkdf(salt, shared, "corelay-session-1 keys");
  const Bytes from_dialer = Bytes(material).first(28);
  const Bytes from_listener = Bytes(material).subspan(28);
  dataplane::SessionKeys keys;
  keys.send = direction(is_dialer ? from_dialer : from_listener, peer_key_id);
  keys.receive = direction(is_dialer ? from_listener : from_dialer, own_key_id);
  sodium_memzero(material.data(), material.size());
  return keys;
}

std::optional<dataplane::Endpoint> endpoint_of(std::string_view address) {
  boost::system::error_code error;
  const auto parsed = boost::asio::ip::make_address(std::string(address), error);
  if (error) return std::nullopt;
  dataplane::Endpoint endpoint;
  endpoint.address = parsed.is_v4()
                         ? boost::asio::ip::make_address_v6(boost::asio::ip::v4_mapped, parsed.to_v4()).to_bytes()
                         : parsed.to_v6().to_bytes();
  return endpoint;
}

struct SessionExchange::State {
  State(boost::asio::io_context& context, libp2p::StreamPtr s, bool dialer, SessionTerms t, std::uint32_t id,
        std::uint32_t old)
      : stream(std::move(s)),
        is_dialer(dialer),
        terms(std::move(t)),
        key_id(id),
        replaces_key_id(old),
        deadline(context) {}
  ~State() { sodium_memzero(secret.data(), secret.size()); }

  [[nodiscard]] Expected<AgreedSession> agree(Bytes peer_hello);
  [[nodiscard]] std::vector<std::uint8_t> make_hello();

  libp2p::StreamPtr stream;
  bool is_dialer;
  SessionTerms terms;
  std::uint32_t key_id;
  std::uint32_t replaces_key_id;
  boost::asio::steady_timer deadline;
  std::array<std::uint8_t, key_bytes> secret{};
  std::vector<std::uint8_t> own_hello;
  std::chrono::steady_clock::time_point hello_at;  // when ours went out: the answer takes one round trip
  AgreedSession agreed;
  Done done;
  bool is_over = false;
};

std::vector<std::uint8_t> SessionExchange::State::make_hello() {
  randombytes_buf(secret.data(), secret.size());
  std::array<std::uint8_t, key_bytes> public_key{};
  crypto_scalarmult_base(public_key.data(), secret.data());
  const auto hash = mesh_hash(terms.wire, terms.path_mtu_bytes, terms.cluster_id);
  SessionHello hello;
  hello.set_wire_version(wire_version);
  hello.set_ephemeral_key(public_key.data(), public_key.size());
  hello.set_key_id(key_id);
  hello.set_udp_port(terms.udp_port);
  hello.set_path_mtu_bytes(terms.path_mtu_bytes);
  hello.set_mesh_hash(hash.data(), hash.size());
  hello.set_cluster_id(terms.cluster_id);
  hello.set_lanes(terms.wire.lanes);
  if (is_dialer) hello.set_replaces_key_id(replaces_key_id);
  const std::string bytes = hello.SerializeAsString();
  return {bytes.begin(), bytes.end()};
}

Expected<AgreedSession> SessionExchange::State::agree(Bytes peer_hello) {
  SessionHello hello;
  if (!hello.ParseFromArray(peer_hello.data(), static_cast<int>(peer_hello.size()))) {
    return fail(ErrorCode::malformed, "session", "the peer's hello does not parse");
  }
  if (auto ok = check_hello(hello, terms); !ok) return tl::make_unexpected(ok.error());
  std::array<std::uint8_t, key_bytes> shared{};
  // Fails for points of small order, which would give a secret that anyone knows.
  if (crypto_scalarmult(shared.data(), secret.data(), as_bytes(hello.ephemeral_key()).data()) != 0) {
    return fail(ErrorCode::malformed, "session", "the peer's ephemeral key is of small order");
  }
  AgreedSession session;
  session.keys = derive_session_keys(shared, is_dialer ? Bytes(own_hello) : peer_hello,
                                     is_dialer ? peer_hello : Bytes(own_hello), is_dialer, key_id, hello.key_id());
  sodium_memzero(shared.data(), shared.size());
  session.udp_port = static_cast<std::uint16_t>(hello.udp_port());
  session.replaces_key_id = hello.replaces_key_id();
  return session;
}

SessionExchange::SessionExchange(boost::asio::io_context& io, libp2p::StreamPtr stream, bool is_dialer,
                                 SessionTerms terms, std::uint32_t key_id, std::uint32_t replaces_key_id)
    : state_(std::make_unique<State>(io, std::move(stream), is_dialer, std::move(terms), key_id, replaces_key_id)) {
  CHECK(sodium_init() >= 0);
}

SessionExchange::~SessionExchange() = default;

void SessionExchange::start(Done done) {
  state_->done = std::move(done);
  state_->own_hello = state_->make_hello();
  state_->deadline.expires_after(state_->terms.timeout);
  state_->deadline.async_wait([self = weak_from_this()](const boost::system::error_code& error) {
    const auto exchange = self.lock();
    if (error || !exchange) return;
    exchange->finish(fail(ErrorCode::timed_out, "session", "the peer did not finish the exchange in time"));
  });
  if (state_->is_dialer) {
    state_->hello_at = std::chrono::steady_clock::now();
    if (auto written = state_->stream->write_message(state_->own_hello); !written) {
      finish(tl::make_unexpected(written.error()));
      return;
    }
  }
  state_->stream->read_message(hello_bytes_max, [self = shared_from_this()](auto message) {
    self->on_hello(std::move(message));
  });
}

void SessionExchange::on_hello(Expected<std::vector<std::uint8_t>> message) {
  if (state_->is_over) return;
  if (!message) return finish(tl::make_unexpected(message.error()));
  auto agreed = state_->agree(*message);
  if (!agreed) {
    // The peer learns what we are from our hello and so can say for itself why it was refused.
    if (!state_->is_dialer) static_cast<void>(state_->stream->write_message(state_->own_hello));
    return finish(std::move(agreed));
  }
  state_->agreed = *agreed;
  if (state_->is_dialer) {
    agreed->rtt = std::chrono::steady_clock::now() - state_->hello_at;
    if (auto written = state_->stream->write_message({}); !written) return finish(tl::make_unexpected(written.error()));
    return finish(std::move(agreed));
  }
  state_->hello_at = std::chrono::steady_clock::now();
  if (auto written = state_->stream->write_message(state_->own_hello); !written) {
    return finish(tl::make_unexpected(written.error()));
  }
  state_->stream->read_message(0, [self = shared_from_this()](Expected<std::vector<std::uint8_t>> confirm) {
    self->on_confirm(std::move(confirm));
  });
}

void SessionExchange::on_confirm(Expected<std::vector<std::uint8_t>> message) {
  if (state_->is_over) return;
  if (!message) return finish(tl::make_unexpected(message.error()));
  state_->agreed.rtt = std::chrono::steady_clock::now() - state_->hello_at;
  finish(state_->agreed);
}

void SessionExchange::finish(Expected<AgreedSession> outcome) {
  if (state_->is_over) return;
  state_->is_over = true;
  state_->deadline.cancel();
  if (outcome || outcome.error().code == ErrorCode::permission_denied) {
    state_->stream->close_write();  // what is queued still goes out
  } else {
    state_->stream->reset();
  }
  state_->stream.reset();
  const Done done = std::move(state_->done);
  if (done) done(std::move(outcome));
}

void SessionExchange::cancel() {
  if (state_->is_over) return;
  state_->is_over = true;
  state_->deadline.cancel();
  state_->stream->reset();
  state_->stream.reset();
  state_->done = nullptr;
}

}  // namespace corelay::node
