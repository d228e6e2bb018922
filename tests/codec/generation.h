/// A generation for tests: random shards, the coded packets made of them, and a decoder with the
/// payloads it was given.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <vector>

#include "codec/bytes.h"
#include "codec/decoder.h"
#include "codec/encoder.h"
#include "codec/rng.h"

namespace corelay::codec {

using Buffer = std::vector<std::uint8_t>;

inline Buffer random_bytes(Rng& rng, std::size_t bytes) {
  Buffer buffer(bytes);
  for (std::uint8_t& byte : buffer) byte = static_cast<std::uint8_t>(rng.next());
  return buffer;
}

/// The pointers that the codec's calls take.
inline std::vector<const std::uint8_t*> pointers(const std::vector<Buffer>& buffers) {
  std::vector<const std::uint8_t*> list;
  for (const Buffer& buffer : buffers) list.push_back(buffer.data());
  return list;
}
inline std::vector<std::uint8_t*> mutable_pointers(std::vector<Buffer>& buffers) {
  std::vector<std::uint8_t*> list;
  for (Buffer& buffer : buffers) list.push_back(buffer.data());
  return list;
}

inline std::vector<Buffer> random_shards(Rng& rng, std::size_t k, std::size_t shard_bytes) {
  std::vector<Buffer> shards;
  for (std::size_t i = 0; i < k; ++i) shards.push_back(random_bytes(rng, shard_bytes));
  return shards;
}

/// A coded packet as a recoder holds it: coefficient vector and payload in one buffer.
struct Packet {
  std::size_t k;
  Buffer row;

  [[nodiscard]] Bytes coefficients() const { return Bytes(row).first(k); }
  [[nodiscard]] Bytes payload() const { return Bytes(row).subspan(k); }
};

/// The packet of one seed, with its coefficients written out.
inline Packet coded_packet(const std::vector<Buffer>& shards, std::uint64_t seed) {
  Packet packet{shards.size(), Buffer(shards.size() + shards[0].size())};
  expand_seed(seed, MutableBytes(packet.row).first(packet.k));
  std::uint8_t* const out = packet.row.data() + packet.k;
  encode({&seed, 1}, pointers(shards), {&out, 1}, shards[0].size());
  return packet;
}

/// Shard `index` as a packet.
inline Packet systematic_packet(const std::vector<Buffer>& shards, std::size_t index) {
  Packet packet{shards.size(), Buffer(shards.size())};
  packet.row[index] = 1;
  packet.row.insert(packet.row.end(), shards[index].begin(), shards[index].end());
  return packet;
}

/// `count` recoded packets of those held.
inline std::vector<Packet> recoded_packets(Rng& rng, const std::vector<Packet>& held,
                                           std::size_t count) {
  std::vector<const std::uint8_t*> rows;
  for (const Packet& packet : held) rows.push_back(packet.row.data());
  std::vector<Packet> made(count, Packet{held[0].k, Buffer(held[0].row.size())});
  std::vector<std::uint8_t*> out;
  for (Packet& packet : made) out.push_back(packet.row.data());
  recode(rng, rows, out, held[0].row.size());
  return made;
}

/// A decoder, its storage, and the payloads of the innovative packets.
class Receiver {
 public:
  explicit Receiver(std::size_t k)
      : storage_(new (std::align_val_t{64}) std::uint8_t[Decoder::storage_bytes(k)]) {
    decoder_.reset(k, {storage_.get(), Decoder::storage_bytes(k)});
  }

  Absorbed take(const Packet& packet) {
    return keep(decoder_.absorb(packet.coefficients()), packet.payload());
  }
  Absorbed take_systematic(std::size_t index, Bytes payload) {
    return keep(decoder_.absorb_systematic(index), payload);
  }

  [[nodiscard]] const Decoder& decoder() const { return decoder_; }

  /// The shards, at full rank.
  std::vector<Buffer> decode() {
    std::vector<std::uint8_t*> list = mutable_pointers(payloads_);
    const std::size_t bytes = payloads_[0].size();
    decoder_.decode(list, bytes);
    std::vector<Buffer> shards;
    for (const std::uint8_t* payload : list) shards.emplace_back(payload, payload + bytes);
    return shards;
  }

 private:
  Absorbed keep(Absorbed absorbed, Bytes payload) {
    if (absorbed == Absorbed::innovative) payloads_.emplace_back(payload.begin(), payload.end());
    return absorbed;
  }

  struct Free {
    void operator()(std::uint8_t* memory) const { operator delete[](memory, std::align_val_t{64}); }
  };
  std::unique_ptr<std::uint8_t[], Free> storage_;
  Decoder decoder_;
  std::vector<Buffer> payloads_;
};

}  // namespace corelay::codec
