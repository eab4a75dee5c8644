//! What is typed: one subcommand for each role, options in groups. Everything can also stand in the environment.
//! Never decides what a value means: that is `roles`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::egress::{AllowedHost, AmbientGrant};
use crate::source::workspace::VolumeSize;
use crate::telemetry::LogFormat;

mod build;
mod digest;
mod publish;
mod store;

pub use build::BuildArgs;
pub use digest::DigestArgs;
pub use publish::{ClusterArgs, LintArg, OutputArg, PublishArgs, StoreArgs, WriteGuardArg};
pub use store::{CheckArgs, EndReferencesArgs, HeadersArgs, StoreCommand, SweepArgs};

/// Moves web pages to new assets only after every pod has them.
#[derive(Debug, Parser)]
#[command(name = "rollcall", version, max_term_width = 100)]
pub struct Cli {
    /// What to be.
    #[command(subcommand)]
    pub role: Role,
    /// How to log.
    #[command(flatten)]
    pub log: LogArgs,
}

/// Options of logging.
#[derive(Debug, Args)]
pub struct LogArgs {
    /// Form of the log lines
    #[arg(long, env = "ROLLCALL_LOG_FORMAT", value_enum, default_value = "text", global = true)]
    pub log_format: LogFormat,
    /// What to log, for example `info` or `rollcall=debug,warn`
    #[arg(long, env = "ROLLCALL_LOG", default_value = "info", global = true)]
    pub log: String,
}

/// What the program can be.
#[derive(Debug, Subcommand)]
pub enum Role {
    /// The operator: watches AssetReleases and moves their pointers
    Controller(ControllerArgs),
    /// The sidecar: mirrors, reports and serves versions in a pod
    Agent(AgentArgs),
    /// Upload a build's folder under a version's name
    Publish(Box<PublishArgs>),
    /// Print the digest of a build's folder, for `spec.source.bucket.digest`; works offline
    Digest(DigestArgs),
    /// Check, plan or change what lies in a store
    #[command(subcommand)]
    Store(StoreCommand),
    /// An S3 store in a folder, for trials; never for production
    DevStore(DevStoreArgs),
    /// Write (or check) every generated file of this repository
    Generate(GenerateArgs),
}

/// Options of the controller.
#[derive(Debug, Args)]
pub struct ControllerArgs {
    /// Manage the releases of this namespace only; may be repeated
    #[arg(long = "watch-namespace", env = "ROLLCALL_WATCH_NAMESPACES", value_delimiter = ',')]
    pub watch_namespaces: Vec<String>,
    /// Call this host for stores, replicas and sources although its address is not public: host, host:port, address or network; may be
    /// repeated
    #[arg(long = "egress-allow", env = "ROLLCALL_EGRESS_ALLOW", value_delimiter = ',')]
    pub egress_allow: Vec<AllowedHost>,
    /// Let objects of these namespaces use the controller's own cloud identity for this bucket and prefix: JSON such as
    /// `{"namespaces": ["shop"], "bucket": "web-assets", "prefix": "shop/"}`, and `endpoint` if it is not AWS; may be repeated
    #[arg(long = "ambient-credentials", value_name = "GRANT")]
    pub ambient_credentials: Vec<AmbientGrant>,
    /// Folder for builds while they are uploaded
    #[arg(long, env = "ROLLCALL_WORKSPACE", default_value = "/var/lib/rollcall")]
    pub workspace: PathBuf,
    /// Size of that folder's volume, such as 4Gi: builds hold seven eighths of it at most, those of one namespace never more than stays free
    #[arg(long, env = "ROLLCALL_WORKSPACE_SIZE", default_value = "4Gi")]
    pub workspace_size: VolumeSize,
    /// Address of /healthz, /readyz and /metrics
    #[arg(long, env = "ROLLCALL_ADMIN_LISTEN", default_value = "127.0.0.1:8080")]
    pub admin_listen: SocketAddr,
    /// Use this kubeconfig file instead of the pod's own ServiceAccount
    #[arg(long, env = "ROLLCALL_KUBECONFIG")]
    pub kubeconfig: Option<PathBuf>,
    /// Name of this process in events, and the beginning of its name in the Lease: the pod's name in a cluster
    #[arg(long, env = "ROLLCALL_INSTANCE", default_value = "rollcall")]
    pub instance: String,
    /// How it stands for election.
    #[command(flatten)]
    pub election: ElectionArgs,
}

