//! Hostile and honest archives, built here: each hostile one is refused for its own reason and leaves little behind.

use std::io::{Cursor, Write as _};

use ::tar::{Builder, EntryType, Header};
use ::zip::ZipWriter;
use ::zip::write::SimpleFileOptions;
use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

use super::*;

/// A workspace with one room, and an archive beside it.
struct Workspace {
    root: TempDir,
    room: Arc<Room>,
}

impl Workspace {
    fn new() -> Self {
        Self::with_budget(64 << 30)
    }

    fn with_budget(bytes: u64) -> Self {
        let root = tempfile::tempdir().unwrap();
        let room = crate::source::Workspace::new(root.path(), bytes).of("shop").room().unwrap();
        std::fs::create_dir(spooled(&room)).unwrap();
        Self { root, room }
    }

    fn unpack_with(&self, archive: &[u8], limits: &Limits) -> Result<Vec<NewFile>, SourceError> {
        let path = self.root.path().join("archive");
        std::fs::write(&path, archive).unwrap();
        unpack(&path, &self.room, limits, &CancellationToken::new())
    }

    fn bytes_on_disk(&self) -> u64 {
        std::fs::read_dir(spooled(&self.room)).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum()
    }
}

fn unpacked(archive: &[u8]) -> Result<Vec<String>, Refusal> {
    match Workspace::new().unpack_with(archive, &Limits::default()) {
        Ok(files) => Ok(files.into_iter().map(|file| file.path).collect()),
        Err(SourceError::Refused(refusal)) => Err(refusal),
        Err(other) => panic!("{other}"),
    }
}

fn refused(archive: &[u8]) -> &'static str {
    unpacked(archive).expect_err("it should be refused").reason()
}

fn gz(tar: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(tar).unwrap();
    encoder.finish().unwrap()
}

/// A header of exactly this name and type, whatever a well-behaved writer would say to that.
fn raw_header(name: &[u8], kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.as_ustar_mut().unwrap().name[..name.len()].copy_from_slice(name);
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_cksum();
    header
}

fn tar_of(entries: &[(&[u8], EntryType, &[u8])]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (name, kind, content) in entries {
        builder.append(&raw_header(name, *kind, content.len() as u64), *content).unwrap();
    }
    builder.into_inner().unwrap()
}

fn files_tar(names: &[&str]) -> Vec<u8> {
    let entries: Vec<(&[u8], EntryType, &[u8])> = names.iter().map(|name| (name.as_bytes(), EntryType::Regular, &b"x"[..])).collect();
    tar_of(&entries)
}

