// Sessions of one lane. A peer has two keys to receive with, the current one and, for a grace time after a rekey, the
// one before; and two to send with, of which the newer waits until the peer is known to hold it. A key id finds its
// receive key through an open-addressing table; every receive key has a replay window for each lane its peer may send
// from.
#include "dataplane/core/session_table.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <vector>

#include "codec/bytes.h"
#include "codec/check.h"

namespace corelay::dataplane {
namespace {

constexpr std::uint8_t wire_version = 1;
constexpr std::size_t receive_keys_per_peer = 2;
constexpr std::size_t send_keys_per_peer = 2;
constexpr std::size_t slots_per_peer = receive_keys_per_peer + send_keys_per_peer;

/// The packet numbers accepted among the last 1,024 up to the highest: bit n mod 1,024 stands for number n.
class ReplayWindow {
 public:
  void reset() noexcept { *this = ReplayWindow{}; }

  [[nodiscard]] bool is_fresh(std::uint64_t number) const noexcept {
    if (number > highest_) return true;
    if (highest_ - number >= replay_window_packets) return false;
    return (words_[word_of(number)] & bit_of(number)) == 0;
  }

  /// Takes a fresh number.
  void accept(std::uint64_t number) noexcept {
    if (number > highest_) {
      if (number - highest_ >= replay_window_packets) {
        words_.fill(0);
      } else {
        for (std::uint64_t n = highest_ + 1; n != number; ++n) words_[word_of(n)] &= ~bit_of(n);
      }
      highest_ = number;
    }
    words_[word_of(number)] |= bit_of(number);
  }

 private:
  static std::size_t word_of(std::uint64_t number) noexcept { return number % replay_window_packets / 64; }
  static std::uint64_t bit_of(std::uint64_t number) noexcept { return std::uint64_t{1} << (number % 64); }

  std::uint64_t highest_ = 0;
  std::array<std::uint64_t, replay_window_packets / 64> words_{};
};

/// Key id -> index of a receive key. Linear probing, at most a quarter full, backward-shift removal.
class KeyIdTable {
 public:
  static constexpr std::uint32_t none = 0xffffffff;

  explicit KeyIdTable(std::size_t entries_max)
      : entries_(std::bit_ceil(std::max<std::size_t>(entries_max * 4, 16))), mask_(entries_.size() - 1) {}

  [[nodiscard]] std::uint32_t find(std::uint32_t key_id) const noexcept {
    for (std::size_t at = home_of(key_id); entries_[at].index != none; at = (at + 1) & mask_) {
      if (entries_[at].key_id == key_id) return entries_[at].index;
    }
    return none;
  }

  /// `key_id` must not be there.
  void insert(std::uint32_t key_id, std::uint32_t index) noexcept {
    std::size_t at = home_of(key_id);
    while (entries_[at].index != none) at = (at + 1) & mask_;
    entries_[at] = {key_id, index};
  }

  /// `key_id` must be there.
  void erase(std::uint32_t key_id) noexcept {
    std::size_t hole = home_of(key_id);
    while (entries_[hole].key_id != key_id || entries_[hole].index == none) hole = (hole + 1) & mask_;
    for (std::size_t at = (hole + 1) & mask_; entries_[at].index != none; at = (at + 1) & mask_) {
      // An entry may move back into the hole unless its home lies behind the hole.
      const std::size_t from_home = (at - home_of(entries_[at].key_id)) & mask_;
      if (from_home < ((at - hole) & mask_)) continue;
      entries_[hole] = entries_[at];
      hole = at;
    }
    entries_[hole] = {};
  }

 private:
  struct Entry {
    std::uint32_t key_id = 0;
    std::uint32_t index = none;
  };
  [[nodiscard]] std::size_t home_of(std::uint32_t key_id) const noexcept {
    return static_cast<std::size_t>((key_id * 0x9e3779b97f4a7c15ULL) >> 32) & mask_;
  }

