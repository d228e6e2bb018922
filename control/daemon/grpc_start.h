/// What every gRPC server of a daemon needs once before it is built.
#pragma once

#include <grpc/grpc.h>
#include <grpc/support/log.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <spdlog/spdlog.h>

namespace corelay::daemon {

/// Health and reflection for the servers that follow, gRPC's lines into our log. Any number of calls is one.
inline void start_grpc() {
  static const bool once = [] {
    grpc_init();  // never undone: the last user's shutdown joins a thread that may sleep in its poll for ten seconds
    gpr_set_log_function([](gpr_log_func_args* line) { spdlog::debug("grpc: {}", line->message); });
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    return true;
  }();
  static_cast<void>(once);
}

}  // namespace corelay::daemon