fn zip_of(names: &[&str]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for name in names {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(b"x").unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn pax(records: &[(&str, &str)]) -> Vec<u8> {
    let mut content = Vec::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let length = (1..5).map(|digits| rest + digits).find(|length| length.to_string().len() + rest == *length).unwrap();
        content.extend(format!("{length} {key}={value}\n").into_bytes());
    }
    content
}

#[test]
fn honest_archives_of_each_format_are_taken_apart() {
    let names = ["assets/a-BEcQUh0e.js", "index.html"];
    for archive in [gz(&files_tar(&names)), zstd::encode_all(&files_tar(&names)[..], 3).unwrap(), zip_of(&names)] {
        let workspace = Workspace::new();
        let files = workspace.unpack_with(&archive, &Limits::default()).unwrap();
        let brief: Vec<_> = files.iter().map(|file| (file.path.as_str(), file.size, file.sha256.clone())).collect();
        assert_eq!(brief, names.map(|name| (name, 1, ContentHash::of(b"x"))));
        // Equal bytes lie there once, under their hash, and nothing else does.
        assert_eq!(workspace.bytes_on_disk(), 1);
        assert_eq!(std::fs::read(spooled(&workspace.room).join(files[0].sha256.to_string())).unwrap(), b"x");
    }
}

#[test]
fn long_names_folders_and_harmless_headers_are_understood() {
    let long = format!("assets/{}/{}.js", "d".repeat(150), "f".repeat(120));
    let mut gnu = Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_size(1);
    gnu.append_data(&mut header, &long, &b"x"[..]).unwrap();
    assert_eq!(unpacked(&gz(&gnu.into_inner().unwrap())), Ok(vec![long.clone()]));

    let (comment, path, size) = (pax(&[("comment", "abc")]), pax(&[("mtime", "1.5"), ("path", &long)]), pax(&[("size", "1")]));
    let entries: [(&[u8], EntryType, &[u8]); 8] = [
        (b"pax_global_header", EntryType::XGlobalHeader, &comment),
        (b"./", EntryType::Directory, b""),
        (b"assets", EntryType::Directory, b""),
        (b"old-folder/", EntryType::Regular, b""),
        (b"x", EntryType::XHeader, &path),
        (b"short", EntryType::Regular, b"x"),
        (b"x", EntryType::XHeader, &size),
        (b"./a.js", EntryType::Regular, b"x"),
    ];
    assert_eq!(unpacked(&gz(&tar_of(&entries))), Ok(vec![long, "a.js".into()]));
}

#[test]
fn a_folder_around_a_whole_site_is_taken_off_and_no_other() {
    assert_eq!(unpacked(&zip_of(&["dist/index.html", "dist/assets/a.js"])), Ok(vec!["index.html".into(), "assets/a.js".into()]));
    assert_eq!(unpacked(&zip_of(&["dist/.vite/manifest.json", "dist/assets/a.js"])).unwrap()[1], "assets/a.js");
    for kept in [vec!["assets/a.js", "assets/b.js"], vec!["dist/index.html", "b.txt"], vec!["a/b/index.html"], vec!["a/index.html", "ab/x"]]
    {
        assert_eq!(unpacked(&zip_of(&kept)).unwrap(), kept);
    }
}

#[test]
fn names_that_lead_out_are_refused_in_each_format() {
    for name in ["../x", "a/../../x", "/etc/passwd", "a\\b", "C:/x", ".rollcall/owner.json"] {
        assert_eq!(refused(&gz(&files_tar(&[name]))), "UnsafePath", "{name}");
        assert_eq!(refused(&zip_of(&[name])), "UnsafePath", "{name}");
    }
    assert_eq!(refused(&gz(&tar_of(&[(b"a\xff", EntryType::Regular, b"x")]))), "UnsafePath");
    assert_eq!(refused(&gz(&tar_of(&[(b"../up/", EntryType::Directory, b"")]))), "UnsafePath");
    let path = pax(&[("path", "../../x")]);
    assert_eq!(refused(&gz(&tar_of(&[(b"x", EntryType::XHeader, &path), (b"good", EntryType::Regular, b"x")]))), "UnsafePath");
    assert_eq!(refused(&gz(&tar_of(&[(b"x", EntryType::GNULongName, b"../../x\0"), (b"good", EntryType::Regular, b"x")]))), "UnsafePath");
}

#[test]
fn names_that_collide_are_refused() {
    assert_eq!(refused(&gz(&files_tar(&["a.js", "a.js"]))), "DuplicatePath");
    assert_eq!(refused(&gz(&files_tar(&["a.js", "./a.js"]))), "DuplicatePath");
    assert_eq!(refused(&zip_of(&["App.js", "app.js"])), "CollidingPaths");
    assert_eq!(refused(&zip_of(&["\u{e9}.js", "e\u{301}.js"])), "CollidingPaths");
    assert_eq!(refused(&gz(&files_tar(&["a", "a/b"]))), "FileIsFolder");
    // A zip writer refuses to write the same name twice, so one letter is changed afterwards, in both places.
    let mut twice = zip_of(&["a.js", "b.js"]);
    for at in 0..twice.len() - 4 {
        if &twice[at..at + 4] == b"b.js" {
            twice[at] = b'a';
        }
    }
    assert_eq!(refused(&twice), "DuplicatePath");
}

#[test]
fn links_and_special_files_are_refused() {
    for (kind, reason) in [
        (EntryType::Symlink, "LinkInArchive"),
        (EntryType::Link, "LinkInArchive"),
        (EntryType::Char, "SpecialFileInArchive"),
        (EntryType::Block, "SpecialFileInArchive"),
        (EntryType::Fifo, "SpecialFileInArchive"),
        (EntryType::GNUSparse, "SpecialFileInArchive"),
        (EntryType::new(b'V'), "SpecialFileInArchive"),
    ] {
        assert_eq!(refused(&gz(&tar_of(&[(b"x", kind, b"")]))), reason, "{kind:?}");
    }
    let sparse = pax(&[("GNU.sparse.major", "1")]);
    assert_eq!(refused(&gz(&tar_of(&[(b"x", EntryType::XHeader, &sparse), (b"x", EntryType::Regular, b"x")]))), "SpecialFileInArchive");
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.add_symlink("link", "/etc/passwd", SimpleFileOptions::default()).unwrap();
    assert_eq!(refused(&zip.finish().unwrap().into_inner()), "LinkInArchive");
}

#[test]
fn archives_that_two_readers_would_understand_differently_are_refused() {
    // TARmageddon: the header says 0 bytes, PAX says 512, and what lies there is read as an entry by one of two readers.
    let size = pax(&[("size", "512")]);
    assert_eq!(refused(&gz(&tar_of(&[(b"x", EntryType::XHeader, &size), (b"a", EntryType::Regular, b"")]))), "ContradictoryLength");
    let hidden: [(&[u8], EntryType, &[u8]); 1] = [(b"folder", EntryType::Directory, b"hidden")];
    assert_eq!(refused(&gz(&tar_of(&hidden))), "ContradictoryLength");
    let path = pax(&[("path", "other")]);
    let two_names: [(&[u8], EntryType, &[u8]); 2] = [(b"x", EntryType::XGlobalHeader, &path), (b"a", EntryType::Regular, b"x")];
    assert_eq!(refused(&gz(&tar_of(&two_names))), "MalformedArchive");
    assert_eq!(refused(&gz(&tar_of(&[(b"x", EntryType::XHeader, b"9 path=ab"), (b"a", EntryType::Regular, b"x")]))), "MalformedArchive");
    assert_eq!(refused(&gz(&tar_of(&[(b"a", EntryType::Regular, b"x"), (b"x", EntryType::XHeader, &path)]))), "MalformedArchive");

    // The central directory says one name, the local header another.
    let mut cloaked = zip_of(&["good.js"]);
    let local = cloaked.windows(7).position(|window| window == b"good.js").unwrap();
    cloaked[local] = b'f';
    assert_eq!(refused(&cloaked), "MalformedArchive");
}

#[test]
fn damaged_and_unknown_archives_are_refused() {
    assert_eq!(refused(b"<html>not found</html>"), "UnknownArchiveFormat");
    assert_eq!(refused(b""), "UnknownArchiveFormat");
    assert_eq!(refused(&gz(&files_tar(&[]))), "EmptyArchive");
    assert_eq!(refused(&zip_of(&[])), "EmptyArchive");
    let noise: Vec<u8> = (0_u32..40_000).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let whole = gz(&tar_of(&[(b"a", EntryType::Regular, &noise)]));
    assert_eq!(refused(&whole[..whole.len() / 2]), "MalformedArchive");
    let mut zip = zip_of(&["a", "b"]);
    zip.truncate(zip.len() - 30);
    assert_eq!(refused(&zip), "MalformedArchive");
    let long = vec![b'a'; 100_000];
    assert_eq!(refused(&gz(&tar_of(&[(b"x", EntryType::GNULongName, &long), (b"a", EntryType::Regular, b"x")]))), "MalformedArchive");
}

#[test]
fn limits_hold() {
    let few = Limits { entries: 2, file_bytes: 10, total_bytes: 30_000, ratio: 100 };
    let reason = |archive: &[u8]| Workspace::new().unpack_with(archive, &few).map(|_| ()).map_err(|error| error.reason());
    assert_eq!(reason(&zip_of(&["a", "b"])), Ok(()));
    assert_eq!(reason(&zip_of(&["a", "b", "c"])), Err("TooManyEntries"));
    assert_eq!(reason(&gz(&files_tar(&["a", "b", "c"]))), Err("TooManyEntries"));
    assert_eq!(reason(&gz(&tar_of(&[(b"a", EntryType::Regular, b"12345678901")]))), Err("FileTooLarge"));
    let wide = Limits { file_bytes: 1 << 20, ..few };
    let big = vec![b'x'; 40_000];
    let archive = gz(&tar_of(&[(b"a", EntryType::Regular, &big)]));
    assert_eq!(Workspace::new().unpack_with(&archive, &wide).map(|_| ()).map_err(|error| error.reason()), Err("BuildTooLarge"));
}

/// 10 GiB of zeros in about 10 MB, written as a stream of equal blocks, so that making it is quick too.
fn zeros_in_gzip(gib: u64) -> Vec<u8> {
    const MEMBER: u64 = 16 << 20;
    let mut member = GzEncoder::new(Vec::new(), Compression::best());
    member.write_all(&vec![0; usize::try_from(MEMBER).unwrap()]).unwrap();
    let member = member.finish().unwrap();
    let mut header = raw_header(b"zeros-BEcQUh0e.bin", EntryType::Regular, 0);
    header.set_size(gib << 30);
    header.set_cksum();
    let mut bomb = gz(header.as_bytes());
    (0..(gib << 30) / MEMBER).for_each(|_| bomb.extend(&member));
    bomb
}

#[test]
fn ten_gib_of_zeros_are_refused_before_they_fill_the_disk() {
    let bomb = zeros_in_gzip(10);
    let (least, most) = (9_000_000, 12_000_000);
    assert!((least..most).contains(&bomb.len()), "{}", bomb.len());
    let workspace = Workspace::new();
    // The header alone gives it away.
    let honest = workspace.unpack_with(&bomb, &Limits::default());
    assert_eq!(honest.unwrap_err().reason(), "FileTooLarge");
    // And if files of that size were taken, the ratio does.
    let generous = Limits { file_bytes: 1 << 40, total_bytes: 1 << 40, ..Limits::default() };
    assert_eq!(workspace.unpack_with(&bomb, &generous).unwrap_err().reason(), "DecompressionBomb");
    assert!(workspace.bytes_on_disk() <= 2 * RATIO_FREE_BYTES, "{}", workspace.bytes_on_disk());
}

#[test]
fn a_zip_bomb_is_refused_before_it_fills_the_disk() {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file("zeros.bin", SimpleFileOptions::default().compression_level(Some(1)).large_file(true)).unwrap();
    let zeros = vec![0; 1 << 20];
    (0..256).for_each(|_| zip.write_all(&zeros).unwrap());
    let workspace = Workspace::new();
    let refusal = workspace.unpack_with(&zip.finish().unwrap().into_inner(), &Limits::default()).unwrap_err();
    assert_eq!(refusal.reason(), "DecompressionBomb");
    assert!(workspace.bytes_on_disk() <= 2 * RATIO_FREE_BYTES, "{}", workspace.bytes_on_disk());
}

#[test]
fn a_cancelled_read_stops() {
    let workspace = Workspace::new();
    let path = workspace.root.path().join("archive");
    std::fs::write(&path, gz(&files_tar(&["a"]))).unwrap();
    let cancel = CancellationToken::new();
    cancel.cancel();
    let stopped = unpack(&path, &workspace.room, &Limits::default(), &cancel);
    assert!(matches!(stopped, Err(SourceError::Unavailable { .. })), "{stopped:?}");
    assert_eq!(workspace.bytes_on_disk(), 0);
}

#[test]
fn a_refusal_names_the_entry() {
    let refusal = unpacked(&zip_of(&["good.js", "../evil.js"])).unwrap_err();
    assert_eq!(refusal.to_string(), r#"entry "../evil.js" of the build: the path has a `..`"#);
    let refusal = unpacked(&gz(&tar_of(&[(b"x", EntryType::Symlink, b"")]))).unwrap_err();
    assert_eq!(refusal.to_string(), r#"entry "x" of the build is a symbolic link; put the file itself in its place"#);
}

#[test]
fn the_examples_packed_by_real_tools_are_taken_apart() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/shop/builds/v1");
    let mut builder = Builder::new(Vec::new());
    builder.append_dir_all("dist", &root).unwrap();
    let paths = unpacked(&gz(&builder.into_inner().unwrap())).unwrap();
    assert!(paths.contains(&"index.html".to_owned()) && paths.contains(&".vite/manifest.json".to_owned()), "{paths:?}");
}

/// Each of these is read whole by one reader and in part by another, unless it is refused.
#[test]
fn bytes_behind_a_compressed_stream_are_refused_and_further_members_are_read() {
    let tar = files_tar(&["a.js", "b.js"]);
    let (head, rest) = tar.split_at(700);
    let frame = |bytes: &[u8]| zstd::encode_all(bytes, 3).unwrap();
    let skipped = [&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0][..], b"note"].concat();
    let both = Ok(vec!["a.js".to_owned(), "b.js".to_owned()]);
    assert_eq!(unpacked(&[gz(head), gz(rest)].concat()), both, "what `cat` makes of two");
    assert_eq!(unpacked(&[gz(&tar), gz(b"")].concat()), both);
    assert_eq!(unpacked(&[frame(head), skipped, frame(rest)].concat()), both);
    for whole in [gz(&tar), frame(&tar)] {
        for behind in [&b"garbage"[..], &[0; 512], b"PK\x03\x04", &gz(&tar)[..10], &[0x28, 0xb5, 0x2f, 0xfd]] {
            assert_eq!(refused(&[&whole, behind].concat()), "MalformedArchive", "{behind:?}");
        }
        assert_eq!(refused(&whole[..whole.len() - 1]), "MalformedArchive", "its end is cut off, all files are there");
    }
    let mut wrong_sum = gz(&tar);
    let at = wrong_sum.len() - 6;
    wrong_sum[at] ^= 1;
    assert_eq!(refused(&wrong_sum), "MalformedArchive");
}

#[test]
fn nothing_but_zeros_may_stand_behind_the_end_of_a_tar() {
    let (one, other) = (files_tar(&["a.js"]), files_tar(&["b.js"]));
    assert_eq!(unpacked(&gz(&[&one[..], &[0; 10_240]].concat())), Ok(vec!["a.js".to_owned()]));
    for behind in [&other[..], b"x", &[&[0; 512][..], &other].concat()] {
        assert_eq!(refused(&gz(&[&one, behind].concat())), "MalformedArchive");
        assert_eq!(refused(&[gz(&one), gz(behind)].concat()), "MalformedArchive", "in a member of its own");
    }
    // One block of zeros instead of two, and then more.
    let early = [&one[..1024], &[0; 512], &other].concat();
    assert_eq!(refused(&gz(&early)), "MalformedArchive");
}

fn put(bytes: &mut [u8], at: usize, number: u64, length: usize) {
    bytes[at..at + length].copy_from_slice(&number.to_le_bytes()[..length]);
}

/// A zip with something else at a place, and the offsets behind it as a careful forger would write them.
fn with_gap(zip: &[u8], at: usize, what: &[u8]) -> Vec<u8> {
    let mut forged = [&zip[..at], what, &zip[at..]].concat();
    let end = forged.len() - 22;
    let directory = u64::from_le_bytes([&zip[zip.len() - 6..zip.len() - 2], &[0; 4]].concat().try_into().unwrap());
    put(&mut forged, end + 16, directory + what.len() as u64, 4);
    let mut record = usize::try_from(directory).unwrap() + what.len();
    while forged[record..].starts_with(b"PK\x01\x02") {
        let start = u64::from_le_bytes([&forged[record + 42..record + 46], &[0; 4]].concat().try_into().unwrap());
        if start >= at as u64 {
            put(&mut forged, record + 42, start + what.len() as u64, 4);
        }
        let lengths = [28, 30].map(|field| usize::from(forged[record + field]) + 256 * usize::from(forged[record + field + 1]));
        record += 46 + lengths.iter().sum::<usize>();
    }
    forged
}

#[test]
fn a_zip_has_nothing_before_between_and_behind_its_entries() {
    let (one, other) = (zip_of(&["a.js", "c.js"]), zip_of(&["b.js"]));
    // As it stands, and rewritten so that every offset is right.
    assert_eq!(refused(&[&other[..], &one].concat()), "MalformedArchive");
    assert_eq!(refused(&with_gap(&one, 0, &other)), "MalformedArchive");
    let second = one.windows(4).skip(1).position(|window| window == b"PK\x03\x04").unwrap() + 1;
    let directory = one.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    for at in [second, directory] {
        assert_eq!(refused(&with_gap(&one, at, &other)), "MalformedArchive");
        assert_eq!(refused(&with_gap(&one, at, b"x")), "MalformedArchive");
    }
    for behind in [&b"x"[..], &other] {
        assert_eq!(refused(&[&one, behind].concat()), "MalformedArchive");
    }
    // The directory has two entries, one is counted.
    let (mut fewer, end) = (one.clone(), one.len() - 22);
    put(&mut fewer, end + 8, 1, 2);
    put(&mut fewer, end + 10, 1, 2);
    assert_eq!(refused(&fewer), "MalformedArchive");
}

#[test]
fn a_comment_of_a_zip_is_taken_unless_it_holds_another_end() {
    let commented = |comment: &[u8]| {
        let mut zip = zip_of(&["a.js"]);
        let at = zip.len() - 2;
        put(&mut zip, at, comment.len() as u64, 2);
        [&zip, comment].concat()
    };
    assert_eq!(
        unpacked(&commented(b"d670460b4b4aece5915caf5c68d12f560a9fe3e4")),
        Ok(vec!["a.js".to_owned()]),
        "as `git archive` writes it"
    );
    assert_eq!(refused(&commented(&zip_of(&["b.js"]))), "MalformedArchive");
    assert_eq!(refused(&commented(b"PK\x05\x06")), "MalformedArchive");
}

#[test]
fn bytes_behind_an_entrys_content_are_refused() {
    let whole = zip_of(&["a.js"]);
    let (local, directory) = (30 + 4, whole.windows(4).position(|window| window == b"PK\x01\x02").unwrap());
    let mut slack = with_gap(&whole, directory, b"hidden");
    let packed = (directory - local + 6) as u64;
    put(&mut slack, 18, packed, 4);
    put(&mut slack, directory + 6 + 20, packed, 4);
    assert_eq!(refused(&slack), "MalformedArchive");
    let mut damaged = zip_of(&["a.js"]);
    put(&mut damaged, 14, 7, 4);
    put(&mut damaged, directory + 16, 7, 4);
    assert_eq!(refused(&damaged), "MalformedArchive", "a checksum that is wrong in both places");
}

#[test]
fn zips_of_streaming_writers_and_of_many_entries_are_taken() {
    let mut streamed = ZipWriter::new_stream(Vec::new());
    for name in ["a.js", "b.js"] {
        streamed.start_file(name, SimpleFileOptions::default()).unwrap();
        streamed.write_all(b"x").unwrap();
    }
    let streamed = streamed.finish().unwrap().into_inner();
    assert_eq!(unpacked(&streamed), Ok(vec!["a.js".to_owned(), "b.js".to_owned()]));
    // More than fit into the small end record.
    let mut many = ZipWriter::new(Cursor::new(Vec::new()));
    (0..66_000).for_each(|n| many.add_directory(format!("{n}/"), SimpleFileOptions::default()).unwrap());
    many.start_file("a.js", SimpleFileOptions::default().compression_method(::zip::CompressionMethod::Stored)).unwrap();
    many.write_all(b"x").unwrap();
    let mut many = many.finish().unwrap().into_inner();
    assert_eq!(unpacked(&many), Ok(vec!["a.js".to_owned()]));
    // The small record names another directory than the large one.
    let at = many.len() - 6;
    put(&mut many, at, 0, 4);
    assert_eq!(refused(&many), "MalformedArchive");
}

#[test]
fn no_archive_holds_more_of_the_disk_than_its_budget() {
    let zeros = vec![0; 32 << 20];
    let tar = tar_of(&[(b"zeros.bin", EntryType::Regular, &zeros)]);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file("zeros.bin", SimpleFileOptions::default()).unwrap();
    zip.write_all(&zeros).unwrap();
    let names: Vec<String> = (0..3000).map(|n| format!("{n}.js")).collect();
    let contents: Vec<String> = (0..3000).map(|n| n.to_string()).collect();
    let tiny: Vec<_> =
        names.iter().zip(&contents).map(|(name, content)| (name.as_bytes(), EntryType::Regular, content.as_bytes())).collect();
    for archive in [gz(&tar), zstd::encode_all(&tar[..], 3).unwrap(), zip.finish().unwrap().into_inner(), gz(&tar_of(&tiny))] {
        let workspace = Workspace::with_budget(8 << 20);
        let refusal = workspace.unpack_with(&archive, &Limits::default()).unwrap_err();
        assert_eq!(refusal.reason(), "ExceedsWorkspace", "{refusal}");
        assert!(workspace.bytes_on_disk() <= 4 << 20, "{}", workspace.bytes_on_disk());
    }
}

#[test]
fn headers_of_a_compressed_stream_are_bounded_too() {
    // A name in the gzip header that never ends.
    let endless = [&[0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 3][..], &vec![b'a'; 1 << 20]].concat();
    assert_eq!(refused(&endless), "MalformedArchive");
    // A frame of zstd that wants a window of 64 MiB.
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    encoder.window_log(26).unwrap();
    encoder.include_contentsize(false).unwrap();
    encoder.write_all(&files_tar(&["a.js"])).unwrap();
    assert_eq!(refused(&encoder.finish().unwrap()), "MalformedArchive");
}
