-- The requests that wrk sends. At the end it prints the results as one line of JSON.
-- Arguments: path, body, number of accounts. Requests use the accounts in turn; with 0, the service's own account.
local path, body, accounts
local threads = {}
sent = 0 -- Global, so that done() can read it. Includes requests that the end of the run cut off: Suno got them too.

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
  local errors, all = summary.errors, -1 -- wrk calls request() once to check the script, and does not send the result
  for _, thread in ipairs(threads) do
    all = all + thread:get("sent")
  end
  io.write(string.format(
    '\n{"sent": %d, "answered": %d, "seconds": %f, "p50": %f, "p99": %f, "errors": %d}\n',
    all, summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout
  ))
end
