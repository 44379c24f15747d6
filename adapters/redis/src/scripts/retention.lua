-- Notes the retention of this program. Returns that of the program which opened the log before, or an empty text.
local own = arg()
local noted = call('HGET', META, 'retention')
call('HSET', META, 'retention', own)
return noted and noted ~= own and noted or ''
