// Decoding: D1-D5, S1.
#include <algorithm>
#include <cstring>
#include <memory>

#include "bench/codec_cases.h"
#include "bench/codec_reference.h"
#include "bench/codec_rows.h"
#include "codec/decoder.h"
#include "codec/encoder.h"

namespace corelay::bench {
namespace {

using codec::Absorbed;
using codec::Backend;
using codec::Decoder;

constexpr std::size_t fresh_count = 4;  // generations taken in turn

/// The packets of a few generations, k - lost of them shards and `lost` coded, with one set of
/// payloads. Decoding does not depend on payload bytes, so timed runs decode what the run before
/// left.
class Generation {
 public:
  Generation(std::size_t k, std::size_t lost, std::size_t shard_bytes)
      : k_(k),
        lost_(lost),
        shards_(k, shard_bytes, rng_),
        payloads_(k, shard_bytes),
        order_(k),
        storage_(1, Decoder::storage_bytes(k)) {
    for (auto& seeds : seeds_) seeds = innovative_seeds();
    for (std::size_t which = 0; which < fresh_count; ++which) {
      vectors_[which].resize(lost * k);
      for (std::size_t i = 0; i < lost; ++i) {
        codec::expand_seed(seeds_[which][i], {vectors_[which].data() + i * k, k});
      }
    }
  }

  [[nodiscard]] double payload_bytes() const { return static_cast<double>(k_ * shards_.bytes()); }
  [[nodiscard]] const std::uint8_t* vectors(std::size_t which) const {
    return vectors_[which].data();
  }
  [[nodiscard]] const Rows& payloads() const { return payloads_; }
  [[nodiscard]] const Rows& shards() const { return shards_; }

  /// The whole work of one generation: shards first, then coded packets, then the product.
  void decode(std::size_t which) {
    Decoder decoder;
    absorb(decoder, which);
    std::copy(payloads_.pointers().begin(), payloads_.pointers().end(), order_.begin());
    decoder.decode(order_, shards_.bytes());
  }

  /// Payloads as they arrive: shards lost_..k-1, then the coded packets of generation `which`.
  void receive(std::size_t which) {
    for (std::size_t s = 0; s < k_ - lost_; ++s)
      std::memcpy(payloads_[s], shards_[lost_ + s], shards_.bytes());
    if (lost_ == 0) return;
    const std::vector<std::uint8_t*> coded(
        payloads_.pointers().begin() + static_cast<std::ptrdiff_t>(k_ - lost_),
        payloads_.pointers().end());
    codec::multiply(Backend::scalar, lost_, k_, vectors(which), k_, shards_.list(), coded.data(),
                    shards_.bytes());
  }

  [[nodiscard]] bool is_right() {
    receive(1);
    decode(1);
    for (std::size_t i = 0; i < k_; ++i) {
      if (std::memcmp(order_[i], shards_[i], shards_.bytes()) != 0) return false;
    }
    return true;
  }

 private:
  void absorb(Decoder& decoder, std::size_t which) {
    decoder.reset(k_, {storage_[0], storage_.bytes()});
    for (std::size_t s = lost_; s < k_; ++s)
      CHECK(decoder.absorb_systematic(s) == Absorbed::innovative);
    for (std::size_t i = 0; i < lost_; ++i) {
      CHECK(decoder.absorb({vectors(which) + i * k_, k_}) == Absorbed::innovative);
    }
  }

  std::vector<std::uint64_t> innovative_seeds() {
    Decoder decoder;
    decoder.reset(k_, {storage_[0], storage_.bytes()});
    for (std::size_t s = lost_; s < k_; ++s)
      CHECK(decoder.absorb_systematic(s) == Absorbed::innovative);
    std::vector<std::uint64_t> seeds;
    std::vector<std::uint8_t> vector(k_);
    while (!decoder.is_complete()) {
      const std::uint64_t seed = rng_.next();
      codec::expand_seed(seed, vector);
      if (decoder.absorb(vector) == Absorbed::innovative) seeds.push_back(seed);
    }
    return seeds;
  }

