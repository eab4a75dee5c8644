//! Third-party S3 servers of our own: each started on a free loopback port with its data in a temporary folder.
//! Never outlives the test: it is killed by its process id when dropped.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::over_s3::Server;

pub const ACCESS_KEY_ID: &str = "contract";
pub const SECRET_ACCESS_KEY: &str = "contract-secret";

pub struct ThirdParty {
    process: Child,
    endpoint: String,
    _data: TempDir,
}

/// How one of them is called and started.
struct Program {
    name: &'static str,
    /// Environment variable that names the binary.
    named_by: &'static str,
    command: fn(&mut Command, port: u16, data: &Path),
}

const VERSITYGW: Program = Program {
    name: "versitygw",
    named_by: "ROLLCALL_VERSITYGW",
    command: |command, port, data| {
        command.args(["--port", &format!("127.0.0.1:{port}"), "--quiet", "posix"]).arg(data);
        command.env("ROOT_ACCESS_KEY", ACCESS_KEY_ID).env("ROOT_SECRET_KEY", SECRET_ACCESS_KEY);
    },
};

const RCLONE: Program = Program {
    name: "rclone",
    named_by: "ROLLCALL_RCLONE",
    command: |command, port, data| {
        let key = format!("{ACCESS_KEY_ID},{SECRET_ACCESS_KEY}");
        command.args(["serve", "s3", "--config", "/dev/null", "--addr", &format!("127.0.0.1:{port}"), "--auth-key", &key]).arg(data);
    },
};

const MINISTACK: Program = Program {
    name: "ministack",
    named_by: "ROLLCALL_MINISTACK",
    command: |command, port, data| {
        command.env("BIND_HOST", "127.0.0.1").env("GATEWAY_PORT", port.to_string()).env("SERVICES", "s3").current_dir(data);
    },
};

impl ThirdParty {
    /// Strict: create-only and conditional delete hold, also under races.
    pub async fn versitygw() -> Option<Self> {
        Self::start(&VERSITYGW).await
    }

    /// Lax: takes conditions and checksums, and does not look at them.
    pub async fn rclone() -> Option<Self> {
        Self::start(&RCLONE).await
    }

    /// Like AWS.
    pub async fn ministack() -> Option<Self> {
        Self::start(&MINISTACK).await
    }

    /// `None`, and a loud message, when there is no binary and nobody insists on one.
    async fn start(program: &Program) -> Option<Self> {
        let binary = binary(program)?;
        for _ in 0..5 {
            if let Some(server) = Self::try_start(program, &binary).await {
                return Some(server);
            }
        }
        panic!("{} did not start five times in a row", program.name);
    }

    pub fn server(&self) -> Server<'_> {
        Server { endpoint: &self.endpoint, access_key_id: ACCESS_KEY_ID, secret_access_key: SECRET_ACCESS_KEY }
    }

    /// Another process may take the port between our look and the start: then this is `None`.
    async fn try_start(program: &Program, binary: &Path) -> Option<Self> {
        // Below the target folder: extended attributes are needed, which a temporary file system may not have.
        let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new(binary);
        (program.command)(&mut command, port, data.path());
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut server = Self { process, endpoint: format!("http://127.0.0.1:{port}"), _data: data };
        for _ in 0..1000 {
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

impl Drop for ThirdParty {
    fn drop(&mut self) {
        // Fails only when it has ended by itself.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

#[expect(clippy::disallowed_methods, reason = "whoever runs the tests says where the programs are")]
fn binary(program: &Program) -> Option<PathBuf> {
    if let Some(given) = std::env::var_os(program.named_by) {
        return Some(PathBuf::from(given));
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/binaries.sh");
    let asked = Command::new(script).args(["path", program.name]).output();
    let path = match asked {
        Ok(output) if output.status.success() => String::from_utf8(output.stdout).unwrap(),
        Ok(output) => return lacking(program, &String::from_utf8_lossy(&output.stderr)),
        Err(error) => return lacking(program, &error.to_string()),
    };
    Some(PathBuf::from(path.trim()))
}

/// Says why, loudly: the last words of whoever tried to make it.
fn lacking(program: &Program, words: &str) -> Option<PathBuf> {
    let lines: Vec<_> = words.lines().collect();
    let last = lines[lines.len().saturating_sub(5)..].join("\n");
    crate::skip(&format!("no {}, and none is named in {}: {last}", program.name, program.named_by));
    None
}

/// Where the tests run nothing can be downloaded: `make test` failed on each machine that had not yet made what is made on demand.
#[test]
fn every_store_of_the_tests_is_made_before_they_begin() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let list = Command::new(top.join("tests/cluster/binaries.sh")).args(["list", "tests"]).output().unwrap();
    let list = String::from_utf8(list.stdout).unwrap();
    for program in [VERSITYGW, RCLONE, MINISTACK] {
        assert!(list.split_whitespace().any(|name| name == program.name), "{} is not among {list}", program.name);
    }
    assert!(std::fs::read_to_string(top.join("tests/all.sh")).unwrap().contains("binaries.sh make tests"));
}
