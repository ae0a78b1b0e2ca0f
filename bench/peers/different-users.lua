-- The load of every contender that speaks HTTP: wrk posts claims, and every request is a different user.
-- Each wrk thread has a Lua state of its own, so an id begins with the thread's number; ids keep one width, so the
-- request is two constant strings around a number and Content-Length holds.
-- Arguments after `--`: a prefix (ids of two passes never meet), and `tally` or `count`.
--   count: wrk only counts answers and those above 399. Cheap, so it is what the measured pass uses.
--   tally: every status is looked at; wrk then parses each answer, so it is used in the warm-up only.
-- Rejected: random ids (two can be equal), requests made beforehand (repeated users cost less). The last line
-- printed is the result as JSON; os.clock() is the CPU time of the whole wrk process.

-- Ids are numbers of 13 digits, the first three of them for the thread; doubles print that many exactly.
local IDS_PER_THREAD, FIRST_THREAD, WIDTH = 1e10, 100, 13
local threads = {}

function setup(thread)
  threads[#threads + 1] = thread
  thread:set('number', #threads)
end

function init(args)
  wrk.headers['Content-Type'] = 'application/json'
  local whole = wrk.format('POST', nil, nil, '{"user_id":"' .. args[1] .. ('0'):rep(WIDTH) .. '"}')
  before, after = whole:sub(1, -WIDTH - 3), whole:sub(-2)
  last = (FIRST_THREAD + number) * IDS_PER_THREAD
  created, refused, strange, strange_status = 0, 0, 0, 0
  if args[2] == 'tally' then
    response = tally
  end
end

function request()
  last = last + 1
  return before .. last .. after
end

function tally(status)
  if status == 201 then
    created = created + 1
  elseif status == 409 then
    refused = refused + 1
  else
    strange, strange_status = strange + 1, status
  end
end

local function add(a, b) return a + b end
local function fold(name, join)
  local result = 0
  for _, thread in ipairs(threads) do
    result = join(result, thread:get(name))
  end
  return result
end

function done(summary)
  local e = summary.errors
  local form = '{"requests":%d,"seconds":%.6f,"cpu_s":%.6f,"above_399":%d,"socket_errors":%d,"timeouts":%d,'
    .. '"created":%d,"refused":%d,"strange":%d,"strange_status":%d}\n'
  io.write(form:format(summary.requests, summary.duration / 1e6, os.clock(), e.status, e.connect + e.read + e.write,
    e.timeout, fold('created', add), fold('refused', add), fold('strange', add), fold('strange_status', math.max)))
end