  std::size_t k_;
  std::size_t lost_;
  Rng rng_{2};
  Rows shards_;
  Rows payloads_;
  std::vector<std::uint8_t*> order_;
  Rows storage_;
  std::vector<std::uint64_t> seeds_[fresh_count];
  std::vector<std::uint8_t> vectors_[fresh_count];
};

Comparison compare(const std::shared_ptr<Generation>& generation, Repeat reference) {
  return {generation->payload_bytes(), generation->payload_bytes(),
          [generation](std::size_t times) {
            for (std::size_t i = 0; i < times; ++i) generation->decode(i % fresh_count);
          },
          std::move(reference), [generation] { return generation->is_right(); }};
}

Case against_isal_product(std::string id, std::size_t k, std::size_t shard_bytes, double goal) {
  return {std::move(id),
          k,
          k,
          shard_bytes,
          "ec_encode_data k x k alone, tables built before",
          goal,
          [=] {
            const auto generation = std::make_shared<Generation>(k, k, shard_bytes);
            const auto product = std::make_shared<IsalProduct>(k, k);
            const auto out = std::make_shared<Rows>(k, shard_bytes);
            product->build_tables(generation->vectors(0));
            return compare(generation, [=](std::size_t times) {
              for (std::size_t i = 0; i < times; ++i) product->multiply(generation->shards(), *out);
            });
          }};
}

Case against_own_product(std::size_t k, std::size_t shard_bytes, double goal) {
  return {"D3", k, k, shard_bytes, "own k x k product alone", goal, [=] {
            const auto generation = std::make_shared<Generation>(k, k, shard_bytes);
            const auto out = std::make_shared<Rows>(k, shard_bytes);
            return compare(generation, [=](std::size_t times) {
              for (std::size_t i = 0; i < times; ++i) {
                codec::multiply(k, k, generation->vectors(i % fresh_count), k,
                                generation->shards().list(), out->list(), shard_bytes);
              }
            });
          }};
}

Case against_row_by_row(std::size_t k, std::size_t shard_bytes, double goal) {
  return {"D4", k, k, shard_bytes, "row-by-row decoder on gf_vect_mad", goal, [=] {
            const auto generation = std::make_shared<Generation>(k, k, shard_bytes);
            const auto decoder = std::make_shared<RowByRowDecoder>(k, shard_bytes);
            const auto payloads = std::make_shared<Rows>(k, shard_bytes);
            Comparison comparison = compare(generation, [=](std::size_t times) {
              for (std::size_t i = 0; i < times; ++i)
                decoder->decode(generation->vectors(i % fresh_count), *payloads);
            });
            comparison.is_right = [=, ours = comparison.is_right] {
              generation->receive(0);
              const auto& shards = decoder->decode(generation->vectors(0), generation->payloads());
              for (std::size_t i = 0; i < k; ++i) {
                if (std::memcmp(shards[i], generation->shards()[i], shard_bytes) != 0) return false;
              }
              return ours();
            };
            return comparison;
          }};
}

Case against_inversion(std::size_t k, std::size_t shard_bytes, double goal) {
  return {"D4", k, k, shard_bytes, "gf_invert_matrix+ec_init_tables+ec_encode_data", goal, [=] {
            const auto generation = std::make_shared<Generation>(k, k, shard_bytes);
            const auto decoder = std::make_shared<InvertingDecoder>(k, shard_bytes);
            Comparison comparison = compare(generation, [=](std::size_t times) {
              for (std::size_t i = 0; i < times; ++i) {
                decoder->decode(generation->vectors(i % fresh_count), generation->payloads());
              }
            });
            comparison.is_right = [=, ours = comparison.is_right] {
              generation->receive(0);
              const Rows& shards = decoder->decode(generation->vectors(0), generation->payloads());
              for (std::size_t i = 0; i < k; ++i) {
                if (std::memcmp(shards[i], generation->shards()[i], shard_bytes) != 0) return false;
              }
              return ours();
            };
            return comparison;
          }};
}

/// A decoder that holds k - 1 coded packets, and vectors that depend on them: absorbing one changes
/// nothing, so the same check can be timed again and again. The reference forms the same reduced
/// vectors as a product through ISA-L.
struct Check {
  explicit Check(std::size_t k_)
      : k(k_), storage(1, Decoder::storage_bytes(k_)), held(k_ - 1, k_, rng), dependent(16, k_) {
    decoder.reset(k, {storage[0], storage.bytes()});
    for (std::size_t i = 0; i + 1 < k; ++i)
      CHECK(decoder.absorb({held[i], k}) == Absorbed::innovative);
    const auto rows = held.const_pointers();
    codec::recode(rng, rows, dependent.pointers(), k);
    out = std::make_unique<Rows>(1, k);
  }

  std::size_t k;
  Rng rng{3};
  Rows storage;
  Rows held;
  Rows dependent;
  Decoder decoder;
  IsalProduct isal{1, k - 1};
  std::unique_ptr<Rows> out;
};

Case innovation_check(std::size_t k, double goal) {
  return {"D5", k, 1, 0, "the same reduction by ec_init_tables+ec_encode_data", goal, [=] {
            const auto check = std::make_shared<Check>(k);
            const auto bytes = static_cast<double>(k * (k - 1));
            return Comparison{
                bytes, bytes,
                [check](std::size_t times) {
                  for (std::size_t i = 0; i < times; ++i) {
                    const std::uint8_t* const vector = check->dependent[i % 16];
                    CHECK(check->decoder.absorb({vector, check->k}) == Absorbed::redundant);
                  }
                },
                [check](std::size_t times) {
                  for (std::size_t i = 0; i < times; ++i) {
                    check->isal.build_tables(check->dependent[i % 16]);
                    check->isal.multiply(check->held, *check->out);
                  }
                },
                [check] { return check->decoder.rank() == check->k - 1; }};
          }};
}

Case systematic(std::size_t k, std::size_t lost, std::size_t shard_bytes, double goal) {
  return {"S1", k, lost, shard_bytes, "the same decoder on the isal backend", goal, [=] {
            const auto generation = std::make_shared<Generation>(k, lost, shard_bytes);
            return compare(generation, [=](std::size_t times) {
              const Backend active = codec::active_backend();
              CHECK(codec::force_backend(Backend::isal));
              for (std::size_t i = 0; i < times; ++i) generation->decode(i % fresh_count);
              CHECK(codec::force_backend(active));
            });
          }};
}

}  // namespace

std::vector<Case> decoder_cases() {
  std::vector<Case> cases;
  cases.push_back(against_isal_product("D1", 64, 1408, 2.8));
  cases.push_back(against_isal_product("D2", 64, 16384, 3.6));
  for (const std::size_t k : {32, 64, 128}) cases.push_back(against_own_product(k, 1408, 0.7));
  for (const std::size_t k : {32, 64, 128}) cases.push_back(against_own_product(k, 4096, 0.88));
  cases.push_back(against_row_by_row(64, 1408, 6));
  cases.push_back(against_inversion(64, 1408, 40));
  for (const std::size_t k : {16, 32, 64, 128}) cases.push_back(innovation_check(k, 0));
  cases.push_back(systematic(50, 5, 1280, 3.4));
  cases.push_back(systematic(64, 6, 1280, 3.4));
  cases.push_back(systematic(100, 10, 1280, 3.4));
  return cases;
}

}  // namespace corelay::bench
