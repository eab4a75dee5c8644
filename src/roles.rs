//! From what was typed to running roles: checks the values, makes the real outside world, runs until told to stop.
//! Never holds logic of a role.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{AgentArgs, ApplicationArg, DevStoreArgs, GenerateArgs, ReportArg, Role, UnknownHashArg};
use crate::clock::SystemClock;
use crate::cluster::leader::Term;
use crate::serving::Limits;
use crate::{agent, dev_store, generate, publish, serving};

mod controller;
mod store;

/// Why a role could not run or ended.
pub type RoleError = Box<dyn std::error::Error + Send + Sync>;

/// Files that an agent fetches side by side. At 100 pods and 16 files each the store sees 1,600 requests in flight at most.
const FETCHES_MAX: usize = 16;

/// Threads that may block: a few for each core of a usual machine.
const BLOCKING_MAX: usize = 16;

/// Becomes the role.
///
/// # Errors
/// When a value cannot be used or the role ends with an error.
pub fn run(role: Role) -> Result<(), RoleError> {
    // Threads that may block read files and unpack archives; tokio would make up to 512 of them, each with memory of its own.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().max_blocking_threads(BLOCKING_MAX).build()?;
    match role {
        Role::Controller(args) => runtime.block_on(controller::run(args)),
        Role::Agent(args) => runtime.block_on(run_agent(args)),
        Role::Store(command) => runtime.block_on(store::run(command)),
        Role::Publish(args) => runtime.block_on(async { Ok(publish::run(*args, stopper()?).await?) }),
        Role::Digest(args) => runtime.block_on(async { Ok(publish::print_digest(args).await?) }),
        Role::DevStore(args) => runtime.block_on(run_dev_store(args)),
        Role::Generate(args) => run_generate(&args),
    }
}

/// How the program ends when its role failed: 1, unless the role's exit codes say more.
#[must_use]
pub fn exit_code(error: &RoleError) -> ExitCode {
    error.downcast_ref::<publish::Failure>().map_or(ExitCode::FAILURE, |failure| ExitCode::from(failure.exit() as u8))
}

async fn run_agent(args: AgentArgs) -> Result<(), RoleError> {
    let context = agent::Context {
        client: connect(&config(args.kubeconfig.as_deref()).await?, &Term::unelected())?,
        fetch: Arc::new(agent::fetch::HttpFetch::new(FETCHES_MAX)?),
        mirror: Arc::new(agent::mirror::Disk::open(&args.mirror)?),
        clock: Arc::new(SystemClock),
        identity: agent::Identity {
            namespace: args.namespace.clone(),
            pod_name: args.pod_name.clone(),
            pod_uid: args.pod_uid.clone(),
            instance: instance()?,
        },
        settings: agent_settings(args),
    };
    agent::run(context, stopper()?.cancelled_owned()).await?;
    Ok(())
}

fn agent_settings(args: AgentArgs) -> agent::Settings {
    let site = site_limits(&args);
    agent::Settings {
        channel: match args.report {
            ReportArg::PodCondition => agent::ReportChannel::PodCondition,
            ReportArg::Http => agent::ReportChannel::Http,
        },
        application: match (args.application, args.application_url) {
            (ApplicationArg::None, _) => agent::Application::None,
            (ApplicationArg::Polled, Some(url)) => agent::Application::Polled(url),
            (ApplicationArg::Puts | ApplicationArg::Polled, _) => agent::Application::Puts,
        },
        listen_site: Some(args.listen),
        listen_pod: Some(args.listen_pod),
        site,
        base_path: args.base_path.trim_end_matches('/').to_owned(),
        unknown_hash: match args.unknown_hash {
            UnknownHashArg::NotFound => agent::UnknownHash::NotFound,
            UnknownHashArg::Redirect => agent::UnknownHash::Redirect,
        },
        age_floor: Duration::from_secs(args.keep_hours.saturating_mul(3600)),
        load_spread: Duration::from_millis(args.load_spread_milliseconds),
        drain: Duration::from_secs(args.drain_seconds),
        miss_rate: args.miss_rate,
        miss_burst: args.miss_burst,
        ..agent::Settings::new(&args.pointer)
    }
}

fn site_limits(args: &AgentArgs) -> Limits {
    let size = |number: u32| usize::try_from(number).expect("a usize has at least 32 bits");
    let limits =
        Limits { connections_max: size(args.connections_max), per_peer_max: size(args.connections_per_address_max), ..Limits::PUBLIC };
    limits.within_files(serving::allow_all_files())
}

/// A value that no other life of an agent has: 128 random bits from the kernel.
fn instance() -> Result<String, RoleError> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/uuid")?.trim().to_owned())
}

async fn run_dev_store(args: DevStoreArgs) -> Result<(), RoleError> {
    tracing::warn!(listen = %args.listen, folder = %args.folder.display(), "this store is for trying things out, not for production");
    let settings = dev_store::Settings {
        listen: args.listen,
        folder: args.folder,
        buckets: args.buckets,
        access_key_id: args.access_key_id,
        secret_access_key: args.secret_access_key,
    };
    dev_store::run(settings, stopper()?.cancelled_owned()).await?;
    Ok(())
}

fn run_generate(args: &GenerateArgs) -> Result<(), RoleError> {
    let mode = if args.check { generate::Mode::Check } else { generate::Mode::Write };
    Ok(generate::run(mode, &args.root)?)
}

/// The API server: the pod's own ServiceAccount, unless a file is named. The current context of whoever happens to run this is
/// never used by itself. The client's own retries are off: a repeated write may meet its own first success.
async fn config(kubeconfig: Option<&std::path::Path>) -> Result<kube::Config, RoleError> {
    let mut config = match kubeconfig {
        None => kube::Config::incluster()?,
        Some(path) => {
            let file = kube::config::Kubeconfig::read_from(path)?;
            kube::Config::from_custom_kubeconfig(file, &kube::config::KubeConfigOptions::default()).await?
        }
    };
    config.default_retry = false;
    Ok(config)
}

/// A client with connections of its own.
fn connect(config: &kube::Config, term: &Term) -> Result<kube::Client, RoleError> {
    Ok(crate::cluster::client::connect(config.clone(), term)?)
}

/// Resolves on SIGTERM and SIGINT.
fn stopper() -> Result<tokio_util::sync::CancellationToken, RoleError> {
    let token = tokio_util::sync::CancellationToken::new();
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = token.clone();
    tokio::spawn(async move {
        tokio::select! {
            biased;
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        stop.cancel();
    });
    Ok(token)
}
