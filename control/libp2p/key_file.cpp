#include "control/libp2p/key_file.h"

#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>

#include "control/libp2p/base_text.h"
#include "control/libp2p/public_key.h"

namespace corelay::libp2p {
namespace {

constexpr std::size_t crc_bytes = 8;
constexpr std::size_t file_bytes_max = 16 * 1024;

constexpr std::array<std::uint64_t, 256> crc_table = [] {
  std::array<std::uint64_t, 256> table{};
  for (std::uint64_t i = 0; i < 256; ++i) {
    std::uint64_t crc = i;
    for (int bit = 0; bit < 8; ++bit)
      crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xd800000000000000ULL : 0);
    table[i] = crc;
  }
  return table;
}();

tl::unexpected<Error> bad_file(std::string what) {
  return fail(ErrorCode::malformed, "p2p.key", std::move(what));
}

std::string hex_u64(std::uint64_t value) {
  std::array<char, 17> text{};
  std::snprintf(text.data(), text.size(), "%llx", static_cast<unsigned long long>(value));
  return text.data();
}

/// A descriptor that closes itself.
class File {
 public:
  explicit File(int descriptor) noexcept : descriptor_(descriptor) {}
  ~File() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  [[nodiscard]] int descriptor() const noexcept { return descriptor_; }

 private:
  int descriptor_;
};

Expected<std::vector<std::uint8_t>> read_file(const std::string& path) {
  const File file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.descriptor() < 0) {
    const ErrorCode code = errno == ENOENT   ? ErrorCode::not_found
                           : errno == EACCES ? ErrorCode::permission_denied
                                             : ErrorCode::internal;
    return fail(code, path, "cannot open", errno);
  }
  std::vector<std::uint8_t> bytes(file_bytes_max + 1);
  std::size_t used = 0;
  while (used < bytes.size()) {
    const ssize_t got = ::read(file.descriptor(), bytes.data() + used, bytes.size() - used);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(ErrorCode::internal, path, "cannot read", errno);
    if (got == 0) break;
    used += static_cast<std::size_t>(got);
  }
  if (used > file_bytes_max) return fail(ErrorCode::malformed, path, "file is too long");
  bytes.resize(used);
  return bytes;
}

bool write_all(int descriptor, Bytes bytes) noexcept {
  while (!bytes.empty()) {
    const ssize_t put = ::write(descriptor, bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(put));
  }
  return true;
}

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

/// The seed of an Ed25519 PrivateKey message: seed and public key, or those and the public key once
/// more (old form).
Expected<std::array<std::uint8_t, 32>> seed_of(Bytes private_key_message) {
  const auto key = parse_key_message(private_key_message);
  if (!key) return bad_file("Key is not a libp2p private key: " + key.error().what);
  if (key->type != KeyType::ed25519) {
    static constexpr std::array<const char*, 4> names{"RSA", "Ed25519", "Secp256k1", "ECDSA"};
    return fail(ErrorCode::invalid_argument, "p2p.key",
                std::string("Key is ") + names[static_cast<std::size_t>(key->type)] +
                    "; only Ed25519 is supported: make one with corelay keygen");
  }
  const Bytes data = key->data;
  if (data.size() != 64 && data.size() != 96) return bad_file("Ed25519 key is not 64 bytes");
  const Bytes stored_public = data.subspan(32, 32);
  if (data.size() == 96 && !std::ranges::equal(stored_public, data.subspan(64, 32))) {
    return bad_file("the two copies of the public key differ");
  }
  std::array<std::uint8_t, 32> seed{};
  std::copy_n(data.begin(), seed.size(), seed.begin());
  if (!std::ranges::equal(Identity::from_seed(seed).public_key(), stored_public)) {
    return bad_file("the public key is not that of the private key");
  }
  return seed;
}

}  // namespace

std::uint64_t crc64_iso(Bytes bytes) noexcept {
  std::uint64_t crc = ~std::uint64_t{0};
  for (const std::uint8_t byte : bytes) crc = crc_table[(crc ^ byte) & 0xff] ^ (crc >> 8);
  return ~crc;
}

Expected<std::array<std::uint8_t, 32>> parse_key_file(Bytes file) {
  if (file.size() <= crc_bytes) return bad_file("file is too short");
  const Bytes payload = file.subspan(crc_bytes);
  const std::uint64_t stored = load_le<std::uint64_t>(file.data());
  const std::uint64_t computed = crc64_iso(payload);
  if (stored != computed) {
    return bad_file("checksum mismatch: " + hex_u64(stored) + " != " + hex_u64(computed));
  }
  const nlohmann::json json = nlohmann::json::parse(payload.begin(), payload.end(), nullptr, false);
  if (!json.is_object() || !json.contains("Key") || !json["Key"].is_string() ||
      !json.contains("ID") || !json["ID"].is_string()) {
    return bad_file("not a JSON object with the strings Key and ID");
  }
  const auto key = from_base64(json["Key"].get_ref<const std::string&>());
  if (!key) return bad_file("Key is not base64");
  const auto seed = seed_of(*key);
  if (!seed) return seed;
  const std::string& id = json["ID"].get_ref<const std::string&>();
  const auto peer = PeerId::parse(id);
  if (!peer || *peer != Identity::from_seed(*seed).peer_id()) {
    return bad_file("ID " + id.substr(0, 80) + " is not the id of Key");
  }
  return seed;
}

std::vector<std::uint8_t> format_key_file(Bytes secret_key, const PeerId& peer) {
  const std::string key = to_base64(format_key_message(KeyType::ed25519, secret_key));
  const std::string payload = "{\"Key\":\"" + key + "\",\"ID\":\"" + peer.text() + "\"}";
  std::vector<std::uint8_t> file(crc_bytes + payload.size());
  store_le(file.data(), crc64_iso(as_bytes(payload)));
  std::ranges::copy(as_bytes(payload), file.begin() + crc_bytes);
  return file;
}

Expected<Identity> Identity::load(const std::string& path) {
  const auto bytes = read_file(path);
  if (!bytes) return tl::make_unexpected(bytes.error());
  const auto seed = parse_key_file(*bytes);
  if (!seed) return fail(seed.error().code, path, seed.error().what);
  return from_seed(*seed);
}

Expected<void> Identity::save(const std::string& path) const {
  struct stat old {};
  const bool had_file = ::stat(path.c_str(), &old) == 0;
  const mode_t mode = had_file ? old.st_mode & 07777 : 0600;
  const std::string temporary = path + ".new-" + std::to_string(::getpid());
  {
    const File file(
        ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (file.descriptor() < 0) {
      const int code = errno;
      return fail(code == EACCES ? ErrorCode::permission_denied : ErrorCode::internal, temporary,
                  "cannot create", code);
    }
    const std::vector<std::uint8_t> bytes = format_key_file(secret_key_, peer_id_);
    if (::fchmod(file.descriptor(), mode) != 0 || !write_all(file.descriptor(), bytes) ||
        ::fsync(file.descriptor()) != 0) {
      const int code = errno;
      ::unlink(temporary.c_str());
      return fail(ErrorCode::internal, temporary, "cannot write", code);
    }
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    const int code = errno;
    ::unlink(temporary.c_str());
    return fail(ErrorCode::internal, path, "cannot rename into place", code);
  }
  // The rename itself must survive a power cut.
  const File folder(::open(folder_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.descriptor() >= 0) static_cast<void>(::fsync(folder.descriptor()));
  return {};
}

}  // namespace corelay::libp2p
