// By system calls: the standard streams throw on a read that fails, as reads of folders and of
// /proc entries may.
#include "tools/corelay/read_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace corelay::tools {
namespace {

ErrorCode code_of(int error) {
  if (error == ENOENT) return ErrorCode::not_found;
  return error == EACCES ? ErrorCode::permission_denied : ErrorCode::internal;
}

}  // namespace

Expected<std::string> read_file(const std::string& path) {
  const bool is_input = path == "-";
  const int file = is_input ? STDIN_FILENO : open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return fail(code_of(errno), path, "cannot be opened", errno);
  constexpr std::size_t step = 256u << 10;
  std::string bytes;
  ssize_t got = 1;
  int error = 0;
  while (got > 0) {
    const std::size_t size = bytes.size();
    bytes.resize(size + step);
    do {
      got = read(file, bytes.data() + size, step);
    } while (got < 0 && errno == EINTR);
    error = got < 0 ? errno : 0;
    bytes.resize(size + static_cast<std::size_t>(got > 0 ? got : 0));
  }
  if (!is_input) close(file);
  if (error != 0) return fail(code_of(error), path, "cannot be read", error);
  return bytes;
}

Expected<void> check_readable(const std::string& path) {
  if (path == "-") return {};
  struct stat about {};
  if (stat(path.c_str(), &about) != 0) return fail(code_of(errno), path, "cannot be opened", errno);
  if (S_ISDIR(about.st_mode)) return fail(ErrorCode::internal, path, "cannot be read", EISDIR);
  if (access(path.c_str(), R_OK) != 0) return fail(code_of(errno), path, "cannot be read", errno);
  return {};
}

}  // namespace corelay::tools
