-- What wrk sends, and what it tells at the end: one line of JSON.
-- Arguments: the path, the body, and how many accounts take turns (0: none is named, the service's own pays).
local path, body, accounts
local threads = {}
sent = 0 -- global, so that done() finds it: also what the end of the run cut off, which Suno was asked all the same

function setup(thread)
  table.insert(threads, thread)
end

function init(arguments)
  path, body, accounts = arguments[1], arguments[2], tonumber(arguments[3])
end

function request()
  local headers = { ["Content-Type"] = "application/json" }
  if accounts > 0 then
    headers["X-Suno-Cookie"] = "account-" .. sent % accounts
  end
  sent = sent + 1
  return wrk.format("POST", path, headers, body)
end

function done(summary, latency)
  local errors, all = summary.errors, -1 -- wrk makes one request more, to look at it
  for _, thread in ipairs(threads) do
    all = all + thread:get("sent")
  end
  io.write(string.format(
    '\n{"sent": %d, "answered": %d, "seconds": %f, "p50": %f, "p99": %f, "errors": %d}\n',
    all, summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout
  ))
end
