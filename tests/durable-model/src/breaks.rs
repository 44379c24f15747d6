//! Deliberate mistakes, to show that the check of each law finds one. A store or a program consults them at run time.

/// A mistake in the store or in the programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Break {
    /// 1: a claim passes over events that only other programs take.
    PassOverUnclaimed,
    /// 2: a report settles whatever is in hand at its position.
    SettleByPosition,
    /// 3: a session that names its deliveries has all of them released.
    ReleaseNamed,
    /// 4: a waiting event does not hold its key.
    WaitingFreesKey,
    /// 5: a claim makes dead letters of events whose attempts are used up.
    ClaimBuries,
    /// 6: a delivery that is given back counts as an attempt.
    GiveBackCounts,
    /// 7: the addition of a beat has no bound.
    UnboundedBeat,
    /// 8: the deliveries of an ended session stay in hand.
    EndedKeepsDeliveries,
    /// 9: a repeated exchange runs again.
    RepeatRuns,
    /// 10: an exchange with an old number runs.
    OldNumberRuns,
    /// 11: the time is the clock's.
    TimeIsClock,
    /// 12: a seek changes all rows in one step.
    SeekAtOnce,
    /// 1: trimming looks at positions only, not at rows.
    TrimIgnoresRows,
    /// A refuted wording: a claim is refused if its number of settings is older than the deciding one.
    OlderSettingsOnly,
    /// A refuted wording: after a loss of data positions stay, but rows are claimed.
    LossHoldsPositionsOnly,
    /// A refuted wording: while a move runs, every report inside its range is late, also of a seek ahead.
    SeekAheadMakesLate,
    /// A refuted wording: a beat counts the time since the previous beat was sent, not since it was answered.
    BeatSinceSent,
    /// A refuted wording: dead letters are replayed while a move runs.
    ReplayWhileMoving,
    /// A refuted wording: a window does not name an event that was read.
    WindowWithoutId,
    /// A refuted wording: sessions learn nothing of a suspect that waits.
    SuspectWaitsSilently,
    /// A refuted wording: a repeated beat counts again.
    BeatsWithoutNumber,
}
