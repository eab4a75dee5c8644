//! The controller as a process: stands for election, and acts while it leads.
//! Never acts after its leadership was lost: the process ends, and the next one knows nothing of what this one was about to do.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{RoleError, config, connect, instance, stopper};
use crate::admin::{self, Admin};
use crate::cli::{ControllerArgs, ElectionArgs};
use crate::clock::SystemClock;
use crate::cluster::leader::{Elector, Ended, LeaseObject, Term, Times};
use crate::cluster::reports::HttpReportReader;
use crate::controller::{self, Context, Outside, S3Buckets, Settings};
use crate::egress::{AmbientGrants, Egress};
use crate::metrics::Metrics;
use crate::source::{self, HttpFetcher, HttpSettings};

pub(super) async fn run(args: ControllerArgs) -> Result<(), RoleError> {
    let config = config(args.kubeconfig.as_deref()).await?;
    std::fs::create_dir_all(&args.workspace).map_err(|error| format!("workspace {}: {error}", args.workspace.display()))?;
    let workspace = source::Workspace::new(&args.workspace, args.workspace_size.budget());
    workspace.clear()?;
    let (metrics, stop) = (Arc::<Metrics>::default(), stopper()?);
    let admin = Admin::new(metrics.clone());
    let served = tokio::spawn(admin::serve(admin.clone(), args.admin_listen, stop.clone().cancelled_owned()));
    let elector = if args.election.no_leader_elect { None } else { Some(elector(&args.election, &args.instance, &config)?) };
    let term = elector.as_ref().map_or_else(Term::unelected, |elector| elector.term.clone());
    let settings = Settings {
        namespaces: args.watch_namespaces,
        workspace,
        instance: args.instance,
        epoch: None,
        ambient: AmbientGrants(args.ambient_credentials),
    };
    let outside = outside(connect(&config, &term)?, Egress::public_and(args.egress_allow));
    tracing::info!(admin.listen = %args.admin_listen, "controller begins");
    let ended = match elector {
        None => {
            act(outside, settings, metrics, admin, stop.clone()).await;
            Ended::Left
        }
        Some(elector) => {
            // Ready as a standby: it has reached its Lease. A leader's first listing takes no readiness away.
            let (contact, at_work) = (admin.clone(), admin);
            let work = |leading: crate::cluster::leader::Leading| {
                let settings = Settings { epoch: Some(leading.epoch), ..settings };
                act(outside, settings, metrics, at_work, leading.stop)
            };
            elector.run(stop.clone(), move || contact.set_ready(), work).await
        }
    };
    stop.cancel();
    match ended {
        Ended::Left => Ok(served.await??),
        Ended::Deposed(why) => Err(format!("leadership was lost: {why}; this process ends and starts anew as a standby").into()),
    }
}

/// Acts on the releases until it is asked to stop.
async fn act(outside: Outside, settings: Settings, metrics: Arc<Metrics>, admin: Admin, stop: CancellationToken) {
    metrics.leads();
    let (cx, changes) = Context::new(outside, settings, metrics);
    controller::run(cx, changes, move || admin.set_ready(), stop.cancelled_owned()).await;
}

fn outside(client: kube::Client, egress: Egress) -> Outside {
    Outside {
        client,
        clock: Arc::new(SystemClock),
        buckets: Arc::new(S3Buckets::new(egress.clone())),
        source: Arc::new(HttpFetcher::new(HttpSettings { egress, ..HttpSettings::default() })),
        reports: Arc::new(HttpReportReader::new(&Egress::of_a_pod())),
    }
}

/// With a client of its own: a renewal waits for no pass. Its writes are not guarded by the term, which follows from them.
fn elector(args: &ElectionArgs, name: &str, config: &kube::Config) -> Result<Elector, RoleError> {
    let times = Times { lease_duration: args.lease_duration, renew_deadline: args.renew_deadline, retry_period: args.retry_period };
    let times = times.checked()?;
    let namespace = args.namespace.as_deref().unwrap_or(&config.default_namespace);
    let client = connect(config, &Term::unelected())?;
    Ok(Elector {
        lease: LeaseObject::new(client, namespace, &args.name, times.request_max()),
        identity: format!("{name}_{}", instance()?),
        times,
        clock: Arc::new(SystemClock),
        term: Term::standby(),
    })
}
