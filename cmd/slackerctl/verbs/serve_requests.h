// publish --serve.
#pragma once

#include <memory>
#include <string>

#include "backend/publish/publisher.h"
#include "cmd/common/image_sources.h"
#include "cmd/slackerctl/output.h"

namespace slacker::ctl {

// Blocks SIGTERM and SIGINT, for the next two to wait for. Before any thread is started.
void BlockStopSignals();

// Serves requests (backend/publish/request_server.h) and merges traces
// (backend/publish/trace_publisher.h) as they come, until SIGTERM or SIGINT; what is
// being published then is finished first, if that takes no more than ten minutes. Errors of the store are told and do not end it. Returns
// the exit code.
int ServeRequests(const std::shared_ptr<Backend>& store, const PublishOptions& options,
                  const SourceOptions& source_options, const Console& console);

// The same for the slackerd of `root` (cmd/slackerd/auto_publisher.h): serves what that has written
// down there, from its containerd, until there is nothing left, a signal comes, or the other end of
// standard input is closed. Results are log lines.
int ServeNode(const std::string& root, const std::shared_ptr<Backend>& store,
              const PublishOptions& options, const SourceOptions& source_options,
              const Console& console);

}  // namespace slacker::ctl
