//! The budget: what is held never passes it, nobody takes all of it for good, and what goes is given back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::*;
use crate::upload::{FailureClass, PublishFailure};

/// 1 MiB: half of it is one build's.
const BUDGET: u64 = 1 << 20;

/// A file of one block.
const SMALL: u64 = BLOCK + FILE_OVERHEAD;

struct Disk {
    folder: TempDir,
    workspace: Workspace,
}

impl Disk {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let workspace = Workspace::new(folder.path(), BUDGET);
        Self { folder, workspace }
    }

    fn is_empty(&self) -> bool {
        self.workspace.held() == 0 && std::fs::read_dir(self.folder.path()).unwrap().next().is_none()
    }
}

/// A room with a file of this length, or why there is none.
fn build(space: &Allotment, bytes: u64) -> Result<(Arc<Room>, Draft), SourceError> {
    let room = space.room()?;
    let mut draft = room.draft(room.path())?;
    let piece = vec![b'x'; 4096];
    (0..bytes.div_ceil(4096)).try_for_each(|_| draft.write(&piece))?;
    Ok((room, draft))
}

fn reason<T>(result: Result<T, SourceError>) -> &'static str {
    result.map_or_else(|error| error.reason(), |_| "taken")
}

/// What lies below a folder, in whole blocks. What goes meanwhile is nothing.
fn on_disk(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(file) if file.is_file() => file.len().div_ceil(BLOCK) * BLOCK,
            Ok(_) => BLOCK + on_disk(&entry.path()),
            Err(_) => 0,
        })
        .sum()
}

#[test]
fn what_all_builds_hold_never_passes_the_budget_at_any_moment() {
    let (disk, done) = (Disk::new(), AtomicBool::new(false));
    let taken = thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut most = 0;
            while !done.load(Ordering::Relaxed) {
                most = most.max(on_disk(disk.folder.path()));
                assert!(most <= BUDGET && disk.workspace.held() <= BUDGET, "{most} bytes on disk");
            }
            most
        });
        let builders: Vec<_> = (0..12_u64)
            .map(|n| {
                let space = disk.workspace.of(["one", "two", "three"][usize::try_from(n % 3).unwrap()]);
                scope.spawn(move || (0..40).filter(|turn| build(&space, (n + turn) % 9 * 40_000).is_ok()).count())
            })
            .collect();
        let taken: usize = builders.into_iter().map(|builder| builder.join().unwrap()).sum();
        done.store(true, Ordering::Relaxed);
        assert!(watch.join().unwrap() > 0);
        taken
    });
    assert!((1..12 * 40).contains(&taken), "some fit, and some found no room: {taken}");
    assert!(disk.is_empty());
}

#[test]
fn one_namespace_leaves_half_and_two_leave_a_quarter_to_a_newcomer() {
    let disk = Disk::new();
    let hog = disk.workspace.of("hog");
    // Many builds of one namespace are as bad as a large one.
    let held: Vec<_> = (0..10).map_while(|_| build(&hog, BUDGET / 8).ok()).collect();
    assert_eq!(held.len(), 3);
    assert_eq!(reason(build(&disk.workspace.of("hog"), BUDGET / 8)), "NoRoom", "another job of the same namespace");
    let other = build(&disk.workspace.of("other"), BUDGET / 4).expect("a neighbour fits beside a namespace that takes all it can");
    let newcomer = build(&disk.workspace.of("newcomer"), BUDGET / 10).expect("and one more beside both");
    drop((held, other, newcomer));
    assert!(disk.is_empty());
}

#[test]
fn what_fits_later_waits_and_what_never_fits_is_refused() {
    let disk = Disk::new();
    let error = build(&disk.workspace.of("shop"), BUDGET / 2).unwrap_err();
    assert_eq!(error.reason(), "ExceedsWorkspace");
    assert_eq!(PublishFailure::from(error.clone()).class(), FailureClass::Permanent);
    assert!(error.to_string().contains("524288 bytes"), "{error}");
    let others = [build(&disk.workspace.of("a"), BUDGET / 3).unwrap(), build(&disk.workspace.of("b"), BUDGET / 6).unwrap()];
    let waits = build(&disk.workspace.of("shop"), BUDGET / 3);
    let error = waits.unwrap_err();
    assert_eq!((error.reason(), PublishFailure::from(error).class()), ("NoRoom", FailureClass::Transient));
    drop(others);
    assert!(build(&disk.workspace.of("shop"), BUDGET / 3).is_ok(), "what the refused try held is free again");
    assert!(disk.is_empty());
}

