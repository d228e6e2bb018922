/// The HTTP API: REST under /api (the texts of June 2025) and /api/v1 (those since), WebSocket, event streams, and what
/// operators ask for.
#pragma once

#include "control/gateway/connection.h"
#include "control/gateway/service.h"

namespace corelay::gateway {

class Gatekeeper;
struct Admission;

/// Which generation of the published API a path belongs to: their errors differ.
enum class Generation : std::uint8_t { june, v1 };

class HttpApi final : public Api {
 public:
  /// `gatekeeper` is null where anybody may call.
  HttpApi(Service& service, Gatekeeper* gatekeeper);
  ~HttpApi() override;

  void answer(const std::shared_ptr<Connection>& connection, Request request, Respond respond) override;
  void on_frame(Connection& connection, std::string_view text, std::function<void(std::string)> reply) override;
  void on_stream_end(Connection& connection) override;

 private:
  struct Call {
    const std::shared_ptr<Connection>& connection;
    Request& request;
    Respond& respond;
    Generation generation = Generation::v1;
    std::shared_ptr<Admission> admission;  // whose token; null without authentication
  };
  using Route = void (HttpApi::*)(Call&);
  struct Entry;
  static const Entry routes[];

  void admit(const std::shared_ptr<Connection>& connection, Request request, Respond respond, Route route,
             Generation generation);
  void subscribe(Call& call);
  void unsubscribe(Call& call);
  void publish(Call& call);
  void health(Call& call);
  void version(Call& call);
  void topics(Call& call);
  void node_countries(Call& call);
  void tracer_stream(Call& call);
  void tracer_reset(Call& call);
  void websocket(Call& call);
  void events(Call& call);
  void metrics(Call& call);
  void live(Call& call);
  void ready(Call& call);
  void openapi(Call& call);
  void nodes(Call& call);
  void arrivals(Call& call);
  void page(Call& call);
  void usage(Call& call);

  Service& service_;
  Gatekeeper* const gatekeeper_;
};

}  // namespace corelay::gateway