  std::vector<Entry> entries_;
  std::size_t mask_;
};

struct ReceiveKey {
  bool is_live = false;
  std::uint32_t key_id = 0;
  AeadIv iv{};
  Instant expires = never;  // never while current
  std::array<ReplayWindow, source_lanes_max> windows{};
};

struct SendKey {
  std::uint32_t key_id = 0;
  AeadIv iv{};
  std::uint64_t next_packet_number = 1;
};

struct Peer {
  bool has_session = false;
  std::uint8_t current = 0;     // which of the two receive keys
  std::uint8_t sending = 0;     // which of the two send keys
  bool is_switching = false;    // the other send key is newer, and waits
  Instant switch_at = never;    // when it waits no longer
  std::array<SendKey, send_keys_per_peer> send;
};

/// In words, as it is read again at once: bytes would be waited for.
AeadIv nonce_of(const AeadIv& iv, std::uint8_t source_lane, std::uint64_t packet_number) noexcept {
  AeadIv nonce;
  store_le(&nonce[0], load_le<std::uint32_t>(&iv[0]) ^ source_lane);
  store_le(&nonce[4], load_le<std::uint64_t>(&iv[4]) ^ packet_number);
  return nonce;
}

}  // namespace

struct SessionTable::State {
  State(std::uint8_t own_lane, std::size_t peers_max, AeadBackend chosen)
      : lane(own_lane),
        backend(chosen),
        peers(peers_max),
        receive_keys(peers_max * receive_keys_per_peer),
        key_ids(peers_max * receive_keys_per_peer),
        aead(chosen, peers_max * slots_per_peer) {
    CHECK(lane < source_lanes_max && peers_max < peer_none);
  }

  static std::size_t send_slot(PeerIndex peer, std::size_t which) noexcept {
    return peer * slots_per_peer + receive_keys_per_peer + which;
  }
  static std::size_t receive_slot(std::size_t index) noexcept {
    return index / receive_keys_per_peer * slots_per_peer + index % receive_keys_per_peer;
  }

  void end_receive_key(std::size_t index) noexcept {
    ReceiveKey& key = receive_keys[index];
    if (!key.is_live) return;
    key_ids.erase(key.key_id);
    aead.wipe(receive_slot(index));
    OPENSSL_cleanse(key.iv.data(), key.iv.size());
    key.is_live = false;
    key.expires = never;
  }

  void start_receive_key(std::size_t index, const DirectionKeys& keys) noexcept {
    const std::uint32_t holder = key_ids.find(keys.key_id);
    if (holder != KeyIdTable::none) end_receive_key(holder);
    ReceiveKey& key = receive_keys[index];
    key.is_live = true;
    key.key_id = keys.key_id;
    key.iv = keys.iv;
    key.expires = never;
    for (ReplayWindow& window : key.windows) window.reset();
    aead.set_key(receive_slot(index), keys.key);
    key_ids.insert(keys.key_id, static_cast<std::uint32_t>(index));
  }

  void wipe_send_key(PeerIndex peer, std::size_t which) noexcept {
    aead.wipe(send_slot(peer, which));
    SendKey& key = peers[peer].send[which];
    OPENSSL_cleanse(key.iv.data(), key.iv.size());
    key = SendKey{};
  }

  /// From now on the newer send key is the one.
  void switch_send_key(PeerIndex index) noexcept {
    Peer& peer = peers[index];
    wipe_send_key(index, peer.sending);
    peer.sending ^= 1;
    peer.is_switching = false;
    peer.switch_at = never;
  }

  /// Wipes the receive keys whose grace time is over, and ends what waits too long for the peer's new keys.
  void expire(Instant now) noexcept {
    next_expiry = never;
    for (std::size_t index = 0; index != peers.size(); ++index) {
      if (peers[index].switch_at <= now) switch_send_key(static_cast<PeerIndex>(index));
      next_expiry = std::min(next_expiry, peers[index].switch_at);
    }
    for (std::size_t index = 0; index != receive_keys.size(); ++index) {
      if (receive_keys[index].expires <= now) end_receive_key(index);
      next_expiry = std::min(next_expiry, receive_keys[index].expires);
    }
  }

