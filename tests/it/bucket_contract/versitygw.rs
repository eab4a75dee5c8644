//! A versitygw of our own: a strict third-party S3 server, started on a free loopback port with its data in a temporary folder.
//! Never outlives the test: it is killed by its process id when dropped.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

pub const ACCESS_KEY_ID: &str = "contract";
pub const SECRET_ACCESS_KEY: &str = "contract-secret";

pub struct Versitygw {
    process: Child,
    endpoint: String,
    _data: TempDir,
}

impl Versitygw {
    /// `None`, and a loud message, when there is no binary and nobody insists on one.
    pub async fn start() -> Option<Self> {
        let binary = binary()?;
        for _ in 0..5 {
            if let Some(server) = Self::try_start(&binary).await {
                return Some(server);
            }
        }
        panic!("versitygw did not start five times in a row");
    }

    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Another process may take the port between our look and the start: then this is `None`.
    async fn try_start(binary: &Path) -> Option<Self> {
        // Below the target folder: it needs extended attributes, which a temporary file system may not have.
        let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = Command::new(binary)
            .args(["--port", &format!("127.0.0.1:{port}"), "--quiet", "posix"])
            .arg(data.path())
            .env("ROOT_ACCESS_KEY", ACCESS_KEY_ID)
            .env("ROOT_SECRET_KEY", SECRET_ACCESS_KEY)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut server = Self { process, endpoint: format!("http://127.0.0.1:{port}"), _data: data };
        for _ in 0..500 {
            if server.process.try_wait().unwrap().is_some() {
                return None;
            }
            if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return Some(server);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        None
    }
}

impl Drop for Versitygw {
    fn drop(&mut self) {
        // Fails only when it has ended by itself.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

#[expect(clippy::disallowed_methods, reason = "whoever runs the tests says where the program is, and whether it may be missing")]
fn binary() -> Option<PathBuf> {
    if let Some(given) = std::env::var_os("ROLLCALL_VERSITYGW") {
        return Some(PathBuf::from(given));
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/binaries.sh");
    let found = Command::new(script).args(["path", "versitygw"]).output();
    let path = found.ok().filter(|output| output.status.success()).map(|output| String::from_utf8(output.stdout).unwrap());
    if path.is_none() {
        let message = "SKIPPED: no versitygw; name one in ROLLCALL_VERSITYGW, or see what `tests/cluster/binaries.sh path versitygw` lacks";
        assert!(std::env::var_os("ROLLCALL_REQUIRE_ALL").is_none(), "{message}");
        #[expect(clippy::print_stderr, reason = "whoever reads the test's output must see what was not tested")]
        {
            eprintln!("{message}");
        }
    }
    path.map(|path| PathBuf::from(path.trim()))
}
