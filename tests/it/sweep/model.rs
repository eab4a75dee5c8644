//! The protocol between a sweep, a publish that reuses an object, and a rollback, in a world of one object: every order of their
//! requests, every crash, every late delete. Holds with all rules; is violated without any one of them.

use std::collections::{HashSet, VecDeque};

/// What the protocol demands.
#[derive(Clone, Copy)]
struct Rules {
    /// A publish writes its intent before it reads tombstones.
    intent_first: bool,
    /// A rollback writes its references before it reads tombstones.
    references_first: bool,
    /// A sweep reads intents and documents again after its tombstone.
    look_again: bool,
    /// Intents are read before records.
    intents_before_records: bool,
    /// A tombstone is changed only under the token that was read.
    conditional: bool,
    /// Under `Deleting` nobody uses the key before every signed delete is dead.
    wait: bool,
    /// No delete is sent when the tombstone's window has passed.
    window: bool,
    /// Before the first delete a sign tells publishers not to take the old manifest's word.
    sign: bool,
}

const ALL: Rules = Rules {
    intent_first: true,
    references_first: true,
    look_again: true,
    intents_before_records: true,
    conditional: true,
    wait: true,
    window: true,
    sign: true,
};

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Doc {
    None,
    Warned { names_key: bool },
    Deleting { usable: bool },
}