  std::uint8_t lane;
  AeadBackend backend;
  std::vector<Peer> peers;
  std::vector<ReceiveKey> receive_keys;  // of peer p: 2 p and 2 p + 1
  KeyIdTable key_ids;
  Aead aead;
  Instant next_expiry = never;
};

SessionTable::SessionTable(std::uint8_t lane, std::size_t peers_max)
    : SessionTable(lane, peers_max, probe_aead_backend()) {}

SessionTable::SessionTable(std::uint8_t lane, std::size_t peers_max, AeadBackend backend)
    : state_(std::make_unique<State>(lane, peers_max, backend)) {}

SessionTable::~SessionTable() {
  for (std::size_t peer = 0; peer != state_->peers.size(); ++peer) remove(static_cast<PeerIndex>(peer));
}

void SessionTable::install(Instant now, PeerIndex peer_index, const SessionKeys& keys) noexcept {
  CHECK(peer_index < state_->peers.size());
  Peer& peer = state_->peers[peer_index];
  const std::size_t first = peer_index * receive_keys_per_peer;
  if (peer.has_session) {
    ReceiveKey& previous = state_->receive_keys[first + peer.current];
    if (previous.is_live) previous.expires = now + rekey_grace;
    peer.current ^= 1;
    state_->next_expiry = std::min(state_->next_expiry, previous.expires);
    // What the peer held before this rekey it still holds; of anything older that is not known.
    if (peer.is_switching) state_->switch_send_key(peer_index);
  }
  state_->end_receive_key(first + peer.current);
  state_->start_receive_key(first + peer.current, keys.receive);

  const std::uint8_t next = peer.has_session ? peer.sending ^ 1 : peer.sending;
  peer.send[next] = {keys.send.key_id, keys.send.iv, 1};
  state_->aead.set_key(State::send_slot(peer_index, next), keys.send.key);
  if (peer.has_session) {
    peer.is_switching = true;
    peer.switch_at = now + rekey_switch;
    state_->next_expiry = std::min(state_->next_expiry, peer.switch_at);
    // Under one key id the peer can open only one of the two.
    if (peer.send[peer.sending].key_id == keys.send.key_id) state_->switch_send_key(peer_index);
  }
  peer.has_session = true;
}

void SessionTable::remove(PeerIndex peer_index) noexcept {
  CHECK(peer_index < state_->peers.size());
  Peer& peer = state_->peers[peer_index];
  if (!peer.has_session) return;
  for (std::size_t i = 0; i != receive_keys_per_peer; ++i) {
    state_->end_receive_key(peer_index * receive_keys_per_peer + i);
  }
  for (std::size_t i = 0; i != send_keys_per_peer; ++i) state_->wipe_send_key(peer_index, i);
  peer = Peer{};
}

bool SessionTable::has(PeerIndex peer) const noexcept {
  return peer < state_->peers.size() && state_->peers[peer].has_session;
}

AeadBackend SessionTable::backend() const noexcept { return state_->backend; }

Opened SessionTable::open(Instant now, std::span<std::uint8_t> datagram) noexcept {
  State& state = *state_;
  on_time(now);
  if (datagram.size() <= datagram_overhead_bytes || datagram.size() > datagram_bytes_max) return {Open::malformed};
  const std::uint8_t source_lane = datagram[1];
  const std::uint64_t packet_number = load_le<std::uint64_t>(&datagram[8]);
  if (datagram[0] != wire_version || source_lane >= source_lanes_max || datagram[3] != 0 || packet_number == 0 ||
      packet_number >= packet_number_end) {
    return {Open::malformed};
  }
  if (datagram[2] != state.lane) return {Open::wrong_lane};
  const std::uint32_t index = state.key_ids.find(load_le<std::uint32_t>(&datagram[4]));
  if (index == KeyIdTable::none) return {Open::unknown_key};
  ReceiveKey& key = state.receive_keys[index];
  ReplayWindow& window = key.windows[source_lane];
  if (!window.is_fresh(packet_number)) return {Open::replayed};

  const auto frame = datagram.subspan(datagram_header_bytes, datagram.size() - datagram_overhead_bytes);
  const bool authentic = state.aead.open(State::receive_slot(index), nonce_of(key.iv, source_lane, packet_number),
                                          datagram.first(datagram_header_bytes), frame, frame.data() + frame.size());
  if (!authentic) return {Open::unauthentic};
  window.accept(packet_number);
  const auto peer_index = static_cast<PeerIndex>(index / receive_keys_per_peer);
  const Peer& peer = state.peers[peer_index];
  // Who sends under the new keys can open what is sent under them.
  if (peer.is_switching && index % receive_keys_per_peer == peer.current) state.switch_send_key(peer_index);
  return {Open::opened, peer_index, frame};
}

void SessionTable::on_time(Instant now) noexcept {
  if (now >= state_->next_expiry) state_->expire(now);
}

std::size_t SessionTable::seal(PeerIndex peer_index, std::span<const std::uint8_t> frame,
                               std::uint8_t* out) noexcept {
  if (!has(peer_index)) return 0;
  Peer& peer = state_->peers[peer_index];
  if (peer.is_switching && peer.send[peer.sending].next_packet_number == packet_number_end) {
    state_->switch_send_key(peer_index);
  }
  SendKey& key = peer.send[peer.sending];
  if (key.next_packet_number == packet_number_end) return 0;
  const std::uint64_t packet_number = key.next_packet_number++;
  out[0] = wire_version;
  out[1] = state_->lane;
  out[2] = state_->lane;  // a message has the same lane at every node
  out[3] = 0;
  store_le(out + 4, key.key_id);
  store_le(out + 8, packet_number);
  state_->aead.seal(State::send_slot(peer_index, peer.sending), nonce_of(key.iv, state_->lane, packet_number),
                     {out, datagram_header_bytes}, frame, out + datagram_header_bytes);
  return frame.size() + datagram_overhead_bytes;
}

}  // namespace corelay::dataplane