/// How a controller stands for election among its replicas.
#[derive(Debug, Args)]
pub struct ElectionArgs {
    /// Act only while this process leads among the replicas, which share a Lease; this is the default
    #[arg(long, overrides_with = "no_leader_elect")]
    pub leader_elect: bool,
    /// Act at once and without a Lease, as the only controller: for a local run
    #[arg(long, overrides_with = "leader_elect")]
    pub no_leader_elect: bool,
    /// Name of the Lease
    #[arg(long = "leader-elect-resource-name", env = "ROLLCALL_LEASE_NAME", value_name = "NAME", default_value = "rollcall")]
    pub name: String,
    /// Namespace of the Lease; the pod's own (or the kubeconfig's) when it is not given
    #[arg(long = "leader-elect-resource-namespace", env = "ROLLCALL_LEASE_NAMESPACE", value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// A standby takes over when the Lease was not renewed for this time: whole seconds, longer than the renew deadline
    #[arg(long = "leader-elect-lease-duration", value_name = "TIME", default_value = "15s", value_parser = publish::duration)]
    pub lease_duration: Duration,
    /// The leader ends when it could not renew the Lease for this time, and writes nothing any more
    #[arg(long = "leader-elect-renew-deadline", value_name = "TIME", default_value = "10s", value_parser = publish::duration)]
    pub renew_deadline: Duration,
    /// Time from one attempt to acquire or renew the Lease to the next; less than a 2.2th of the renew deadline
    #[arg(long = "leader-elect-retry-period", value_name = "TIME", default_value = "2s", value_parser = publish::duration)]
    pub retry_period: Duration,
}

/// Options of the agent.
#[derive(Debug, Args)]
pub struct AgentArgs {
    /// Name of the pointer ConfigMap
    #[arg(long, env = "ROLLCALL_POINTER")]
    pub pointer: String,
    /// Namespace of the pod and of the pointer
    #[arg(long, env = "ROLLCALL_NAMESPACE")]
    pub namespace: String,
    /// Name of the pod
    #[arg(long, env = "ROLLCALL_POD_NAME")]
    pub pod_name: String,
    /// UID of the pod
    #[arg(long, env = "ROLLCALL_POD_UID")]
    pub pod_uid: String,
    /// Folder of the mirror, on the volume that sidecar and application share
    #[arg(long, env = "ROLLCALL_MIRROR", default_value = "/var/lib/rollcall")]
    pub mirror: PathBuf,
    /// Address of pages and assets, for visitors
    #[arg(long, env = "ROLLCALL_LISTEN", default_value = "0.0.0.0:8410")]
    pub listen: SocketAddr,
    /// Address of probes, report, name map and metrics; keep it out of the Service
    #[arg(long, env = "ROLLCALL_LISTEN_POD", default_value = "0.0.0.0:8411")]
    pub listen_pod: SocketAddr,
    /// Visitors' connections at a time; beyond it unfinished requests and the longest idle connections give way
    #[arg(long, env = "ROLLCALL_CONNECTIONS_MAX", default_value_t = 2048, value_parser = clap::value_parser!(u32).range(16..=65_536))]
    pub connections_max: u32,
    /// The same from one address (IPv6: one /64 network), which may be an ingress with all visitors behind it
    #[arg(long, env = "ROLLCALL_CONNECTIONS_PER_ADDRESS_MAX", default_value_t = 1024,
          value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub connections_per_address_max: u32,
    /// Where the report goes
    #[arg(long, env = "ROLLCALL_REPORT", value_enum, default_value = "pod-condition")]
    pub report: ReportArg,
    /// Who renders the pages
    #[arg(long, env = "ROLLCALL_APPLICATION", value_enum, default_value = "none")]
    pub application: ApplicationArg,
    /// With `--application polled`: the URL at which the application says what it renders with
    #[arg(long, env = "ROLLCALL_APPLICATION_URL", required_if_eq("application", "polled"))]
    pub application_url: Option<String>,
    /// What stands in front of every path of the site, such as /shop
    #[arg(long, env = "ROLLCALL_BASE_PATH", default_value = "")]
    pub base_path: String,
    /// What an unknown name with a hash in it gets, such as a-rfgt45jfsg.js, where the served version has a.js
    #[arg(long, env = "ROLLCALL_UNKNOWN_HASH", value_enum, default_value = "not-found")]
    pub unknown_hash: UnknownHashArg,
    /// Hours that a version stays after nothing wanted or served it
    #[arg(long, env = "ROLLCALL_KEEP_HOURS", default_value_t = 24)]
    pub keep_hours: u64,
    /// Files that visitors ask for and the mirror lacks: fetch this many a second from the store, on average
    #[arg(long, env = "ROLLCALL_MISS_RATE", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub miss_rate: u32,
    /// The same: fetch at most this many at once after a quiet time; visitors beyond it get 503
    #[arg(long, env = "ROLLCALL_MISS_BURST", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub miss_burst: u32,
    /// An agent of a Ready pod begins to load a candidate within so many milliseconds, at a moment of its own, so that not all agents of
    /// a release ask the store at once: 1 millisecond for every 5 pods suits S3
    #[arg(long, env = "ROLLCALL_LOAD_SPREAD_MILLISECONDS", default_value_t = 250, value_parser = clap::value_parser!(u64).range(0..=600_000))]
    pub load_spread_milliseconds: u64,
    /// Seconds to go on serving after the request to stop
    #[arg(long, env = "ROLLCALL_DRAIN_SECONDS", default_value_t = 10)]
    pub drain_seconds: u64,
    /// Use this kubeconfig file instead of the pod's own ServiceAccount
    #[arg(long, env = "ROLLCALL_KUBECONFIG")]
    pub kubeconfig: Option<PathBuf>,
}