#[test]
fn files_of_no_bytes_count_and_so_do_builds_of_no_files() {
    let disk = Disk::new();
    let space = disk.workspace.of("shop");
    let room = space.room().unwrap();
    let names = (0_u32..).map(|n| room.path().join(n.to_string()));
    let files = names.map_while(|name| room.draft(room.path()).and_then(|draft| draft.persist(&name)).ok()).count() as u64;
    assert_eq!(files, (BUDGET / 2 - ROOM_BYTES) / SMALL);
    drop(room);
    let rooms: Vec<_> = (0..1000).map_while(|_| space.room().ok()).collect();
    assert_eq!(rooms.len() as u64, BUDGET / 2 / ROOM_BYTES);
}

#[test]
fn a_file_that_goes_or_replaces_its_equal_is_given_back() {
    let disk = Disk::new();
    let room = disk.workspace.of("shop").room().unwrap();
    let place = room.path().join("hash");
    for _ in 0..3 {
        let mut draft = room.draft(room.path()).unwrap();
        draft.write(b"equal").unwrap();
        draft.persist(&place).unwrap();
        assert_eq!(disk.workspace.held(), ROOM_BYTES + SMALL);
        drop(room.draft(room.path()).unwrap());
    }
    let panicked = thread::spawn(move || {
        let _draft = room.draft(room.path()).unwrap();
        panic!("on purpose");
    });
    assert!(panicked.join().is_err());
    assert!(disk.is_empty());
}

#[tokio::test]
async fn a_namespace_unpacks_two_archives_at_a_time_and_others_do_not_wait_for_it() {
    let disk = Disk::new();
    let (one, two, neighbour) = (disk.workspace.of("one"), disk.workspace.of("one"), disk.workspace.of("two"));
    let held = (one.turn().await, two.turn().await);
    assert!(futures::poll!(std::pin::pin!(one.turn())).is_pending());
    assert!(futures::poll!(std::pin::pin!(neighbour.turn())).is_ready());
    drop(held);
    assert!(futures::poll!(std::pin::pin!(two.turn())).is_ready());
}

/// Tarpits that never end must not keep out their neighbours.
#[tokio::test(start_paused = true)]
async fn a_build_that_had_its_time_leaves_when_another_namespace_finds_no_room() {
    let disk = Disk::new();
    let (old, young) = (disk.workspace.of("old"), disk.workspace.of("young"));
    let held = build(&old, BUDGET / 3).unwrap();
    tokio::time::advance(STAY / 2).await;
    let _young = build(&young, BUDGET / 6).unwrap();
    let wanted = disk.workspace.of("shop");
    assert_eq!(reason(build(&wanted, BUDGET / 3)), "NoRoom");
    assert!(!old.leave.is_cancelled(), "it has its time");
    tokio::time::advance(STAY / 2).await;
    assert_eq!(reason(build(&disk.workspace.of("old"), BUDGET / 3)), "NoRoom");
    assert!(!old.leave.is_cancelled(), "its own namespace asks for nothing");
    assert_eq!(reason(build(&wanted, BUDGET / 3)), "NoRoom");
    old.asked_to_leave().await;
    assert!(!young.leave.is_cancelled(), "the oldest is enough");
    let told = old.room().unwrap_err();
    assert!(told.to_string().contains("it held its room for more than 15 minutes"), "{told}");
    drop(held);
    assert!(build(&wanted, BUDGET / 3).is_ok());
}

#[tokio::test]
async fn a_full_disk_is_told_with_its_cause_and_may_be_tried_again() {
    let disk = Disk::new();
    let gone = Workspace::new(&disk.folder.path().join("missing"), BUDGET);
    let error = gone.of("shop").room().unwrap_err();
    assert_eq!(error.reason(), "WorkspaceUnavailable");
    assert_eq!(gone.held(), 0);
    // A device that is always full.
    let room = disk.workspace.of("shop").room().unwrap();
    let mut draft = room.draft(room.path()).unwrap();
    *draft.file.as_file_mut() = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let error = draft.write(b"x").unwrap_err();
    assert!(error.to_string().contains("No space left on device"), "{error}");
    assert_eq!(PublishFailure::from(error).class(), FailureClass::Transient);
}
