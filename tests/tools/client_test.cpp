// What the command line's clients do where there is nobody to talk to: bounds of a webhook's queue, whose tokens are
// refreshed, and to whom secrets are sent.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tools/corelay/grpc_channel.h"
#include "tools/corelay/oauth.h"
#include "tools/corelay/webhook.h"

namespace corelay::tools {
namespace {

constexpr const char* nobody = "http://127.0.0.1:1/";  // connections are refused

WebhookCounts counts_of(std::size_t messages, std::size_t bytes, std::size_t bytes_max) {
  const Console console;
  WebhookOptions options;
  options.url = *parse_url(nobody);
  options.queue_max = 10'000;
  options.queue_bytes_max = bytes_max;
  Webhook webhook(console, std::move(options));
  for (std::size_t i = 0; i < messages; ++i) webhook.offer({std::string(bytes, 'x'), "", "", "", ""});
  return webhook.finish();
}

TEST(Webhook, WhatWaitsIsBoundedInBytesToo) {
  const WebhookCounts many = counts_of(2000, 60, 100);
  EXPECT_GT(many.dropped, 0u);
  EXPECT_EQ(many.failed + many.dropped, 2000u);
  const WebhookCounts one = counts_of(1, 500, 100);  // larger than all of the queue: alone
  EXPECT_EQ(one.failed, 1u);
  EXPECT_EQ(one.dropped, 0u);
}

class RefreshTest : public ::testing::Test {
 protected:
  RefreshTest() {
    std::string made = (std::filesystem::temp_directory_path() / "corelay-refresh-XXXXXX").string();
    folder = mkdtemp(made.data());
    path = (folder / "auth.yml").string();
    EXPECT_TRUE(save_tokens(path, {"new", "refresh", 0, nobody, "app", ""}));
  }
  ~RefreshTest() override {
    std::error_code ignored;
    std::filesystem::remove_all(folder, ignored);
  }
  std::filesystem::path folder;
  std::string path;
};

TEST_F(RefreshTest, ATokenThatSomebodyHasReplacedIsNotRefreshedAgain) {
  const auto tokens = refresh_file(path, "old");
  ASSERT_TRUE(tokens);
  EXPECT_EQ(tokens->token, "new");
  EXPECT_EQ(refresh_file(path, "new").error().code, ErrorCode::unavailable);  // the issuer is asked
  EXPECT_EQ(refresh_file(path, "").error().code, ErrorCode::unavailable);
}

TEST_F(RefreshTest, WithoutTheLockNothingIsSpent) {
  std::filesystem::create_directory(path + ".lock");
  const auto tokens = refresh_file(path, "");
  ASSERT_FALSE(tokens);
  EXPECT_NE(tokens.error().describe().find("locked"), std::string::npos) << tokens.error().describe();
}

TEST(Issuer, SecretsCrossTheNetworkInTheClearOnThisMachineAlone) {
  for (const char* far : {"http://issuer.example.org/", "http://127.example.org/", "http://127.0.0.1.example.org/"})
    EXPECT_EQ(discover(far).error().code, ErrorCode::invalid_argument) << far;
  for (const char* here : {nobody, "http://127.1.2.3:1/", "http://localhost:1/"})
    EXPECT_EQ(discover(here).error().code, ErrorCode::unavailable) << here;
}

TEST(GrpcError, AServerOfAnotherKindIsToldFromATopicThatNobodyHas) {
  const auto code = [](grpc::StatusCode status) { return grpc_error({status, "x"}, "a:1", "gateway").code; };
  EXPECT_EQ(code(grpc::StatusCode::UNIMPLEMENTED), ErrorCode::malformed);
  EXPECT_EQ(code(grpc::StatusCode::FAILED_PRECONDITION), ErrorCode::not_found);
  EXPECT_EQ(grpc_error({grpc::StatusCode::UNIMPLEMENTED, ""}, "a:1", "gateway").what,
            "it speaks gRPC, but not as a gateway");
}

}  // namespace
}  // namespace corelay::tools
