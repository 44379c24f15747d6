-- Does a chunk of the work that the ends of sessions leave at a consumer.
if head.removed then return '{}' end
catch_up()
if not head.over then return '{}' end
read_lanes()
if (next(lanes) or head.forgotten) and not judge_for() then return JUDGE end
take_over()
sweep()
decide()
save_head()
save_dropped()
save_hands()
note_time()
return '{}'
