//! What only the bytes of a build say: whether texts are UTF-8, and whether a name carries a digest of them.
//! Never asks a store, and never holds a file in memory: each is read through once.

use std::io::Read as _;
use std::path::PathBuf;

use crate::bucket::Body;
use crate::manifest::build::{NewFile, is_left_out};
use crate::manifest::evidence::{Hashing, Vouchers};
use crate::manifest::headers::{Looking, TypesOfBytes};
use crate::source::{Build, SourceError};
use crate::upload::PublishFailure;

/// Bytes that are read of a file at once.
const PIECE_BYTES: usize = 256 * 1024;

/// What is looked for in one file.
#[derive(Default)]
struct Sought {
    digests: Option<Hashing>,
    text: Option<Looking>,
}

impl Sought {
    fn take(&mut self, piece: &[u8]) {
        self.digests.iter_mut().for_each(|digests| digests.take(piece));
        self.text.iter_mut().for_each(|text| text.take(piece));
    }
}

/// Reads what has to be read, and tells the vouchers which names a digest proves.
pub(super) async fn look(build: &Build, vouchers: &mut Vouchers<'_>) -> Result<TypesOfBytes, PublishFailure> {
    let mut types = TypesOfBytes::default();
    for file in build.files.iter().filter(|file| !is_left_out(&file.path)) {
        let digests = vouchers.asks_for_digests(&file.path, file.sha256.as_bytes()).then(Hashing::default);
        let text = TypesOfBytes::asks_for(&file.path).then(Looking::default);
        if digests.is_none() && text.is_none() {
            continue;
        }
        let Sought { digests, text } = read(build, file, Sought { digests, text }).await?;
        if let Some(text) = text {
            types.note(&file.path, &text);
        }
        if digests.is_some_and(|digests| digests.proves(&file.path)) {
            vouchers.prove(file.path.clone());
        }
    }
    Ok(types)
}

async fn read(build: &Build, file: &NewFile, mut sought: Sought) -> Result<Sought, PublishFailure> {
    match build.bytes.body(&file.path, &file.sha256, file.size).await? {
        Body::Bytes(bytes) => {
            sought.take(&bytes);
            Ok(sought)
        }
        Body::Made(making) => {
            making.pieces().for_each(|piece| sought.take(&piece));
            Ok(sought)
        }
        Body::File { path, .. } => {
            let failed = |path: PathBuf, cause: String| SourceError::Workspace { folder: path, cause };
            let of = path.clone();
            let read = tokio::task::spawn_blocking(move || through(&path, &mut sought).map(|()| sought)).await;
            match read {
                Ok(Ok(sought)) => Ok(sought),
                Ok(Err(error)) => Err(failed(of, error.to_string()).into()),
                Err(error) => Err(failed(of, error.to_string()).into()),
            }
        }
    }
}

fn through(path: &std::path::Path, sought: &mut Sought) -> std::io::Result<()> {
    let mut file = std::fs::File::open(path)?;
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(()),
            read => sought.take(&piece[..read]),
        }
    }
}