/// Where a report goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportArg {
    /// The pod's status condition rollcall.dev/assets
    PodCondition,
    /// GET /v1/availability alone
    Http,
}

/// Who renders the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ApplicationArg {
    /// The agent serves them
    None,
    /// A program that tells by PUT /v1/serving
    Puts,
    /// A program that is asked at --application-url
    Polled,
}

/// What an unknown name with a hash gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum UnknownHashArg {
    /// 404
    NotFound,
    /// 302 to the plain name, which no cache keeps; for sites that put hashes into names by themselves
    Redirect,
}

/// Options of the embedded store.
#[derive(Debug, Args)]
pub struct DevStoreArgs {
    /// Address of the S3 API and of public reads
    #[arg(long, env = "ROLLCALL_DEV_STORE_LISTEN", default_value = "127.0.0.1:9000")]
    pub listen: SocketAddr,
    /// Folder that holds everything
    #[arg(long, env = "ROLLCALL_DEV_STORE_FOLDER", default_value = "./rollcall-dev-store")]
    pub folder: PathBuf,
    /// Bucket to make at the start; may be repeated
    #[arg(long = "bucket", env = "ROLLCALL_DEV_STORE_BUCKETS", value_delimiter = ',')]
    pub buckets: Vec<String>,
    /// Access key id that may write
    #[arg(long, env = "ROLLCALL_DEV_STORE_ACCESS_KEY_ID")]
    pub access_key_id: String,
    /// Its secret; better in the environment, where `ps` does not show it
    #[arg(long, env = "ROLLCALL_DEV_STORE_SECRET_ACCESS_KEY", hide_env_values = true)]
    pub secret_access_key: String,
}

/// Options of the generator.
#[derive(Debug, Args)]
pub struct GenerateArgs {
    /// Write nothing; fail when a file is not what it should be
    #[arg(long)]
    pub check: bool,
    /// Top folder of the repository
    #[arg(long, default_value = ".")]
    pub root: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    fn agent(options: &[&str]) -> Result<AgentArgs, clap::Error> {
        let needed = ["rollcall", "agent", "--pointer=shop", "--namespace=ns", "--pod-name=a", "--pod-uid=u"];
        match Cli::try_parse_from(needed.into_iter().chain(options.iter().copied()))?.role {
            Role::Agent(args) => Ok(args),
            other => panic!("expected the agent, not {other:?}"),
        }
    }

    #[test]
    fn misses_towards_the_store_are_bounded_as_typed_and_never_off() {
        let args = agent(&["--miss-rate=5", "--miss-burst=7"]).unwrap();
        assert_eq!((args.miss_rate, args.miss_burst), (5, 7));
        assert!(agent(&["--miss-rate=0"]).is_err() && agent(&["--miss-burst=0"]).is_err());
        let (args, defaults) = (agent(&[]).unwrap(), crate::agent::Settings::new("shop"));
        assert_eq!((args.miss_rate, args.miss_burst), (defaults.miss_rate, defaults.miss_burst));
    }

    #[test]
    fn the_chart_arguments_are_understood() {
        let typed = [
            "rollcall",
            "controller",
            "--admin-listen=0.0.0.0:8080",
            "--workspace=/var/lib/rollcall",
            "--workspace-size=2Gi",
            "--log-format=json",
        ];
        let cli = Cli::try_parse_from(typed.into_iter().chain(["--watch-namespace=a", "--watch-namespace=b", "--egress-allow=store.svc"]))
            .unwrap();
        let Role::Controller(args) = cli.role else { panic!("expected the controller") };
        assert_eq!((args.watch_namespaces, args.egress_allow), (vec!["a".to_owned(), "b".to_owned()], vec!["store.svc".parse().unwrap()]));
        assert_eq!(args.ambient_credentials, []);
        assert!(!args.election.no_leader_elect, "two replicas are the default of the chart");
        assert_eq!(cli.log.log_format, LogFormat::Json);
    }
}
