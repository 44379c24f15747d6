//! What is known of a consumer besides its header: its profile, live members and kinds, read again only after a change.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::rows::{KindId, KnownKind, Member, Profile, Rows};
use crate::adapter::durable::{ConsumerId, Kind, SessionId, Settings, Terms, matches_any};

/// The views that an engine has read, by consumer.
#[derive(Debug, Default)]
pub struct Views(Mutex<HashMap<ConsumerId, Arc<View>>>);

/// The profile, the live members and the kinds of a consumer.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    /// [`Header::stamp`](super::Header::stamp) when it was read.
    pub(super) stamp: u64,
    pub(super) profile: Profile,
    pub(super) members: BTreeMap<SessionId, Member>,
    kinds: BTreeMap<KindId, KnownKind>,
    ids: HashMap<Kind, KindId>,
    /// Kinds that a live member takes.
    claimed: BTreeSet<KindId>,
    /// Kinds that waiting rows may have, by the members that take them.
    taken: BTreeMap<SessionId, Vec<KindId>>,
    /// Kinds that waiting rows may have and that the union does not take.
    given_up: Vec<KindId>,
}

impl Views {
    fn lock(&self) -> MutexGuard<'_, HashMap<ConsumerId, Arc<View>>> {
        // Nothing under this lock can panic, so a poisoned one holds a valid value.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, id: ConsumerId, stamp: u64) -> Option<Arc<View>> {
        self.lock().get(&id).filter(|view| view.stamp == stamp).cloned()
    }

    pub(super) fn put(&self, id: ConsumerId, view: &Arc<View>) {
        self.lock().insert(id, Arc::clone(view));
    }

    pub(super) fn forget(&self, id: ConsumerId) {
        self.lock().remove(&id);
    }
}

impl View {
    pub(super) fn read<R: Rows>(rows: &mut R, id: ConsumerId, stamp: u64) -> Result<Self, R::Error> {
        let (profile, members) = (rows.profile(id)?, rows.live_members(id)?);
        let kinds: BTreeMap<_, _> = rows.kinds(id)?.into_iter().map(|kind| (kind.id, kind)).collect();
        let ids = kinds.values().map(|known| (known.kind.clone(), known.id)).collect();
        let mut view = Self { stamp, profile, members, kinds, ids, ..Self::default() };
        view.compute();
        Ok(view)
    }

    fn compute(&mut self) {
        let Self { profile, members, kinds, claimed, taken, given_up, .. } = self;
        *taken = members.keys().map(|session| (*session, Vec::new())).collect();
        claimed.clear();
        given_up.clear();
        for known in kinds.values() {
            for (session, _) in members.iter().filter(|(_, member)| member.filter.takes(&known.kind)) {
                claimed.insert(known.id);
                if known.open {
                    taken.entry(*session).or_default().push(known.id);
                }
            }
            if known.open && !matches_any(&profile.union, &known.kind.name) {
                given_up.push(known.id);
            }
        }
    }

    /// Adds a kind, or changes one.
    pub(super) fn set_kind(&mut self, known: KnownKind) {
        self.ids.insert(known.kind.clone(), known.id);
        self.kinds.insert(known.id, known);
        self.compute();
    }

    pub(super) fn id_of(&self, kind: &Kind) -> Option<KindId> {
        self.ids.get(kind).copied()
    }

    pub(super) fn next_kind(&self) -> KindId {
        self.kinds.keys().next_back().copied().unwrap_or(0) + 1
    }

    pub(super) fn kind(&self, id: KindId) -> Option<&KnownKind> {
        self.kinds.get(&id)
    }

    pub(super) fn kinds(&self) -> impl Iterator<Item = &KnownKind> {
        self.kinds.values()
    }

    /// Whether a live session takes events of a kind.
    pub(super) fn is_claimed(&self, id: KindId) -> bool {
        self.claimed.contains(&id)
    }

    pub(super) fn claimed(&self) -> &BTreeSet<KindId> {
        &self.claimed
    }

    /// The kinds that a session takes and that waiting rows may have.
    pub(super) fn taken_by(&self, session: SessionId) -> &[KindId] {
        self.taken.get(&session).map_or(&[], Vec::as_slice)
    }

    pub(super) fn given_up(&self) -> &[KindId] {
        &self.given_up
    }

    pub(super) fn is_in_union(&self, name: &str) -> bool {
        matches_any(&self.profile.union, name)
    }

    pub(super) fn settings(&self, number: u64) -> Settings {
        self.profile.settings.get(&number).cloned().unwrap_or_default()
    }

    pub(super) fn terms(&self, header: &super::Header) -> Terms {
        Terms {
            position: header.position,
            patterns_number: header.patterns_number,
            union: self.profile.union.clone(),
            settings_number: header.deciding,
            settings: self.settings(header.deciding),
            moves: header.moves,
        }
    }
}
