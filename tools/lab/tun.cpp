#include "tools/lab/tun.h"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace corelay::lab {
namespace {

tl::unexpected<Error> refused(const std::string& what) {
  return fail(ErrorCode::unavailable, what, "not permitted here", errno);
}

Expected<Descriptor> make_device(const std::string& name) {
  Descriptor device(::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (device.get() < 0) return refused("/dev/net/tun");
  ifreq request{};
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  std::copy_n(name.begin(), std::min<std::size_t>(name.size(), IFNAMSIZ - 1), request.ifr_name);
  if (::ioctl(device.get(), TUNSETIFF, &request) != 0) return refused("TUN device " + name);
  return device;
}

}  // namespace

Descriptor::~Descriptor() {
  if (fd_ >= 0) ::close(fd_);
}

Expected<Descriptor> open_tun(const std::string& netns, const std::string& name) {
  const Descriptor home(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  const Descriptor there(::open(netns.c_str(), O_RDONLY | O_CLOEXEC));
  if (home.get() < 0 || there.get() < 0 || ::setns(there.get(), CLONE_NEWNET) != 0) {
    return refused("network namespace " + netns);
  }
  Expected<Descriptor> device = make_device(name);
  if (::setns(home.get(), CLONE_NEWNET) != 0) return refused("the way back from " + netns);
  return device;
}

}  // namespace corelay::lab