/// The steps of whoever needs the key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum User {
    Idle,
    /// About to announce itself, tombstones read (the wrong order), under this token.
    ReadTooSoon,
    Announced,
    /// About to take the key out, under this token.
    TakesOut(u8),
    MayUse,
    Used,
    /// Published and its intent withdrawn; or staged.
    Done,
    /// A rollback that found the object missing.
    GaveUp,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Sweeper {
    Plans,
    Warns,
    LooksFirst,
    LooksSecond,
    Signs,
    ReadsDoc,
    Commits(u8),
    Deletes,
    Ended,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct World {
    object: bool,
    signed: bool,
    in_flight: bool,
    doc: Doc,
    token: u8,
    sweeper: Sweeper,
    sweeps: u8,
    publisher: User,
    intent: bool,
    record: bool,
    rollback: User,
    references: bool,
}

const START: World = World {
    object: true,
    signed: false,
    in_flight: false,
    doc: Doc::None,
    token: 0,
    sweeper: Sweeper::Plans,
    sweeps: 0,
    publisher: User::Idle,
    intent: false,
    record: false,
    rollback: User::Idle,
    references: false,
};

impl World {
    fn put_doc(mut self, doc: Doc) -> Self {
        self.doc = doc;
        self.token += 1;
        self
    }

    /// Whoever is recorded or staged has the object.
    fn is_broken(&self) -> bool {
        let is_staged = matches!(self.rollback, User::Done);
        (self.record || is_staged) && !self.object
    }

    fn is_referenced(&self) -> bool {
        self.record || self.references
    }
}

/// Every world that one request, one crash or the passing of time makes of this one.
fn next(world: World, rules: Rules) -> Vec<World> {
    let mut worlds = Vec::new();
    publisher(world, rules, &mut worlds);
    rollback(world, rules, &mut worlds);
    sweeper(world, rules, &mut worlds);
    if world.sweeper != Sweeper::Ended {
        worlds.push(World { sweeper: Sweeper::Ended, ..world });
    } else if world.sweeps < 1 {
        worlds.push(World { sweeper: Sweeper::Plans, sweeps: world.sweeps + 1, ..world });
    }
    if world.in_flight {
        worlds.push(World { object: false, in_flight: false, ..world });
    }
    match world.doc {
        // The window has passed and every signature in it is dead.
        Doc::Deleting { usable: false } => {
            let ends = rules.window && world.sweeper == Sweeper::Deletes;
            let later = World { in_flight: false, sweeper: if ends { Sweeper::Ended } else { world.sweeper }, ..world };
            worlds.push(later.put_doc(Doc::Deleting { usable: true }));
        }
        Doc::Deleting { usable: true } | Doc::Warned { names_key: false } => worlds.push(world.put_doc(Doc::None)),
        Doc::None | Doc::Warned { names_key: true } => {}
    }
    worlds
}

/// One look at the tombstones: where it leads to, or `None` while there is waiting to be done.
fn read_tombstones(world: World, rules: Rules) -> Option<User> {
    match world.doc {
        Doc::Warned { names_key: true } => Some(User::TakesOut(world.token)),
        Doc::Deleting { usable: false } if rules.wait => None,
        Doc::None | Doc::Warned { .. } | Doc::Deleting { .. } => Some(User::MayUse),
    }
}

/// Takes the key out of a warning; a lost race reads again.
fn take_out(world: World, rules: Rules, token: u8) -> (World, User) {
    match world.doc {
        _ if token == world.token => (world.put_doc(Doc::Warned { names_key: false }), User::MayUse),
        // Without the condition whatever is there is written over.
        _ if !rules.conditional => (world.put_doc(Doc::Warned { names_key: false }), User::MayUse),
        _ => (world, User::Announced),
    }
}

fn publisher(world: World, rules: Rules, worlds: &mut Vec<World>) {
    let at = |publisher| World { publisher, ..world };
    match world.publisher {
        User::Idle if rules.intent_first => worlds.push(World { intent: true, ..at(User::Announced) }),
        User::Idle => worlds.extend(matches!(read_tombstones(world, rules), Some(User::MayUse)).then(|| at(User::ReadTooSoon))),
        User::ReadTooSoon => worlds.push(World { intent: true, ..at(User::MayUse) }),
        User::Announced => worlds.extend(read_tombstones(world, rules).map(at)),
        User::TakesOut(token) => {
            let (world, publisher) = take_out(world, rules, token);
            worlds.push(World { publisher, ..world });
        }
        // Takes the old manifest's word that the object is there, unless the sign is there: then it is created if it is missing.
        User::MayUse => worlds.push(World { object: world.object || (world.signed && rules.sign), ..at(User::Used) }),
        User::Used => worlds.push(World { record: true, ..at(User::Done) }),
        User::Done if world.intent => worlds.push(World { intent: false, ..at(User::Done) }),
        User::Done | User::GaveUp => {}
    }
}

fn rollback(world: World, rules: Rules, worlds: &mut Vec<World>) {
    let at = |rollback| World { rollback, ..world };
    match world.rollback {
        User::Idle if rules.references_first => worlds.push(World { references: true, ..at(User::Announced) }),
        User::Idle => worlds.extend(matches!(read_tombstones(world, rules), Some(User::MayUse)).then(|| at(User::ReadTooSoon))),
        User::ReadTooSoon => worlds.push(World { references: true, ..at(User::MayUse) }),
        User::Announced => worlds.extend(read_tombstones(world, rules).map(at)),
        User::TakesOut(token) => {
            let (world, rollback) = take_out(world, rules, token);
            worlds.push(World { rollback, ..world });
        }
        // Asks the store.
        User::MayUse => worlds.push(at(if world.object { User::Done } else { User::GaveUp })),
        User::Used | User::Done | User::GaveUp => {}
    }
}

fn sweeper(world: World, rules: Rules, worlds: &mut Vec<World>) {
    let at = |sweeper| World { sweeper, ..world };
    let go_on_unless = |found: bool, sweeper| at(if found { Sweeper::Ended } else { sweeper });
    match world.sweeper {
        Sweeper::Plans => worlds.push(go_on_unless(world.intent || world.is_referenced() || !world.object, Sweeper::Warns)),
        Sweeper::Warns => worlds.push(match world.doc {
            Doc::None => at(Sweeper::LooksFirst).put_doc(Doc::Warned { names_key: true }),
            Doc::Warned { .. } => at(Sweeper::LooksFirst),
            Doc::Deleting { .. } => at(Sweeper::Ended),
        }),
        Sweeper::LooksFirst if !rules.look_again => worlds.push(at(Sweeper::Signs)),
        Sweeper::LooksFirst => {
            let found = if rules.intents_before_records { world.intent } else { world.is_referenced() };
            worlds.push(go_on_unless(found, Sweeper::LooksSecond));
        }
        Sweeper::LooksSecond => {
            let found = if rules.intents_before_records { world.is_referenced() } else { world.intent };
            worlds.push(go_on_unless(found, Sweeper::Signs));
        }
        Sweeper::Signs => worlds.push(World { signed: true, ..at(Sweeper::ReadsDoc) }),
        Sweeper::ReadsDoc => {
            worlds.push(if world.doc == (Doc::Warned { names_key: true }) {
                at(Sweeper::Commits(world.token))
            } else {
                at(Sweeper::Ended)
            });
        }
        Sweeper::Commits(token) if token == world.token || !rules.conditional => {
            worlds.push(at(Sweeper::Deletes).put_doc(Doc::Deleting { usable: false }));
        }
        Sweeper::Commits(_) => worlds.push(at(Sweeper::Ended)),
        Sweeper::Deletes => worlds.push(World { in_flight: true, ..at(Sweeper::Ended) }),
        Sweeper::Ended => {}
    }
}

/// How many worlds there are, and one of them that is broken.
fn explore(rules: Rules) -> (usize, Option<World>) {
    let (mut seen, mut queue) = (HashSet::from([START]), VecDeque::from([START]));
    while let Some(world) = queue.pop_front() {
        if world.is_broken() {
            return (seen.len(), Some(world));
        }
        queue.extend(next(world, rules).into_iter().filter(|next| seen.insert(*next)));
    }
    (seen.len(), None)
}

#[test]
fn no_order_of_requests_takes_an_object_from_whoever_uses_it() {
    // I5
    let (worlds, broken) = explore(ALL);
    assert_eq!(broken, None);
    assert!(worlds > 1_000, "{worlds} worlds are too few to be all");
}

#[test]
fn each_rule_of_the_sweep_is_needed() {
    // I5
    let without: [(&str, Rules); 8] = [
        ("intent first", Rules { intent_first: false, ..ALL }),
        ("references first", Rules { references_first: false, ..ALL }),
        ("look again", Rules { look_again: false, ..ALL }),
        ("intents before records", Rules { intents_before_records: false, ..ALL }),
        ("conditional", Rules { conditional: false, ..ALL }),
        ("wait", Rules { wait: false, ..ALL }),
        ("window", Rules { window: false, ..ALL }),
        ("sign", Rules { sign: false, ..ALL }),
    ];
    for (rule, rules) in without {
        assert!(explore(rules).1.is_some(), "without {rule:?} nothing breaks: the rule is not needed, or the model does not show it");
    }
}
