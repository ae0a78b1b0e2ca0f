-- What a caller judged on before it asked: "<date> <first ms> <first ms of the next> <from> <until>". The business day is
-- compared with the campaign's clock. What operators had set, as the caller read it, may be decided upon from the moment of
-- reading until its lease ends, by Redis's own clock: a process may stand still between its last look and this script.

-- The date, or nil where the day is another one; and whether what was read is too old, or of a clock that was set back since.
local function grounds_read(book, grounds)
  local date, first, next_day, from, ends = grounds:match('^(%S+) (%d+) (%d+) (%d+) (%d+)$')
  if book.now < tonumber(first) or book.now >= tonumber(next_day) then date = nil end
  return date, book.clock < tonumber(from) or book.clock > tonumber(ends)
end
