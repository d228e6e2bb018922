#include "control/node/addresses.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

#include <array>
#include <boost/asio/ip/address.hpp>
#include <memory>

namespace corelay::node {
namespace {

std::string address_text(const sockaddr& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (address.sa_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    return inet_ntop(AF_INET, &v4.sin_addr, text.data(), text.size()) == nullptr ? "" : text.data();
  }
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
  if (IN6_IS_ADDR_LINKLOCAL(&v6.sin6_addr)) return "";  // of no use without the interface
  return inet_ntop(AF_INET6, &v6.sin6_addr, text.data(), text.size()) == nullptr ? "" : text.data();
}

/// IP literals of the interfaces that are up, of one family.
std::vector<std::string> interface_addresses(int family, bool loopback) {
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return {};
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> owner(list, freeifaddrs);
  std::vector<std::string> addresses;
  for (const ifaddrs* at = list; at != nullptr; at = at->ifa_next) {
    if (at->ifa_addr == nullptr || at->ifa_addr->sa_family != family || (at->ifa_flags & IFF_UP) == 0) continue;
    if (((at->ifa_flags & IFF_LOOPBACK) != 0) != loopback) continue;
    std::string text = address_text(*at->ifa_addr);
    if (!text.empty()) addresses.push_back(std::move(text));
  }
  return addresses;
}

}  // namespace

std::vector<libp2p::Multiaddr> reachable_addresses(const libp2p::Multiaddr& bound) {
  boost::system::error_code error;
  const auto address = boost::asio::ip::make_address(bound.host(), error);
  const auto port = bound.tcp_port();
  if (error || !port || !address.is_unspecified()) return {bound};
  const int family = address.is_v4() ? AF_INET : AF_INET6;
  auto texts = interface_addresses(family, false);
  if (texts.empty()) texts = interface_addresses(family, true);
  std::vector<libp2p::Multiaddr> all;
  for (const auto& text : texts) {
    if (const auto made = libp2p::Multiaddr::tcp(text, *port)) all.push_back(*made);
  }
  return all.empty() ? std::vector{bound} : all;
}

bool is_loopback(const std::string& address) {
  if (address == "localhost") return true;
  boost::system::error_code error;
  const auto parsed = boost::asio::ip::make_address(address, error);
  return !error && parsed.is_loopback();
}

}  // namespace corelay::node
