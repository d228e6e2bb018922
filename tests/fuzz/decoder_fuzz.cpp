// A stateful fuzzer of the decoder: bytes choose the size of a generation, then absorb packets of
// every form, change the backend and start again. Each verdict is held against plain elimination,
// and each complete generation must decode to its shards. Input: k - 1, shard bytes, then
// operations as in Session::step().
#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "codec/check.h"
#include "codec/decoder.h"
#include "codec/encoder.h"

namespace corelay::codec {
namespace {

constexpr std::size_t shard_bytes_bound = 200;

// Reads the input to its end, then zeros.
class Input {
 public:
  Input(const std::uint8_t* data, std::size_t bytes) : data_(data), left_(bytes) {}

  std::uint8_t byte() {
    if (left_ == 0) return 0;
    --left_;
    return *data_++;
  }
  std::uint64_t word() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 8) value |= std::uint64_t{byte()} << shift;
    return value;
  }
  [[nodiscard]] bool is_empty() const { return left_ == 0; }

 private:
  const std::uint8_t* data_;
  std::size_t left_;
};

// Rank by Gaussian elimination, a byte at a time; rows[c] has its first non-zero byte, a 1, at c.
class PlainRank {
 public:
  explicit PlainRank(std::size_t k) : rows_(k) {}

  bool is_innovative(std::vector<std::uint8_t> row) {
    for (std::size_t c = 0; c < row.size(); ++c) {
      if (row[c] == 0) continue;
      if (rows_[c].empty()) {
        const std::uint8_t scale = inverse(row[c]);
        for (std::uint8_t& value : row) value = product(value, scale);
        rows_[c] = std::move(row);
        return true;
      }
      const std::uint8_t factor = row[c];
      for (std::size_t i = c; i < row.size(); ++i) {
        row[i] = static_cast<std::uint8_t>(row[i] ^ product(factor, rows_[c][i]));
      }
    }
    return false;
  }

 private:
  std::vector<std::vector<std::uint8_t>> rows_;
};

class Session {
 public:
  explicit Session(Input& input) : input_(input) { start(); }

  void run() {
    for (int steps = 0; !input_.is_empty() && steps < 2000; ++steps) step();
  }

 private:
  void start() {
    k_ = std::size_t{input_.byte()} + 1;
    shard_bytes_ = input_.byte() % (shard_bytes_bound + 1);
    storage_.resize(Decoder::storage_bytes(k_) + 63);
    void* aligned = storage_.data();
    std::size_t space = storage_.size();
    CHECK(std::align(64, Decoder::storage_bytes(k_), aligned, space) != nullptr);
    decoder_.reset(k_, {static_cast<std::uint8_t*>(aligned), Decoder::storage_bytes(k_)});
    plain_ = PlainRank(k_);
    payloads_.clear();
    Rng rng(k_);
    shards_.assign(k_, std::vector<std::uint8_t>(shard_bytes_));
    for (auto& shard : shards_) {
      for (std::uint8_t& byte : shard) byte = static_cast<std::uint8_t>(rng.next());
    }
  }

  void step() {
    std::vector<std::uint8_t> vector(k_);
    switch (input_.byte() % 8) {
      case 0:  // any vector
        for (std::uint8_t& value : vector) value = input_.byte();
        absorb(vector);
        break;
      case 1:  // a vector from a seed
        expand_seed(input_.word(), vector);
        absorb(vector);
        break;
      case 2:  // a shard
      case 3:
        absorb_systematic(input_.byte());
        break;
      case 4:  // a vector of few values
        for (int count = input_.byte() % 4; count >= 0; --count)
          vector[input_.byte() % k_] = input_.byte();
        absorb(vector);
        break;
      case 5:  // a vector of another length
        vector.resize(std::size_t{input_.byte()} + (input_.byte() & 1));
        if (vector.size() != k_) CHECK(decoder_.absorb(vector) == Absorbed::malformed);
        break;
      case 6: {
        const auto list = available_backends();
        CHECK(force_backend(list[input_.byte() % list.size()]));
        break;
      }
      default:
        start();
        break;
    }
  }

  void absorb(const std::vector<std::uint8_t>& vector) { expect(decoder_.absorb(vector), vector); }

  void absorb_systematic(std::size_t index) {
    const Absorbed absorbed = decoder_.absorb_systematic(index);
    if (index >= k_) {
      CHECK(absorbed == Absorbed::malformed);
      return;
    }
    std::vector<std::uint8_t> vector(k_);
    vector[index] = 1;
    expect(absorbed, vector);
  }

  // The packet has been absorbed: was the verdict right, and at full rank, are these the shards?
  void expect(Absorbed absorbed, const std::vector<std::uint8_t>& vector) {
    if (payloads_.size() == k_) {
      CHECK(absorbed == Absorbed::complete);
      return;
    }
    CHECK((absorbed == Absorbed::innovative) == plain_.is_innovative(vector));
    CHECK(absorbed == Absorbed::innovative || absorbed == Absorbed::redundant);
    if (absorbed == Absorbed::innovative) payloads_.push_back(payload_of(vector));
    CHECK(decoder_.rank() == payloads_.size() &&
          decoder_.is_complete() == (payloads_.size() == k_));
    if (decoder_.is_complete()) decode();
  }

  std::vector<std::uint8_t> payload_of(const std::vector<std::uint8_t>& vector) {
    std::vector<std::uint8_t> payload(shard_bytes_);
    std::vector<const std::uint8_t*> rows;
    for (const auto& shard : shards_) rows.push_back(shard.data());
    std::uint8_t* const out = payload.data();
    multiply(Backend::scalar, 1, k_, vector.data(), k_, rows.data(), &out, shard_bytes_);
    return payload;
  }

  void decode() {
    std::vector<std::vector<std::uint8_t>> copies = payloads_;
    std::vector<std::uint8_t*> list;
    for (auto& copy : copies) list.push_back(copy.data());
    decoder_.decode(list, shard_bytes_);
    for (std::size_t i = 0; i < k_; ++i) {
      CHECK(std::equal(shards_[i].begin(), shards_[i].end(), list[i]));
    }
  }

  Input& input_;
  std::size_t k_ = 0;
  std::size_t shard_bytes_ = 0;
  std::vector<std::uint8_t> storage_;
  Decoder decoder_;
  PlainRank plain_{0};
  std::vector<std::vector<std::uint8_t>> shards_;
  std::vector<std::vector<std::uint8_t>> payloads_;  // of the innovative packets, in their order
};

}  // namespace
}  // namespace corelay::codec

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace corelay::codec;
  CHECK(force_backend(available_backends().back()));
  Input input(data, size);
  Session(input).run();
  return 0;
}
